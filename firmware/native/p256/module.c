// A module for MicroPython: compiled into firmware (micropython.mk, micropython.cmake) or, with
// MICROPY_ENABLE_DYNRUNTIME, into a file birthkey_p256_ARCH.mpy for any firmware.
//
// birthkey.crypto.p256 says what its functions are for; it has checked lengths and types before.

#include <stddef.h>

#if defined(MICROPY_ENABLE_DYNRUNTIME)
#include "py/dynruntime.h"
#else
#include "py/runtime.h"
#endif

#include "curve.h"

static const uint8_t *bytes_of(mp_obj_t object, size_t length) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    if (buffer.len != length) {
        mp_raise_ValueError(MP_ERROR_TEXT("wrong length"));
    }
    return buffer.buf;
}

static work *begin(size_t size) {
    return (work *)m_new(uint32_t, size / sizeof(uint32_t));
}

static void end(work *w, size_t size) {
    p256_clear(w, size);
    p256_clear_stack();
    m_del(uint32_t, (uint32_t *)w, size / sizeof(uint32_t));
}

static uint32_t scalar_in_range(const uint32_t *k) {
    return p256_less(k, p256_N) & ~p256_zero(k);
}

// A number out of the bytes, and whether it is in 1..N-1.
static uint32_t scalar_from(uint32_t *k, const uint8_t *bytes) {
    p256_from_bytes(k, bytes);
    return scalar_in_range(k);
}

// A point out of the bytes, and whether it is one of the curve.
static bool point_from(work *w, affine *q, const uint8_t *bytes) {
    p256_from_bytes(q->x, bytes);
    p256_from_bytes(q->y, bytes + 32);
    return p256_less(q->x, p256_P) && p256_less(q->y, p256_P) && p256_on_curve(w, q);
}

// in_range(scalar): whether 32 bytes are a number in 1..N-1.
static mp_obj_t module_in_range(mp_obj_t scalar_in) {
    number k;
    uint32_t usable = scalar_from(k, bytes_of(scalar_in, 32));
    p256_clear(k, sizeof(k));
    p256_clear_stack();
    return usable ? mp_const_true : mp_const_false;
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_in_range_obj, module_in_range);

// reduce(digest): 32 bytes modulo N.
static mp_obj_t module_reduce(mp_obj_t digest_in) {
    number e;
    uint8_t reduced[32];
    p256_from_bytes(e, bytes_of(digest_in, 32));
    p256_reduce(e);
    p256_to_bytes(reduced, e);
    return mp_obj_new_bytes(reduced, sizeof(reduced));
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_reduce_obj, module_reduce);

// public_key(private): x || y of a private key in range.
static mp_obj_t module_public_key(mp_obj_t private_in) {
    const uint8_t *private = bytes_of(private_in, 32);
    uint8_t public[64];
    work *w = begin(WORK_FOR_BASE);
    p256_from_bytes(w->u, private);
    p256_multiply_base(w, w->u);
    p256_to_affine(w, w->u, w->v);
    p256_to_bytes(public, w->u);
    p256_to_bytes(public + 32, w->v);
    end(w, WORK_FOR_BASE);
    return mp_obj_new_bytes(public, sizeof(public));
}
static MP_DEFINE_CONST_FUN_OBJ_1(module_public_key_obj, module_public_key);

