// mbed TLS as on a board without an operating system.

#include <time.h>

extern time_t port_time(time_t *result);

#define MBEDTLS_PLATFORM_TIME_MACRO port_time
#define MBEDTLS_PLATFORM_MS_TIME_ALT mbedtls_ms_time
#define MICROPY_MBEDTLS_CONFIG_BARE_METAL (1)
#define MBEDTLS_ECP_NIST_OPTIM

#include "extmod/mbedtls/mbedtls_config_common.h"
#include "boards/p256_tls.h"

#ifdef SMALL_TLS_BUFFERS
#include "boards/small_tls_buffers.h"
#endif
