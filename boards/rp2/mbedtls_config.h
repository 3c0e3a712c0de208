// mbed TLS as upstream's ports/rp2 has it, with P-256 alone.
#include "mbedtls/mbedtls_config_port.h"
#include "../p256_tls.h"
