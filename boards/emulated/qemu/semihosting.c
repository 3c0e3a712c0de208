// Files of the computer that QEMU runs on, through Arm semihosting, version 2.0: they take the
// place of the chips that a board has, its flash among them.

#include <string.h>

#include "port.h"

#define SYS_OPEN (0x01)
#define SYS_WRITE (0x05)
#define SYS_READ (0x06)
#define SYS_SEEK (0x0a)
#define SYS_FLEN (0x0c)
#define SYS_GET_CMDLINE (0x15)

static uint32_t call(uint32_t operation, const void *arguments) {
    register uint32_t r0 __asm ("r0") = operation;
    register const void *r1 __asm ("r1") = arguments;
    __asm volatile ("bkpt 0xab" : "+r" (r0) : "r" (r1) : "memory");
    return r0;
}

int semihosting_open(const char *name, uint32_t mode) {
    uint32_t arguments[3] = {(uint32_t)name, mode, strlen(name)};
    return call(SYS_OPEN, arguments);
}

bool semihosting_read(int file, void *data, size_t size) {
    uint32_t arguments[3] = {file, (uint32_t)data, size};
    return call(SYS_READ, arguments) == 0; // bytes that were not read
}

bool semihosting_write(int file, const void *data, size_t size) {
    uint32_t arguments[3] = {file, (uint32_t)data, size};
    return call(SYS_WRITE, arguments) == 0;
}

bool semihosting_seek(int file, size_t offset) {
    uint32_t arguments[2] = {file, offset};
    return call(SYS_SEEK, arguments) == 0;
}

size_t semihosting_length(int file) {
    uint32_t arguments[1] = {file};
    return call(SYS_FLEN, arguments);
}

const char *semihosting_option(const char *name) {
    // QEMU joins the arguments that it was given with blanks; no value has one.
    static char line[256];
    static char value[128];
    if (line[0] == 0) {
        uint32_t arguments[2] = {(uint32_t)line, sizeof(line)};
        if (call(SYS_GET_CMDLINE, arguments) != 0) {
            return NULL;
        }
    }
    size_t length = strlen(name);
    for (const char *word = line; word != NULL; word = strchr(word, ' ')) {
        word += *word == ' ';
        if (strncmp(word, name, length) == 0 && word[length] == '=') {
            size_t n = 0;
            for (word += length + 1; *word && *word != ' ' && n < sizeof(value) - 1; ++word) {
                value[n++] = *word;
            }
            value[n] = 0;
            return value;
        }
    }
    return NULL;
}
