// qemu.ecdsa_sign, qemu.ecdsa_verify and qemu.ecdh: P-256 as mbed TLS computes it for TLS, or with
// its `own` arithmetic, to compare with. Nothing of birthkey calls them.

#include <string.h>

#include "py/runtime.h"

#include "mbedtls/ecdh.h"
#include "mbedtls/ecdsa.h"

#include "port.h"

static int random_for_mbedtls(void *context, unsigned char *data, size_t size) {
    (void)context;
    random_bytes(data, size);
    return 0;
}

static const uint8_t *bytes_of(mp_obj_t object, size_t length) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(object, &buffer, MP_BUFFER_READ);
    if (buffer.len != length) {
        mp_raise_ValueError(MP_ERROR_TEXT("wrong length"));
    }
    return buffer.buf;
}

// Under no name of a curve nobody but mbed TLS knows what to do with it.
static int load(mbedtls_ecp_group *group, mp_obj_t own) {
    int failed = mbedtls_ecp_group_load(group, MBEDTLS_ECP_DP_SECP256R1);
    if (mp_obj_is_true(own)) {
        group->id = MBEDTLS_ECP_DP_NONE;
    }
    return failed;
}

static int read_public(mbedtls_ecp_group *group, mbedtls_ecp_point *q, mp_obj_t public_in) {
    uint8_t uncompressed[65] = {4};
    memcpy(uncompressed + 1, bytes_of(public_in, 64), 64);
    return mbedtls_ecp_point_read_binary(group, q, uncompressed, sizeof(uncompressed));
}

// ecdsa_sign(private, digest, own): r || s with a random nonce.
static mp_obj_t ecdsa_sign(mp_obj_t private_in, mp_obj_t digest_in, mp_obj_t own) {
    mbedtls_ecp_group group;
    mbedtls_mpi r, s, d;
    uint8_t signature[64];
    mbedtls_ecp_group_init(&group);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    mbedtls_mpi_init(&d);
    int failed = load(&group, own)
        || mbedtls_mpi_read_binary(&d, bytes_of(private_in, 32), 32)
        || mbedtls_ecdsa_sign(
            &group, &r, &s, &d, bytes_of(digest_in, 32), 32, random_for_mbedtls, NULL)
        || mbedtls_mpi_write_binary(&r, signature, 32)
        || mbedtls_mpi_write_binary(&s, signature + 32, 32);
    mbedtls_mpi_free(&d);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_group_free(&group);
    if (failed) {
        mp_raise_ValueError(MP_ERROR_TEXT("mbed TLS does not sign"));
    }
    return mp_obj_new_bytes(signature, sizeof(signature));
}
MP_DEFINE_CONST_FUN_OBJ_3(qemu_ecdsa_sign_obj, ecdsa_sign);

// ecdsa_verify(public, digest, signature, own)
static mp_obj_t ecdsa_verify(size_t n_args, const mp_obj_t *args) {
    mbedtls_ecp_group group;
    mbedtls_ecp_point q;
    mbedtls_mpi r, s;
    const uint8_t *digest = bytes_of(args[1], 32);
    const uint8_t *signature = bytes_of(args[2], 64);
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&q);
    mbedtls_mpi_init(&r);
    mbedtls_mpi_init(&s);
    int failed = load(&group, args[3])
        || read_public(&group, &q, args[0])
        || mbedtls_mpi_read_binary(&r, signature, 32)
        || mbedtls_mpi_read_binary(&s, signature + 32, 32)
        || mbedtls_ecdsa_verify(&group, digest, 32, &q, &r, &s);
    mbedtls_mpi_free(&s);
    mbedtls_mpi_free(&r);
    mbedtls_ecp_point_free(&q);
    mbedtls_ecp_group_free(&group);
    return mp_obj_new_bool(!failed);
}
MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(qemu_ecdsa_verify_obj, 4, 4, ecdsa_verify);

// ecdh(private, public, own): the shared secret.
static mp_obj_t ecdh(mp_obj_t private_in, mp_obj_t public_in, mp_obj_t own) {
    mbedtls_ecp_group group;
    mbedtls_ecp_point q;
    mbedtls_mpi d, z;
    uint8_t secret[32];
    const uint8_t *private = bytes_of(private_in, 32);
    bytes_of(public_in, 64);
    mbedtls_ecp_group_init(&group);
    mbedtls_ecp_point_init(&q);
    mbedtls_mpi_init(&d);
    mbedtls_mpi_init(&z);
    int failed = load(&group, own)
        || mbedtls_mpi_read_binary(&d, private, 32)
        || read_public(&group, &q, public_in)
        || mbedtls_ecdh_compute_shared(&group, &z, &q, &d, random_for_mbedtls, NULL)
        || mbedtls_mpi_write_binary(&z, secret, 32);
    mbedtls_mpi_free(&z);
    mbedtls_mpi_free(&d);
    mbedtls_ecp_point_free(&q);
    mbedtls_ecp_group_free(&group);
    if (failed) {
        mp_raise_ValueError(MP_ERROR_TEXT("mbed TLS agrees on no key"));
    }
    return mp_obj_new_bytes(secret, sizeof(secret));
}
MP_DEFINE_CONST_FUN_OBJ_3(qemu_ecdh_obj, ecdh);
