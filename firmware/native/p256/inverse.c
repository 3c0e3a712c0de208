// Inversion in a fixed number of steps: "Fast constant-time gcd computation and modular
// inversion", D. J. Bernstein and B.-Y. Yang, 2019, with the step of Pieter Wuille's that keeps
// delta a half, of which 590 are enough for 256 bits. Twenty times, thirty steps on the lowest 30
// bits of f and g make a matrix, and the matrix is applied to all of f, g, d and e:
//     f, g begin as modulus, x and end as 1 or -1, 0
//     d, e begin as 0, 1;  d * x = f and e * x = g modulo the modulus, but for powers of two
// Right shifts of negative numbers keep the sign, as they do in gcc.

#include "curve.h"
#include "wide.h"

#define ROUNDS 20
#define STEPS 30
#define MASK ((int32_t)0x3fffffff)

typedef struct { int32_t u, v, q, r; } matrix; // times 2^30

static int32_t thirty_steps(int32_t zeta, uint32_t f, uint32_t g, matrix *m) {
    uint32_t u = 1, v = 0, q = 0, r = 1;
    for (int i = 0; i < STEPS; ++i) {
        uint32_t swap = zeta >> 31;
        uint32_t odd = -(g & 1);
        // g += f or g -= f, if g is odd
        g += ((f ^ swap) - swap) & odd;
        q += ((u ^ swap) - swap) & odd;
        r += ((v ^ swap) - swap) & odd;
        // f = the old g, if both
        swap &= odd;
        zeta = (int32_t)((uint32_t)zeta ^ swap) - 1;
        f += g & swap;
        u += q & swap;
        v += r & swap;
        g >>= 1;
        u <<= 1;
        v <<= 1;
    }
    *m = (matrix) {(int32_t)u, (int32_t)v, (int32_t)q, (int32_t)r};
    return zeta;
}

// (f, g) = m * (f, g) / 2^30, which leaves no remainder.
static void apply(signed30 *f, signed30 *g, const matrix *m) {
    int64_t sum_f = 0, sum_g = 0;
    for (int i = 0; i < DIGITS; ++i) {
        int32_t fi = f->digit[i], gi = g->digit[i];
        sum_f += multiply_signed(m->u, fi) + multiply_signed(m->v, gi);
        sum_g += multiply_signed(m->q, fi) + multiply_signed(m->r, gi);
        if (i > 0) {
            f->digit[i - 1] = (int32_t)sum_f & MASK;
            g->digit[i - 1] = (int32_t)sum_g & MASK;
        }
        sum_f >>= 30;
        sum_g >>= 30;
    }
    f->digit[DIGITS - 1] = (int32_t)sum_f;
    g->digit[DIGITS - 1] = (int32_t)sum_g;
}

// (d, e) = m * (d, e) / 2^30 modulo the modulus, each between -2 and 1 times the modulus.
static void apply_modulo(signed30 *d, signed30 *e, const matrix *m, const modulus30 *modulus) {
    int32_t minus_d = d->digit[DIGITS - 1] >> 31, minus_e = e->digit[DIGITS - 1] >> 31;
    // How often the modulus is added: once for what is negative, and until 2^30 divides the sum.
    int32_t times_d = (m->u & minus_d) + (m->v & minus_e);
    int32_t times_e = (m->q & minus_d) + (m->r & minus_e);
    uint32_t d0 = d->digit[0], e0 = e->digit[0], inverse = modulus->inverse;
    uint32_t low_d = (uint32_t)m->u * d0 + (uint32_t)m->v * e0;
    uint32_t low_e = (uint32_t)m->q * d0 + (uint32_t)m->r * e0;
    times_d -= (int32_t)(inverse * low_d + (uint32_t)times_d) & MASK;
    times_e -= (int32_t)(inverse * low_e + (uint32_t)times_e) & MASK;
    int64_t sum_d = 0, sum_e = 0;
    for (int i = 0; i < DIGITS; ++i) {
        int32_t di = d->digit[i], ei = e->digit[i], modulus_i = modulus->value.digit[i];
        sum_d += multiply_signed(m->u, di) + multiply_signed(m->v, ei);
        sum_e += multiply_signed(m->q, di) + multiply_signed(m->r, ei);
        sum_d += multiply_signed(modulus_i, times_d);
        sum_e += multiply_signed(modulus_i, times_e);
        if (i > 0) {
            d->digit[i - 1] = (int32_t)sum_d & MASK;
            e->digit[i - 1] = (int32_t)sum_e & MASK;
        }
        sum_d >>= 30;
        sum_e >>= 30;
    }
    d->digit[DIGITS - 1] = (int32_t)sum_d;
    e->digit[DIGITS - 1] = (int32_t)sum_e;
}

// d += modulus & add, then -d if negate; digits of 30 bits again.
static void adjust(signed30 *d, const modulus30 *modulus, int32_t add, int32_t negate) {
    int32_t carry = 0;
    for (int i = 0; i < DIGITS; ++i) {
        int32_t digit = d->digit[i] + (modulus->value.digit[i] & add);
        carry += (digit ^ negate) - negate;
        d->digit[i] = i < DIGITS - 1 ? carry & MASK : carry;
        carry >>= 30;
    }
}

// Digit i is from bit 30 i, which is 2 i below word i.
static void from_words(signed30 *r, const uint32_t *a) {
    r->digit[0] = (int32_t)a[0] & MASK;
    for (int i = 1; i < WORDS; ++i) {
        r->digit[i] = (int32_t)(a[i - 1] >> (32 - 2 * i) | a[i] << 2 * i) & MASK;
    }
    r->digit[WORDS] = (int32_t)(a[WORDS - 1] >> (32 - 2 * WORDS));
}

static void to_words(uint32_t *r, const signed30 *a) {
    for (int i = 0; i < WORDS; ++i) {
        r[i] = (uint32_t)a->digit[i] >> 2 * i | (uint32_t)a->digit[i + 1] << (30 - 2 * i);
    }
}

void p256_invert(work *w, uint32_t *r, const modulus30 *modulus) {
    int32_t zeta = -1;
    matrix m;
    p256_clear(&w->d, sizeof(w->d));
    p256_clear(&w->e, sizeof(w->e));
    w->e.digit[0] = 1;
    for (int i = 0; i < DIGITS; ++i) {
        w->f.digit[i] = modulus->value.digit[i];
    }
    from_words(&w->g, r);
    for (int i = 0; i < ROUNDS; ++i) {
        zeta = thirty_steps(zeta, (uint32_t)w->f.digit[0], (uint32_t)w->g.digit[0], &m);
        apply_modulo(&w->d, &w->e, &m, modulus);
        apply(&w->f, &w->g, &m);
    }
    // d is between -2 and 1 times the modulus; its sign is that of f.
    adjust(&w->d, modulus, w->d.digit[DIGITS - 1] >> 31, w->f.digit[DIGITS - 1] >> 31);
    adjust(&w->d, modulus, w->d.digit[DIGITS - 1] >> 31, 0);
    to_words(r, &w->d);
}
