// mbed TLS as upstream's ports/stm32 has it, with small buffers.
#include "mbedtls/mbedtls_config_port.h"
#include "../small_tls_buffers.h"
