// Points of the curve. Numbers are in Montgomery's form (field.h) unless it says otherwise.

#include <stddef.h>

#include "curve.h"

// Whether the sum may be infinite, the entry or its negative, when the entry is added to it.
typedef enum { FIRST, NEVER, SECRETLY, PUBLICLY } collision;

// p = 2 p. Infinity stays infinite.
static void double_point(work *w, point *p) {
    uint32_t *t0 = w->t[0], *t1 = w->t[1], *t2 = w->t[2];
    p256_square(t0, p->z);
    p256_multiply(p->z, p->y, p->z); // z3 = y z
    p256_square(t1, p->y);
    p256_multiply(t2, p->x, t1); // x y^2
    p256_add(p->y, p->x, t0);
    p256_subtract(t0, p->x, t0);
    p256_multiply(t0, t0, p->y); // x^2 - z^4
    p256_add(p->y, t0, t0);
    p256_add(t0, t0, p->y);
    p256_halve(t0, t0); // slope = 3 / 2 (x^2 - z^4)
    p256_square(p->x, t0);
    p256_subtract(p->x, p->x, t2);
    p256_subtract(p->x, p->x, t2); // x3 = slope^2 - 2 x y^2
    p256_subtract(t2, t2, p->x);
    p256_multiply(t2, t2, t0);
    p256_square(t1, t1);
    p256_subtract(p->y, t2, t1); // y3 = slope (x y^2 - x3) - y^4
}

// sum += entry, for a sum that is not infinite, the entry or its negative. Leaves what the two
// differ by in t[0], for x, and t[1], for y. If only y differs the sum is infinite, rightly so.
static void add_other(work *w) {
    point *p = &w->sum;
    uint32_t *t0 = w->t[0], *t1 = w->t[1], *t2 = w->t[2], *t3 = w->t[3];
    p256_square(t0, p->z);
    p256_multiply(t1, t0, p->z);
    p256_multiply(t0, t0, w->entry.x);
    p256_multiply(t1, t1, w->entry.y);
    p256_subtract(t0, t0, p->x); // h = x2 z^2 - x
    p256_subtract(t1, t1, p->y); // r = y2 z^3 - y
    p256_multiply(p->z, p->z, t0); // z3 = z h
    p256_square(t2, t0);
    p256_multiply(t3, t2, t0); // h^3
    p256_multiply(t2, t2, p->x); // x h^2
    p256_square(p->x, t1);
    p256_subtract(p->x, p->x, t3);
    p256_subtract(p->x, p->x, t2);
    p256_subtract(p->x, p->x, t2); // x3 = r^2 - h^3 - 2 x h^2
    p256_subtract(t2, t2, p->x);
    p256_multiply(t2, t2, t1);
    p256_multiply(t3, t3, p->y);
    p256_subtract(p->y, t2, t3); // y3 = r (x h^2 - x3) - y h^3
}

static void from_affine(point *p, const affine *q) {
    p256_copy(p->x, q->x);
    p256_copy(p->y, q->y);
    p256_copy(p->z, p256_P_R1);
}

static void choose_point(point *p, const point *other, uint32_t mask) {
    p256_choose(p->x, other->x, mask);
    p256_choose(p->y, other->y, mask);
    p256_choose(p->z, other->z, mask);
}

// sum += entry, whatever they are; nothing tells which case it was.
static void add_any(work *w) {
    uint32_t infinite = p256_zero(w->sum.z);
    from_affine(&w->twice, &w->entry);
    double_point(w, &w->twice);
    add_other(w);
    choose_point(&w->sum, &w->twice, p256_zero(w->t[0]) & p256_zero(w->t[1]));
    from_affine(&w->twice, &w->entry);
    choose_point(&w->sum, &w->twice, infinite);
}

// sum += entry, whatever they are; quicker, but it tells.
static void add_public(work *w) {
    if (p256_zero(w->sum.z)) {
        from_affine(&w->sum, &w->entry);
        return;
    }
    add_other(w);
    if (p256_zero(w->t[0]) & p256_zero(w->t[1])) {
        from_affine(&w->sum, &w->entry);
        double_point(w, &w->sum);
    }
}

