// A module for MicroPython: compiled into firmware (micropython.mk, micropython.cmake) or, with
// MICROPY_ENABLE_DYNRUNTIME, into a file birthkey_p256_ARCH.mpy for any firmware.
//
// birthkey.crypto.p256 says what its functions are for; it has checked lengths and types before.

#include <stddef.h>

#if defined(MICROPY_ENABLE_DYNRUNTIME)
#include "py/dynruntime.h"
#else
#include "py/cstack.h"
#include "py/runtime.h"
#endif

#include "curve.h"

// Bytes of stack that have to be free below the functions' caller: what they take where that is most,
// compiled for Cortex-M0+, and MARGIN. tests/emulated/test_p256_room.py measures them.
#define MARGIN 128
#define STACK_IN_RANGE (608 + MARGIN)
#define STACK_REDUCE (352 + MARGIN)
#define STACK_PUBLIC_KEY (640 + MARGIN)
#define STACK_SIGN (704 + MARGIN)
#define STACK_VERIFY (784 + MARGIN)
#define STACK_ECDH (688 + MARGIN)
#define STACK_BELOW (576 + MARGIN) // of all of these, without their own frames

// Where less is free, RuntimeError is raised, as where Python's own calls go too deep: MicroPython
// looks at the stack when a Python function is called, and not when one of these is.
#if defined(MICROPY_ENABLE_DYNRUNTIME)

// A module that is loaded does not see where the stack ends. But MicroPython looks at each call of
// such a function: it calls itself, in steps that are smaller than what MicroPython leaves free
// below its limit, until it has been as deep as it was told.
mp_obj_t p256_descend; // not static: the linker for modules allows no static variable

static mp_obj_t descend(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    mp_obj_t floor[8]; // its address is given away: the frame stays during the call
    floor[0] = args[0];
    if ((mp_int_t)(uintptr_t)__builtin_frame_address(0) > MP_OBJ_SMALL_INT_VALUE(floor[0])) {
        mp_call_function_n_kw(p256_descend, 1, 0, floor);
    }
    return mp_const_none;
}

static void check_room(size_t size) {
    mp_obj_t floor = MP_OBJ_NEW_SMALL_INT((uintptr_t)__builtin_frame_address(0) - size);
    mp_call_function_n_kw(p256_descend, 1, 0, &floor);
}

#else

static bool has_room(size_t size) {
    #if MICROPY_STACK_CHECK
    return mp_cstack_usage() + size < MP_STATE_THREAD(stack_limit);
    #else
    return true;
    #endif
}

static void check_room(size_t size) {
    if (!has_room(size)) {
        mp_raise_recursion_depth();
    }
}

bool p256_has_room(void) {
    return has_room(STACK_BELOW);
}

#endif

// A function of the module: `name`, once there is room for it and its own frame.
#define CHECKED_1(name, size) \
    static mp_obj_t module_##name(mp_obj_t a) { \
        check_room(size); \
        return name(a); \
    } \
    static MP_DEFINE_CONST_FUN_OBJ_1(module_##name##_obj, module_##name)
#define CHECKED_2(name, size) \
    static mp_obj_t module_##name(mp_obj_t a, mp_obj_t b) { \
        check_room(size); \
        return name(a, b); \
    } \
    static MP_DEFINE_CONST_FUN_OBJ_2(module_##name##_obj, module_##name)
#define CHECKED_3(name, size) \
    static mp_obj_t module_##name(mp_obj_t a, mp_obj_t b, mp_obj_t c) { \
        check_room(size); \
        return name(a, b, c); \
    } \
    static MP_DEFINE_CONST_FUN_OBJ_3(module_##name##_obj, module_##name)
#define INSIDE static __attribute__((noinline)) mp_obj_t

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
INSIDE in_range(mp_obj_t scalar_in) {
    number k;
    uint32_t usable = scalar_from(k, bytes_of(scalar_in, 32));
    p256_clear(k, sizeof(k));
    p256_clear_stack();
    return usable ? mp_const_true : mp_const_false;
}
CHECKED_1(in_range, STACK_IN_RANGE);

// reduce(digest): 32 bytes modulo N.
INSIDE reduce(mp_obj_t digest_in) {
    number e;
    uint8_t reduced[32];
    p256_from_bytes(e, bytes_of(digest_in, 32));
    p256_reduce(e);
    p256_to_bytes(reduced, e);
    return mp_obj_new_bytes(reduced, sizeof(reduced));
}
CHECKED_1(reduce, STACK_REDUCE);

// public_key(private): x || y of a private key in range.
INSIDE public_key(mp_obj_t private_in) {
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
CHECKED_1(public_key, STACK_PUBLIC_KEY);

// sign(private, digest, nonce): r || s with the lower s, or None if the nonce gives none.
INSIDE sign(mp_obj_t private_in, mp_obj_t digest_in, mp_obj_t nonce_in) {
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
CHECKED_3(sign, STACK_SIGN);

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
INSIDE verify(mp_obj_t public_in, mp_obj_t digest_in, mp_obj_t signature_in) {
    const uint8_t *public = bytes_of(public_in, 64);
    const uint8_t *digest = bytes_of(digest_in, 32);
    const uint8_t *signature = bytes_of(signature_in, 64);
    work *w = begin(sizeof(work));
    bool valid = verifies(w, public, digest, signature);
    end(w, sizeof(work));
    return valid ? mp_const_true : mp_const_false;
}
CHECKED_3(verify, STACK_VERIFY);

// ecdh(private, public): x of the product, or None if the public key is not on the curve.
INSIDE ecdh(mp_obj_t private_in, mp_obj_t public_in) {
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
CHECKED_2(ecdh, STACK_ECDH);

#if defined(MICROPY_ENABLE_DYNRUNTIME)

mp_obj_t mpy_init(mp_obj_fun_bc_t *self, size_t n_args, size_t n_kw, mp_obj_t *args) {
    MP_DYNRUNTIME_INIT_ENTRY
    p256_descend = MP_DYNRUNTIME_MAKE_FUNCTION(descend);
    mp_store_global(MP_QSTR__descend, p256_descend); // or the garbage collector would take it
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
