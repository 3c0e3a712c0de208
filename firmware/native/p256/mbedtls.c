// mbed TLS's products on P-256, computed by this back end, for firmware that is linked with
//     -Wl,--wrap=mbedtls_ecp_mul_restartable -Wl,--wrap=mbedtls_ecp_muladd_restartable
// Agreement on a key is a product of the first kind, and verification needs one of the second.
// Other curves, and sums that do not begin with the base point, are left to mbed TLS.

#include <stddef.h>

#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include "mbedtls/ecp.h"
#include "mbedtls/platform.h"

#include "curve.h"

typedef int random_bytes(void *context, unsigned char *data, size_t size);

int __real_mbedtls_ecp_mul_restartable(
    mbedtls_ecp_group *group, mbedtls_ecp_point *r, const mbedtls_mpi *m,
    const mbedtls_ecp_point *p, random_bytes *random, void *context,
    mbedtls_ecp_restart_ctx *restart);
int __real_mbedtls_ecp_muladd_restartable(
    mbedtls_ecp_group *group, mbedtls_ecp_point *r, const mbedtls_mpi *m,
    const mbedtls_ecp_point *p, const mbedtls_mpi *n, const mbedtls_ecp_point *q,
    mbedtls_ecp_restart_ctx *restart);

// Whether it fits into eight words and is not negative.
static bool number_from(uint32_t *r, const mbedtls_mpi *m) {
    return m->s > 0 && !mbedtls_mpi_write_binary_le(m, (uint8_t *)r, sizeof(number));
}

static bool scalar_from(uint32_t *k, const mbedtls_mpi *m) {
    return number_from(k, m) && (p256_less(k, p256_N) & ~p256_zero(k));
}

static bool point_from(work *w, affine *q, const mbedtls_ecp_point *p) {
    return !mbedtls_mpi_cmp_int(&p->Z, 1) && number_from(q->x, &p->X) && number_from(q->y, &p->Y)
        && p256_less(q->x, p256_P) && p256_less(q->y, p256_P) && p256_on_curve(w, q);
}

static int give_sum(work *w, mbedtls_ecp_point *r) {
    if (p256_zero(w->sum.z)) {
        return mbedtls_ecp_set_zero(r);
    }
    p256_to_affine(w, w->u, w->v);
    int failed = mbedtls_mpi_read_binary_le(&r->X, (uint8_t *)w->u, sizeof(number));
    failed = failed ? failed : mbedtls_mpi_read_binary_le(&r->Y, (uint8_t *)w->v, sizeof(number));
    return failed ? failed : mbedtls_mpi_lset(&r->Z, 1);
}

// NULL if heap or stack is too little for it: nothing may be raised through mbed TLS.
static work *begin(size_t size) {
    return p256_has_room() ? mbedtls_calloc(1, size) : NULL;
}

static int end(work *w, size_t size, int result) {
    p256_clear(w, size);
    p256_clear_stack();
    mbedtls_free(w);
    return result;
}

// r = m * p
int __wrap_mbedtls_ecp_mul_restartable(
    mbedtls_ecp_group *group, mbedtls_ecp_point *r, const mbedtls_mpi *m,
    const mbedtls_ecp_point *p, random_bytes *random, void *context,
    mbedtls_ecp_restart_ctx *restart) {
    if (group->id != MBEDTLS_ECP_DP_SECP256R1) {
        return __real_mbedtls_ecp_mul_restartable(group, r, m, p, random, context, restart);
    }
    bool base = p == &group->G;
    size_t size = base ? WORK_FOR_BASE : sizeof(work);
    work *w = begin(size);
    if (!w) {
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    }
    affine q;
    if (!scalar_from(w->u, m) || !(base || point_from(w, &q, p))) {
        return end(w, size, MBEDTLS_ERR_ECP_INVALID_KEY);
    }
    if (base) {
        p256_multiply_base(w, w->u);
    } else {
        p256_multiply_point(w, w->u, &q);
    }
    return end(w, size, give_sum(w, r));
}

// r = m * p + n * q, all of it public
int __wrap_mbedtls_ecp_muladd_restartable(
    mbedtls_ecp_group *group, mbedtls_ecp_point *r, const mbedtls_mpi *m,
    const mbedtls_ecp_point *p, const mbedtls_mpi *n, const mbedtls_ecp_point *q,
    mbedtls_ecp_restart_ctx *restart) {
    number k, v;
    if (group->id != MBEDTLS_ECP_DP_SECP256R1 || p != &group->G
        || !number_from(k, m) || !p256_less(k, p256_N) || !scalar_from(v, n)) {
        return __real_mbedtls_ecp_muladd_restartable(group, r, m, p, n, q, restart);
    }
    work *w = begin(sizeof(work));
    if (!w) {
        return MBEDTLS_ERR_ECP_ALLOC_FAILED;
    }
    affine point;
    if (!point_from(w, &point, q)) {
        return end(w, sizeof(work), MBEDTLS_ERR_ECP_INVALID_KEY);
    }
    p256_multiply_both(w, k, v, &point);
    return end(w, sizeof(work), give_sum(w, r));
}
