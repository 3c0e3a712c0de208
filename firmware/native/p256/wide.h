// Products of 64 bits. Cortex-M0+ multiplies 32 bits by 32 to 32 bits, so it takes four of those;
// the compiler's library would do the same, but is not there in a module of its own.
#ifndef BIRTHKEY_P256_WIDE_H
#define BIRTHKEY_P256_WIDE_H

#include <stdint.h>

#if defined(__ARM_ARCH_6M__)

static inline uint64_t multiply_wide(uint32_t a, uint32_t b) {
    uint32_t low = (a & 0xffff) * (b & 0xffff);
    uint32_t middle = (a >> 16) * (b & 0xffff);
    uint32_t other = (a & 0xffff) * (b >> 16);
    uint32_t high = (a >> 16) * (b >> 16);
    return ((uint64_t)high << 32 | low) + ((uint64_t)middle << 16) + ((uint64_t)other << 16);
}

static inline int64_t multiply_signed(int32_t a, int32_t b) {
    uint32_t low = (uint32_t)(a & 0xffff) * (uint32_t)(b & 0xffff);
    int32_t middle = (a >> 16) * (b & 0xffff);
    int32_t other = (a & 0xffff) * (b >> 16);
    int32_t high = (a >> 16) * (b >> 16);
    return (int64_t)((uint64_t)(uint32_t)high << 32 | low) + (int64_t)middle * 65536
        + (int64_t)other * 65536;
}

#else

static inline uint64_t multiply_wide(uint32_t a, uint32_t b) {
    return (uint64_t)a * b;
}

static inline int64_t multiply_signed(int32_t a, int32_t b) {
    return (int64_t)a * b;
}

#endif
#endif
