// The chip's random number generator: a file of the computer that QEMU runs on, /dev/urandom
// unless the option random= names another.

#include <string.h>

#include "py/runtime.h"

#include "port.h"

void random_bytes(uint8_t *data, size_t size) {
    static int file = -1;
    if (file < 0) {
        const char *name = semihosting_option("random");
        file = semihosting_open(name ? name : "/dev/urandom", SEMIHOSTING_READ);
    }
    if (file < 0 || !semihosting_read(file, data, size)) {
        mp_raise_msg(&mp_type_OSError, MP_ERROR_TEXT("the random number generator gives nothing"));
    }
}

// For mbed TLS.
int mbedtls_hardware_poll(void *context, unsigned char *data, size_t size, size_t *given) {
    (void)context;
    random_bytes(data, size);
    *given = size;
    return 0;
}
