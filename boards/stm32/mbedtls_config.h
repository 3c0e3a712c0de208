// mbed TLS as upstream's ports/stm32 has it, with P-256 alone and small buffers.
#include "mbedtls/mbedtls_config_port.h"
#include "../p256_tls.h"
#include "../small_tls_buffers.h"
