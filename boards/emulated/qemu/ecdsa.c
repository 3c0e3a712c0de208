// qemu.ecdsa_sign and qemu.ecdsa_verify: P-256 as mbed TLS computes it, for comparison. Nothing of
// birthkey calls them.

#include "py/runtime.h"

#include "mbedtls/ecdsa.h"

#include "port.h"

static int random_for_mbedtls(void *context, unsigned char *data, size_t size) {
    (void)context;
    random_bytes(data, size);
    return 0;
}

static const uint8_t *bytes_of(mp_obj_t object, size_t length) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    if (buffer.len != length) {
        mp_raise_ValueError(MP_ERROR_TEXT("wrong length"));
    }
    return buffer.buf;
}

// ecdsa_sign(private, digest): r || s with a random nonce.
static mp_obj_t ecdsa_sign(mp_obj_t private_in, mp_obj_t digest_in) {
    mbedtls_ecp_group group;
    mbedtls_mpi r, s, d;
    uint8_t signature[64];
    mbedtls_ecp_group_init(&group);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    mbedtls_mpi_init(&d);
    int failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1)
        || mbedtls_mpi_read_binary(&d, bytes_of(private_in, 32), 32)
        || mbedtls_ecdsa_sign(
            &group, &r, &s, &d, bytes_of(digest_in, 32), 32, random_for_mbedtls, NULL)
        || mbedtls_mpi_write_binary(&r, signature, 32)
        || mbedtls_mpi_write_binary(&s, signature + 32, 32);
    mbedtls_mpi_free(&d);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_group_free(&group);
    if (failed) {
        mp_raise_ValueError(MP_ERROR_TEXT("mbed TLS does not sign"));
    }
    return mp_obj_new_bytes(signature, sizeof(signature));
}
MP_DEFINE_CONST_FUN_OBJ_2(qemu_ecdsa_sign_obj, ecdsa_sign);

// ecdsa_verify(public, digest, signature)
static mp_obj_t ecdsa_verify(mp_obj_t public_in, mp_obj_t digest_in, mp_obj_t signature_in) {
    mbedtls_ecp_group group;
    mbedtls_ecp_point q;
    mbedtls_mpi r, s;
    const uint8_t *public = bytes_of(public_in, 64);
    const uint8_t *signature = bytes_of(signature_in, 64);
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&q);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    uint8_t uncompressed[65] = {4};
    for (int i = 0; i < 64; ++i) {
        uncompressed[1 + i] = public[i];
    }
    int failed = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1)
        || mbedtls_ecp_point_read_binary(&group, &q, uncompressed, sizeof(uncompressed))
        || mbedtls_mpi_read_binary(&r, signature, 32)
        || mbedtls_mpi_read_binary(&s, signature + 32, 32)
        || mbedtls_ecdsa_verify(&group, bytes_of(digest_in, 32), 32, &q, &r, &s);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_point_free(&q);
    mbedtls_ecp_group_free(&group);
    return mp_obj_new_bool(!failed);
}
MP_DEFINE_CONST_FUN_OBJ_3(qemu_ecdsa_verify_obj, ecdsa_verify);
