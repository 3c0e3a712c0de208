// The curve P-256 (SP 800-186, section 3.2.1.3): y^2 = x^3 - 3 x + b modulo P, of prime order N.
//
// All functions that take secrets are free of branches, addresses and counts that depend on them.
#ifndef BIRTHKEY_P256_CURVE_H
#define BIRTHKEY_P256_CURVE_H

#include <stdbool.h>

#include "field.h"

// A point in Jacobian coordinates: (x / z^2, y / z^3), with z = 0 for the point at infinity.
typedef struct { number x, y, z; } point;

// A number in nine digits of 30 bits, lowest first; the last has the sign. For p256_invert.
#define DIGITS 9
typedef struct { int32_t digit[DIGITS]; } signed30;
typedef struct { signed30 value; uint32_t inverse; } modulus30; // inverse: modulo 2^30

#define WINDOWS 64 // digits of 4 bits of a scalar
#define MULTIPLES 8 // 1, 3, 5, ... 15 times a point

// All that is computed on, of the caller's: so that little stack is needed, and all can be wiped.
typedef struct {
    point sum;
    affine entry; // what is added to it
    point twice; // the entry's double, where it may be needed
    number t[4]; // of the point operations
    number u, v; // of the callers'
    number scalar; // odd, and without its lowest bit: see recode
    number comb; // the same for the base point
    uint32_t comb_top; // its bits above
    uint32_t negated, comb_negated; // -1 if the scalar was even, and N - scalar was taken
    signed30 d, e, f, g; // of p256_invert
    // From here on only p256_multiply_point and p256_verify need it.
    affine multiples[MULTIPLES];
    number ratios[MULTIPLES];
} work;

#define WORK_FOR_BASE (offsetof(work, multiples))

bool p256_has_room(void); // whether the stack is enough for who begins to compute: module.c

// constants.c, which tests/support/make_p256_native.py writes.
#define TEETH 5
#define BLOCKS 4
#define COLUMNS 13
#define ENTRIES (1 << (TEETH - 1))
#define SPACING (BLOCKS * COLUMNS)
extern const number p256_P, p256_N, p256_B; // B times 2^256
extern const number p256_P_R1, p256_P_R2, p256_P_R3; // 2^256, 2^512, 2^768 modulo P
extern const number p256_N_R2; // 2^512 modulo N
extern const uint32_t p256_N_inverse; // -1 / N modulo 2^32
extern const modulus30 p256_P_30, p256_N_30;
extern const affine p256_comb[BLOCKS * ENTRIES];

// words.c: numbers as such.
uint32_t p256_less(const uint32_t *a, const uint32_t *b); // -1 if a < b, else 0
uint32_t p256_zero(const uint32_t *a); // -1 if a = 0, else 0
uint32_t p256_take_off(uint32_t *r, const uint32_t *a, const uint32_t *b); // a - b; -1 if a < b
void p256_choose(uint32_t *r, const uint32_t *a, uint32_t mask); // r = a if the mask is -1
void p256_copy(uint32_t *r, const uint32_t *a);
void p256_clear(void *memory, uint32_t size); // of a multiple of four bytes, and not left out
void p256_clear_stack(void); // below the caller, where the functions that it called had theirs
void p256_from_bytes(uint32_t *r, const uint8_t *bytes); // big-endian
void p256_to_bytes(uint8_t *bytes, const uint32_t *a);

// scalar.c: modulo N.
void p256_reduce(uint32_t *r); // any eight words become less than N
void p256_add_scalars(uint32_t *r, const uint32_t *a, const uint32_t *b);
void p256_multiply_scalars(uint32_t *r, const uint32_t *a, const uint32_t *b); // a * b / 2^256

// inverse.c: r = 1 / r modulo an odd prime; 0 for 0.
void p256_invert(work *w, uint32_t *r, const modulus30 *modulus);

// curve.c. Scalars are in 1..N-1 unless it says otherwise.
bool p256_on_curve(work *w, affine *q); // of numbers less than P; they get Montgomery's form
void p256_multiply_base(work *w, const uint32_t *k); // sum = k * G
void p256_multiply_point(work *w, const uint32_t *k, const affine *q); // sum = k * q
// sum = k * G + v * q, all of it public: this one branches. k may be 0.
void p256_multiply_both(work *w, const uint32_t *k, const uint32_t *v, const affine *q);
void p256_to_affine(work *w, uint32_t *x, uint32_t *y); // of the sum, not infinite; y or NULL

#endif
