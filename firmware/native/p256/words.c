// Numbers of eight words, as such: to compare, to choose, to convert.

#include "curve.h"

uint32_t p256_take_off(uint32_t *r, const uint32_t *a, const uint32_t *b) {
    uint32_t borrow = 0;
    for (int i = 0; i < WORDS; ++i) {
        uint64_t difference = (uint64_t)a[i] - b[i] - borrow;
        r[i] = (uint32_t)difference;
        borrow = (uint32_t)(difference >> 32) & 1;
    }
    return -borrow;
}

uint32_t p256_less(const uint32_t *a, const uint32_t *b) {
    number difference;
    return p256_take_off(difference, a, b);
}

uint32_t p256_zero(const uint32_t *a) {
    uint32_t any = 0;
    for (int i = 0; i < WORDS; ++i) {
        any |= a[i];
    }
    return ((any | -any) >> 31) - 1;
}

void p256_choose(uint32_t *r, const uint32_t *a, uint32_t mask) {
    for (int i = 0; i < WORDS; ++i) {
        r[i] ^= (r[i] ^ a[i]) & mask;
    }
}

void p256_copy(uint32_t *r, const uint32_t *a) {
    for (int i = 0; i < WORDS; ++i) {
        r[i] = a[i];
    }
}

void p256_clear(void *memory, uint32_t size) {
    volatile uint32_t *word = memory;
    for (uint32_t i = 0; i < size / sizeof(*word); ++i) {
        word[i] = 0;
    }
}

// Deeper than the inversion goes from there, whose compiler for Cortex-M0+ spills most.
__attribute__((noinline)) void p256_clear_stack(void) {
    uint32_t below[128];
    p256_clear(below, sizeof(below));
}

void p256_from_bytes(uint32_t *r, const uint8_t *bytes) {
    for (int i = WORDS - 1; i >= 0; --i) {
        r[i] = (uint32_t)bytes[0] << 24 | bytes[1] << 16 | bytes[2] << 8 | bytes[3];
        bytes += 4;
    }
}

void p256_to_bytes(uint8_t *bytes, const uint32_t *a) {
    for (int i = WORDS - 1; i >= 0; --i) {
        *bytes++ = a[i] >> 24;
        *bytes++ = a[i] >> 16;
        *bytes++ = a[i] >> 8;
        *bytes++ = a[i];
    }
}
