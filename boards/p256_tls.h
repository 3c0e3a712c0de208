// In TLS, whoever answers chooses which keys a board computes with, before anything has proven who
// it is. So boards know P-256 and nothing else: each verification by a key on P-521 would take an
// RP2040 nearly 2 s in one go, and one by an RSA key of the stranger's choice minutes, while nothing
// else runs and no watchdog is fed. What a P-256 key signs is verified by birthkey's own code.

#undef MBEDTLS_ECP_DP_SECP192R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP384R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP521R1_ENABLED
#undef MBEDTLS_ECP_DP_SECP192K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP224K1_ENABLED
#undef MBEDTLS_ECP_DP_SECP256K1_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_RSA_ENABLED
#undef MBEDTLS_KEY_EXCHANGE_ECDHE_RSA_ENABLED
#undef MBEDTLS_PKCS1_V15
#undef MBEDTLS_RSA_C
