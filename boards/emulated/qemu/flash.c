// The module `qemu`: `stack_peak`, mbed TLS's ECDSA, and `Flash`, a block device for littlefs on the
// file flash.bin.
//
// Flash behaves as NOR flash does: erasing sets bits, programming clears them. Each operation is in
// the file when it returns, so killing QEMU is cutting the power. With the option journal=FILE
// each operation is appended to that file too, before it is done, so that a test can make the
// flash of any moment again.

#include <string.h>

#include "extmod/vfs.h"
#include "py/mperrno.h"
#include "py/runtime.h"

#include "port.h"

#define BLOCK_SIZE (4096)
#define PAGE_SIZE (256)

static int file = -1, journal = -1;
static size_t blocks;

// A line of JSON for each operation, as the emulated RP2040 writes it.
static void note(const char *operation, size_t offset, size_t length, const uint8_t *data) {
    if (journal < 0) {
        return;
    }
    vstr_t line;
    mp_print_t print;
    vstr_init_print(&line, 64 + (data != NULL ? 2 * length : 0), &print);
    mp_printf(&print, "{\"operation\":\"%s\",\"offset\":%u,\"length\":%u", operation, offset, length);
    if (data != NULL) {
        mp_printf(&print, ",\"data\":\"");
        for (size_t i = 0; i < length; ++i) {
            mp_printf(&print, "%02x", data[i]);
        }
        mp_printf(&print, "\"");
    }
    mp_printf(&print, "}\n");
    semihosting_write(journal, line.buf, line.len);
    vstr_clear(&line);
}

static void failed(void) {
    mp_raise_OSError(MP_EIO);
}

static void put(size_t offset, const uint8_t *data, size_t size) {
    if (!semihosting_seek(file, offset) || !semihosting_write(file, data, size)) {
        failed();
    }
}

static void get(size_t offset, uint8_t *data, size_t size) {
    if (offset + size > blocks * BLOCK_SIZE || !semihosting_seek(file, offset)
        || !semihosting_read(file, data, size)) {
        failed();
    }
}

static void erase(size_t block) {
    uint8_t erased[PAGE_SIZE];
    if (block >= blocks) {
        failed();
    }
    note("erase", block * BLOCK_SIZE, BLOCK_SIZE, NULL);
    memset(erased, 0xff, sizeof(erased));
    for (size_t at = 0; at < BLOCK_SIZE; at += sizeof(erased)) {
        put(block * BLOCK_SIZE + at, erased, sizeof(erased));
    }
}

static void program(size_t offset, const uint8_t *data, size_t size) {
    uint8_t page[PAGE_SIZE];
    if (offset + size > blocks * BLOCK_SIZE) {
        failed();
    }
    note("program", offset, size, data);
    while (size) {
        size_t piece = MIN(size, sizeof(page));
        get(offset, page, piece);
        for (size_t i = 0; i < piece; ++i) {
            page[i] &= data[i];
        }
        put(offset, page, piece);
        offset += piece;
        data += piece;
        size -= piece;
    }
}

static mp_obj_t flash_make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    if (file < 0) {
        file = semihosting_open("flash.bin", SEMIHOSTING_UPDATE);
        if (file < 0) {
            mp_raise_msg(&mp_type_OSError, MP_ERROR_TEXT("there is no flash.bin to play the flash"));
        }
        blocks = semihosting_length(file) / BLOCK_SIZE;
        const char *name = semihosting_option("journal");
        if (name) {
            journal = semihosting_open(name, SEMIHOSTING_APPEND);
        }
    }
    mp_obj_base_t *self = m_new_obj(mp_obj_base_t);
    self->type = type;
    return MP_OBJ_FROM_PTR(self);
}

static size_t start(size_t n_args, const mp_obj_t *args) {
    return mp_obj_get_int(args[1]) * BLOCK_SIZE + (n_args == 4 ? mp_obj_get_int(args[3]) : 0);
}

