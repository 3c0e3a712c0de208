// For boards of 128 KiB RAM and less: two buffers of 4 and 2 KiB for records in the place of
// upstream's 16 and 4. A record that is longer is refused; no frame of birthkey's is, but a server
// on the Internet may send such records to other parts of an application.

#undef MBEDTLS_SSL_IN_CONTENT_LEN
#undef MBEDTLS_SSL_OUT_CONTENT_LEN
#define MBEDTLS_SSL_IN_CONTENT_LEN (4096)
#define MBEDTLS_SSL_OUT_CONTENT_LEN (2048)
