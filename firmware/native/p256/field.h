// Numbers modulo P, the prime of the curve, in eight words, lowest first, each less than P.
// Points are made of a number times 2^256 (Montgomery's form), which p256_multiply keeps:
// (a * 2^256) * (b * 2^256) / 2^256 = (a * b) * 2^256.
//
// field_v7.S has the functions, or field_v6m.S and product_v6m.S. They take the same instructions
// and read the same addresses whatever the numbers are; r may be the same as a or b.
#ifndef BIRTHKEY_P256_FIELD_H
#define BIRTHKEY_P256_FIELD_H

#if defined(__ARM_FEATURE_DSP)
#define UMAAL
#endif

#ifndef __ASSEMBLER__
#include <stdint.h>

// MicroPython is compiled for size. No loop becomes memset, which a module of its own has not.
#pragma GCC optimize("O2", "no-tree-loop-distribute-patterns")

#define WORDS 8

typedef uint32_t number[WORDS];
typedef struct { number x, y; } affine;

void p256_multiply(uint32_t *r, const uint32_t *a, const uint32_t *b); // a * b / 2^256
void p256_square(uint32_t *r, const uint32_t *a);
void p256_add(uint32_t *r, const uint32_t *a, const uint32_t *b);
void p256_subtract(uint32_t *r, const uint32_t *a, const uint32_t *b);
void p256_halve(uint32_t *r, const uint32_t *a);

// r = table[index], found by reading all of the table's entries.
void p256_pick(affine *r, const affine *table, uint32_t count, uint32_t index);

#endif
#endif