// sum = sum + or - table[...], as a row of signs says: bits, of which 1 is plus. The table holds
// the entries whose highest sign is plus; the rest are their negatives.
static void add_signed(
    work *w, const affine *table, uint32_t entries, uint32_t signs, uint32_t negated,
    collision may_collide) {
    uint32_t minus = (signs & entries ? 1u : 0u) - 1;
    p256_pick(&w->entry, table, entries, (signs ^ minus) & (entries - 1));
    p256_clear(w->t[0], sizeof(number));
    p256_subtract(w->t[0], w->t[0], w->entry.y);
    p256_choose(w->entry.y, w->t[0], minus ^ negated);
    if (may_collide == FIRST) {
        from_affine(&w->sum, &w->entry);
    } else if (may_collide == NEVER) {
        add_other(w);
    } else if (may_collide == SECRETLY) {
        add_any(w);
    } else {
        add_public(w);
    }
}

// An odd scalar is a sum of plus or minus 2^i over all i below some length: bit i + 1 of it says
// which, where the highest is plus. An even one is made odd by taking it from N, and all signs
// turn; returns -1 then. r = the odd scalar without its lowest bit.
static uint32_t recode(uint32_t *r, const uint32_t *k) {
    number odd;
    uint32_t even = (k[0] & 1) - 1;
    p256_take_off(odd, p256_N, k);
    p256_copy(r, k);
    p256_choose(r, odd, even);
    for (int i = 0; i < WORDS; ++i) {
        r[i] = r[i] >> 1 | (i < WORDS - 1 ? r[i + 1] << 31 : 0);
    }
    return even;
}

static void recode_for_comb(work *w, const uint32_t *k) {
    w->comb_negated = recode(w->comb, k);
    w->comb_top = 1 << (TEETH * SPACING - 1 - 32 * WORDS);
}

// sum += what one column of the comb contributes: in each block, the signs of its teeth.
static void add_column(work *w, int column, collision may_collide) {
    for (int block = 0; block < BLOCKS; ++block) {
        uint32_t signs = 0;
        uint32_t place = block * COLUMNS + column + TEETH * SPACING;
        for (int tooth = 0; tooth < TEETH; ++tooth) {
            place -= SPACING;
            uint32_t word = place < 32 * WORDS ? w->comb[place / 32] : w->comb_top;
            signs = signs << 1 | (word >> place % 32 & 1);
        }
        add_signed(
            w, p256_comb + block * ENTRIES, ENTRIES, signs, w->comb_negated,
            block && may_collide == FIRST ? NEVER : may_collide);
    }
}

void p256_multiply_base(work *w, const uint32_t *k) {
    recode_for_comb(w, k);
    add_column(w, COLUMNS - 1, FIRST);
    for (int column = COLUMNS - 2; column > 0; --column) {
        double_point(w, &w->sum);
        add_column(w, column, NEVER);
    }
    // Here, and not before, a sum may meet an entry: make_p256_native.py checks that.
    double_point(w, &w->sum);
    add_column(w, 0, SECRETLY);
}

