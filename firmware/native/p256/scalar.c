// Arithmetic modulo N, the order of the curve: little of it is needed, so it is in C.

#include "curve.h"
#include "wide.h"

void p256_reduce(uint32_t *r) {
    number less;
    p256_choose(r, less, ~p256_take_off(less, r, p256_N)); // 2^256 < 2 N
}

void p256_add_scalars(uint32_t *r, const uint32_t *a, const uint32_t *b) {
    uint64_t sum = 0;
    number less;
    for (int i = 0; i < WORDS; ++i) {
        sum += (uint64_t)a[i] + b[i];
        r[i] = (uint32_t)sum;
        sum >>= 32;
    }
    uint32_t too_little = p256_take_off(less, r, p256_N);
    p256_choose(r, less, ~too_little | -(uint32_t)sum);
}

// t += a * b; returns what is carried out of it.
static uint32_t add_row(uint32_t *t, uint32_t a, const uint32_t *b) {
    uint32_t carry = 0;
    for (int i = 0; i < WORDS; ++i) {
        uint64_t sum = multiply_wide(a, b[i]) + t[i] + carry;
        t[i] = (uint32_t)sum;
        carry = sum >> 32;
    }
    return carry;
}

void p256_multiply_scalars(uint32_t *r, const uint32_t *a, const uint32_t *b) {
    uint32_t t[WORDS + 1];
    p256_clear(t, sizeof(t));
    for (int i = 0; i < WORDS; ++i) {
        uint64_t top = (uint64_t)t[WORDS] + add_row(t, a[i], b);
        // A multiple of N that makes the lowest word vanish.
        top += add_row(t, t[0] * p256_N_inverse, p256_N);
        for (int j = 0; j < WORDS - 1; ++j) {
            t[j] = t[j + 1];
        }
        t[WORDS - 1] = (uint32_t)top;
        t[WORDS] = top >> 32;
    }
    number less;
    uint32_t too_little = p256_take_off(less, t, p256_N);
    p256_choose(t, less, ~too_little | -t[WORDS]);
    p256_copy(r, t);
}