// sign(private, digest, nonce): r || s with the lower s, or None if the nonce gives none.
static mp_obj_t module_sign(mp_obj_t private_in, mp_obj_t digest_in, mp_obj_t nonce_in) {
    const uint8_t *private = bytes_of(private_in, 32);
    const uint8_t *digest = bytes_of(digest_in, 32);
    const uint8_t *nonce = bytes_of(nonce_in, 32);
    uint8_t signature[64];
    work *w = begin(WORK_FOR_BASE);
    uint32_t *k = w->u, *r = w->v, *s = w->t[0], *other = w->t[1];
    uint32_t usable = scalar_from(k, nonce);
    if (usable) { // what is thrown away may be known
        p256_multiply_base(w, k);
        p256_to_affine(w, r, NULL);
        p256_reduce(r);
        p256_invert(w, k, &p256_N_30);
        p256_from_bytes(other, private);
        p256_multiply_scalars(s, r, p256_N_R2);
        p256_multiply_scalars(s, s, other); // r d
        p256_from_bytes(other, digest);
        p256_reduce(other);
        p256_add_scalars(s, s, other);
        p256_multiply_scalars(k, k, p256_N_R2);
        p256_multiply_scalars(s, s, k); // (r d + e) / k
        usable = ~p256_zero(r) & ~p256_zero(s);
        p256_take_off(other, p256_N, s);
        p256_choose(s, other, p256_less(other, s));
        p256_to_bytes(signature, r);
        p256_to_bytes(signature + 32, s);
    }
    end(w, WORK_FOR_BASE);
    return usable ? mp_obj_new_bytes(signature, sizeof(signature)) : mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_3(module_sign_obj, module_sign);

static bool verifies(
    work *w, const uint8_t *public, const uint8_t *digest, const uint8_t *signature) {
    number r, u, v;
    affine q;
    if (!scalar_from(r, signature) || !scalar_from(v, signature + 32)
        || !point_from(w, &q, public)) {
        return false;
    }
    p256_invert(w, v, &p256_N_30);
    p256_multiply_scalars(v, v, p256_N_R2);
    p256_from_bytes(u, digest);
    p256_reduce(u);
    p256_multiply_scalars(u, u, v);
    p256_multiply_scalars(v, v, r);
    p256_multiply_both(w, u, v, &q);
    if (p256_zero(w->sum.z)) {
        return false;
    }
    // r = x / z^2 modulo N, without a division: x is r or r + N.
    p256_square(v, w->sum.z);
    p256_multiply(u, r, p256_P_R2);
    p256_multiply(u, u, v);
    p256_subtract(u, u, w->sum.x);
    if (p256_zero(u)) {
        return true;
    }
    p256_take_off(u, p256_P, p256_N);
    if (!p256_less(r, u)) {
        return false;
    }
    p256_add(u, r, p256_N);
    p256_multiply(u, u, p256_P_R2);
    p256_multiply(u, u, v);
    p256_subtract(u, u, w->sum.x);
    return p256_zero(u);
}

// verify(public, digest, signature): whether it is valid.
static mp_obj_t module_verify(mp_obj_t public_in, mp_obj_t digest_in, mp_obj_t signature_in) {
    const uint8_t *public = bytes_of(public_in, 64);
    const uint8_t *digest = bytes_of(digest_in, 32);
    const uint8_t *signature = bytes_of(signature_in, 64);
    work *w = begin(sizeof(work));
    bool valid = verifies(w, public, digest, signature);
    end(w, sizeof(work));
    return valid ? mp_const_true : mp_const_false;
}
static MP_DEFINE_CONST_FUN_OBJ_3(module_verify_obj, module_verify);

// ecdh(private, public): x of the product, or None if the public key is not on the curve.
static mp_obj_t module_ecdh(mp_obj_t private_in, mp_obj_t public_in) {
    const uint8_t *private = bytes_of(private_in, 32);
    const uint8_t *public = bytes_of(public_in, 64);
    uint8_t shared[32];
    affine q;
    work *w = begin(sizeof(work));
    bool valid = point_from(w, &q, public);
    if (valid) {
        p256_from_bytes(w->u, private);
        p256_multiply_point(w, w->u, &q);
        p256_to_affine(w, w->u, NULL);
        p256_to_bytes(shared, w->u);
    }
    end(w, sizeof(work));
    mp_obj_t result = valid ? mp_obj_new_bytes(shared, sizeof(shared)) : mp_const_none;
    p256_clear(shared, sizeof(shared));
    return result;
}
static MP_DEFINE_CONST_FUN_OBJ_2(module_ecdh_obj, module_ecdh);

#if defined(MICROPY_ENABLE_DYNRUNTIME)

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    mp_store_global(MP_QSTR_in_range, MP_OBJ_FROM_PTR(&module_in_range_obj));
    mp_store_global(MP_QSTR_reduce, MP_OBJ_FROM_PTR(&module_reduce_obj));
    mp_store_global(MP_QSTR_public_key, MP_OBJ_FROM_PTR(&module_public_key_obj));
    mp_store_global(MP_QSTR_sign, MP_OBJ_FROM_PTR(&module_sign_obj));
    mp_store_global(MP_QSTR_verify, MP_OBJ_FROM_PTR(&module_verify_obj));
    mp_store_global(MP_QSTR_ecdh, MP_OBJ_FROM_PTR(&module_ecdh_obj));
    MP_DYNRUNTIME_INIT_EXIT
}

#else

#if defined(__ARM_FEATURE_DSP)
#define NAME MP_QSTR_birthkey_p256_armv7em
#elif defined(__ARM_ARCH_6M__)
#define NAME MP_QSTR_birthkey_p256_armv6m
#else
#define NAME MP_QSTR_birthkey_p256_armv7m
#endif

static const mp_rom_map_elem_t module_globals_table[] = {
    {MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(NAME)},
    {MP_ROM_QSTR(MP_QSTR_in_range), MP_ROM_PTR(&module_in_range_obj)},
    {MP_ROM_QSTR(MP_QSTR_reduce), MP_ROM_PTR(&module_reduce_obj)},
    {MP_ROM_QSTR(MP_QSTR_public_key), MP_ROM_PTR(&module_public_key_obj)},
    {MP_ROM_QSTR(MP_QSTR_sign), MP_ROM_PTR(&module_sign_obj)},
    {MP_ROM_QSTR(MP_QSTR_verify), MP_ROM_PTR(&module_verify_obj)},
    {MP_ROM_QSTR(MP_QSTR_ecdh), MP_ROM_PTR(&module_ecdh_obj)},
};
static MP_DEFINE_CONST_DICT(module_globals, module_globals_table);

const mp_obj_module_t birthkey_p256_module = {
    .base = {&mp_type_module},
    .globals = (mp_obj_dict_t *)&module_globals,
};

MP_REGISTER_MODULE(NAME, birthkey_p256_module);

#endif