// multiples = q, 3 q, 5 q, ... 15 q, or their negatives.
static void make_multiples(work *w, const affine *q, uint32_t negated) {
    affine *m = w->multiples;
    p256_copy(m[0].x, q->x);
    p256_copy(m[0].y, q->y);
    p256_clear(w->v, sizeof(number));
    p256_subtract(w->v, w->v, q->y);
    p256_choose(m[0].y, w->v, negated);
    // On another curve, where x is z^2 and y is z^3 times as large, for the z of 2 q, 2 q is
    // affine. Nothing but doubling would have to know which curve it is.
    from_affine(&w->twice, m);
    double_point(w, &w->twice);
    uint32_t *z = w->twice.z;
    p256_square(w->u, z);
    p256_multiply(w->sum.x, m[0].x, w->u);
    p256_multiply(w->u, w->u, z);
    p256_multiply(w->sum.y, m[0].y, w->u);
    p256_copy(w->sum.z, p256_P_R1);
    p256_copy(w->entry.x, w->twice.x);
    p256_copy(w->entry.y, w->twice.y);
    for (int i = 1; i < MULTIPLES; ++i) {
        add_other(w);
        p256_copy(m[i].x, w->sum.x);
        p256_copy(m[i].y, w->sum.y);
        p256_copy(w->ratios[i], w->t[0]); // z of this one / z of the one before
    }
    p256_multiply(w->sum.z, w->sum.z, z);
    p256_copy(w->u, w->sum.z);
    p256_invert(w, w->u, &p256_P_30);
    p256_multiply(w->u, w->u, p256_P_R3);
    for (int i = MULTIPLES - 1; i > 0; --i) {
        p256_square(w->v, w->u);
        p256_multiply(m[i].x, m[i].x, w->v);
        p256_multiply(w->v, w->v, w->u);
        p256_multiply(m[i].y, m[i].y, w->v);
        p256_multiply(w->u, w->u, w->ratios[i]);
    }
}

// sum += what the digit of 4 bits contributes: four signs, odd numbers from -15 to 15.
static void add_window(work *w, int window, collision may_collide) {
    uint32_t signs = w->scalar[window / 8] >> 4 * (window % 8) & 15;
    if (may_collide == FIRST) {
        signs |= MULTIPLES; // the sign above, which is always plus, makes the highest digit plus
    }
    add_signed(w, w->multiples, MULTIPLES, signs, 0, may_collide);
}

void p256_multiply_point(work *w, const uint32_t *k, const affine *q) {
    w->negated = recode(w->scalar, k);
    make_multiples(w, q, w->negated);
    add_window(w, WINDOWS - 1, FIRST);
    for (int window = WINDOWS - 2; window >= 0; --window) {
        for (int i = 0; i < 4; ++i) {
            double_point(w, &w->sum);
        }
        // The sum is from 16 to N - 16 times q, but for the last digit.
        add_window(w, window, window ? NEVER : SECRETLY);
    }
}

void p256_multiply_both(work *w, const uint32_t *k, const uint32_t *v, const affine *q) {
    recode_for_comb(w, k);
    w->negated = recode(w->scalar, v);
    make_multiples(w, q, w->negated);
    add_window(w, WINDOWS - 1, FIRST);
    for (int place = 4 * (WINDOWS - 1) - 1; place >= 0; --place) {
        double_point(w, &w->sum);
        if (place < COLUMNS) { // the comb shares the last doublings
            add_column(w, place, PUBLICLY);
        }
        if (place % 4 == 0) {
            add_window(w, place / 4, PUBLICLY);
        }
    }
}

bool p256_on_curve(work *w, affine *q) {
    uint32_t *t0 = w->t[0], *t1 = w->t[1];
    p256_multiply(q->x, q->x, p256_P_R2);
    p256_multiply(q->y, q->y, p256_P_R2);
    p256_square(t0, q->x);
    for (int i = 0; i < 3; ++i) {
        p256_subtract(t0, t0, p256_P_R1);
    }
    p256_multiply(t0, t0, q->x);
    p256_add(t0, t0, p256_B); // x^3 - 3 x + b
    p256_square(t1, q->y);
    p256_subtract(t0, t0, t1);
    return p256_zero(t0);
}

void p256_to_affine(work *w, uint32_t *x, uint32_t *y) {
    static const number one = {1};
    uint32_t *t0 = w->t[0], *t1 = w->t[1];
    p256_copy(t0, w->sum.z);
    p256_invert(w, t0, &p256_P_30); // not in Montgomery's form: 1 / (z 2^256)
    p256_multiply(t0, t0, p256_P_R3);
    p256_square(t1, t0);
    p256_multiply(x, w->sum.x, t1);
    p256_multiply(x, x, one); // out of Montgomery's form
    if (y) {
        p256_multiply(t1, t1, t0);
        p256_multiply(y, w->sum.y, t1);
        p256_multiply(y, y, one);
    }
}