static mp_obj_t flash_readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[2], &buffer, MP_BUFFER_WRITE);
    get(start(n_args, args), buffer.buf, buffer.len);
    return MP_OBJ_NEW_SMALL_INT(0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_readblocks_obj, 3, 4, flash_readblocks);

static mp_obj_t flash_writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[2], &buffer, MP_BUFFER_READ);
    size_t offset = start(n_args, args);
    if (n_args == 3) { // whole blocks, which are to be erased first
        for (size_t done = 0; done < buffer.len; done += BLOCK_SIZE) {
            erase((offset + done) / BLOCK_SIZE);
        }
    }
    program(offset, buffer.buf, buffer.len);
    return MP_OBJ_NEW_SMALL_INT(0);
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(flash_writeblocks_obj, 3, 4, flash_writeblocks);

static mp_obj_t flash_ioctl(mp_obj_t self, mp_obj_t operation, mp_obj_t argument) {
    switch (mp_obj_get_int(operation)) {
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(blocks);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(BLOCK_SIZE);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            erase(mp_obj_get_int(argument));
            return MP_OBJ_NEW_SMALL_INT(0);
        default:
            return MP_OBJ_NEW_SMALL_INT(0);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(flash_ioctl_obj, flash_ioctl);

static const mp_rom_map_elem_t flash_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&flash_readblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&flash_writeblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&flash_ioctl_obj) },
};
static MP_DEFINE_CONST_DICT(flash_locals, flash_locals_table);

static MP_DEFINE_CONST_OBJ_TYPE(
    flash_type, MP_QSTR_Flash, MP_TYPE_FLAG_NONE,
    make_new, flash_make_new,
    locals_dict, &flash_locals);

static mp_obj_t qemu_stack_peak(void) {
    return MP_OBJ_NEW_SMALL_INT(stack_peak());
}
static MP_DEFINE_CONST_FUN_OBJ_0(qemu_stack_peak_obj, qemu_stack_peak);

// Fills the buffer with what the functions that were called before have left below the caller.
static mp_obj_t qemu_stack_below(mp_obj_t buffer_in) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(buffer_in, &buffer, MP_BUFFER_WRITE);
    const volatile uint8_t *left = (const uint8_t *)__builtin_frame_address(0) - buffer.len;
    for (size_t i = 0; i < buffer.len; ++i) {
        ((uint8_t *)buffer.buf)[i] = left[i];
    }
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(qemu_stack_below_obj, qemu_stack_below);

// mbedtls_p256.c
MP_DECLARE_CONST_FUN_OBJ_3(qemu_ecdsa_sign_obj);
MP_DECLARE_CONST_FUN_OBJ_VAR_BETWEEN(qemu_ecdsa_verify_obj);
MP_DECLARE_CONST_FUN_OBJ_3(qemu_ecdh_obj);

static const mp_rom_map_elem_t qemu_globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_qemu) },
    { MP_ROM_QSTR(MP_QSTR_Flash), MP_ROM_PTR(&flash_type) },
    { MP_ROM_QSTR(MP_QSTR_stack_peak), MP_ROM_PTR(&qemu_stack_peak_obj) },
    { MP_ROM_QSTR(MP_QSTR_stack_below), MP_ROM_PTR(&qemu_stack_below_obj) },
    { MP_ROM_QSTR(MP_QSTR_ecdsa_sign), MP_ROM_PTR(&qemu_ecdsa_sign_obj) },
    { MP_ROM_QSTR(MP_QSTR_ecdsa_verify), MP_ROM_PTR(&qemu_ecdsa_verify_obj) },
    { MP_ROM_QSTR(MP_QSTR_ecdh), MP_ROM_PTR(&qemu_ecdh_obj) },
};
static MP_DEFINE_CONST_DICT(qemu_globals, qemu_globals_table);

const mp_obj_module_t qemu_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&qemu_globals,
};
MP_REGISTER_MODULE(MP_QSTR_qemu, qemu_module);
