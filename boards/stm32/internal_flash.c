// The module `internal_flash`: `Flash`, the file system's part of the chip's own flash, as a block
// device for littlefs. For STM32 whose flash has pages and is programmed by double words: L4, WL.
//
// pyb.Flash is no base for an identity. It holds a page in RAM while that page is erased in flash,
// up to five seconds long, and it takes four blocks of littlefs into one page: a cut of the power
// then loses files that nobody was writing. Here a block is a page, erasing erases and programming
// programs, nothing else, and all of it is done when the call returns.

#include <string.h>

#include "extmod/vfs.h"
#include "py/mperrno.h"
#include "py/runtime.h"

#include STM32_HAL_H
#include "flash.h"

#define BLOCK_SIZE (FLASH_PAGE_SIZE)
#define UNIT (8) // bytes that are programmed at once, and only once between two erasures

// LFS_ERR_CORRUPT: littlefs takes another block. A double word that a power cut left half programmed
// may read as if it were erased, and refuses to be programmed again.
#define CORRUPT (-84)

// From the linker script.
extern uint8_t _micropy_hw_internal_flash_storage_start[];
extern uint8_t _micropy_hw_internal_flash_storage_end[];

#define START (_micropy_hw_internal_flash_storage_start)
#define SIZE ((size_t)(_micropy_hw_internal_flash_storage_end - START))

static volatile bool reading;

// A double word whose programming was cut off fails the flash's check of its ECC when it is read,
// which is an NMI, again and again until the flag is cleared. littlefs has check sums of its own.
// The port's handler, which only returns, is renamed away: see stm32.mk.
void NMI_Handler(void) {
    if (reading) {
        FLASH->ECCR |= FLASH_ECCR_ECCD;
    }
}

static bool inside(size_t offset, size_t length) {
    return offset <= SIZE && length <= SIZE - offset;
}

static int read(size_t offset, uint8_t *data, size_t length) {
    if (!inside(offset, length)) {
        return -MP_EINVAL;
    }
    reading = true;
    memcpy(data, START + offset, length);
    __DSB();
    reading = false;
    return 0;
}

static int erase(size_t offset) {
    if (!inside(offset, BLOCK_SIZE)) {
        return -MP_EINVAL;
    }
    return flash_erase((uint32_t)(START + offset));
}

static int program(size_t offset, const uint8_t *data, size_t length) {
    if (!inside(offset, length) || offset % UNIT || length % UNIT) {
        return -MP_EINVAL;
    }
    for (size_t at = 0; at < length; at += UNIT) {
        uint32_t words[UNIT / 4];
        memcpy(words, data + at, UNIT);
        if (flash_write((uint32_t)(START + offset + at), words, UNIT / 4)) {
            return CORRUPT;
        }
    }
    return 0;
}

typedef struct {
    mp_obj_base_t base;
} flash_obj_t;

extern const mp_obj_type_t internal_flash_type;
static const flash_obj_t flash_obj = { { &internal_flash_type } };

static mp_obj_t make_new(const mp_obj_type_t *type, size_t n_args, size_t n_kw, const mp_obj_t *args) {
    mp_arg_check_num(n_args, n_kw, 0, 0, false);
    return MP_OBJ_FROM_PTR(&flash_obj);
}

static mp_obj_t readblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[2], &buffer, MP_BUFFER_WRITE);
    size_t offset = mp_obj_get_int(args[1]) * BLOCK_SIZE;
    if (n_args == 4) {
        offset += mp_obj_get_int(args[3]);
    }
    return MP_OBJ_NEW_SMALL_INT(read(offset, buffer.buf, buffer.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(readblocks_obj, 3, 4, readblocks);

static mp_obj_t writeblocks(size_t n_args, const mp_obj_t *args) {
    mp_buffer_info_t buffer;
    mp_get_buffer_raise(args[2], &buffer, MP_BUFFER_READ);
    size_t offset = mp_obj_get_int(args[1]) * BLOCK_SIZE;
    int error = 0;
    if (n_args == 4) {
        offset += mp_obj_get_int(args[3]);
    } else { // whole blocks, which nobody has erased
        for (size_t at = 0; at < buffer.len && !error; at += BLOCK_SIZE) {
            error = erase(offset + at);
        }
    }
    return MP_OBJ_NEW_SMALL_INT(error ? error : program(offset, buffer.buf, buffer.len));
}
static MP_DEFINE_CONST_FUN_OBJ_VAR_BETWEEN(writeblocks_obj, 3, 4, writeblocks);

static mp_obj_t ioctl(mp_obj_t self, mp_obj_t request_in, mp_obj_t argument) {
    switch (mp_obj_get_int(request_in)) {
        case MP_BLOCKDEV_IOCTL_BLOCK_COUNT:
            return MP_OBJ_NEW_SMALL_INT(SIZE / BLOCK_SIZE);
        case MP_BLOCKDEV_IOCTL_BLOCK_SIZE:
            return MP_OBJ_NEW_SMALL_INT(BLOCK_SIZE);
        case MP_BLOCKDEV_IOCTL_BLOCK_ERASE:
            return MP_OBJ_NEW_SMALL_INT(erase(mp_obj_get_int(argument) * BLOCK_SIZE));
        default:
            return MP_OBJ_NEW_SMALL_INT(0);
    }
}
static MP_DEFINE_CONST_FUN_OBJ_3(ioctl_obj, ioctl);

// (address, bytes) of all of it.
static mp_obj_t area(mp_obj_t self) {
    mp_obj_t items[] = {
        mp_obj_new_int_from_uint((uintptr_t)START), mp_obj_new_int_from_uint(SIZE)
    };
    return mp_obj_new_tuple(2, items);
}
static MP_DEFINE_CONST_FUN_OBJ_1(area_obj, area);

static const mp_rom_map_elem_t flash_locals_table[] = {
    { MP_ROM_QSTR(MP_QSTR_readblocks), MP_ROM_PTR(&readblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_writeblocks), MP_ROM_PTR(&writeblocks_obj) },
    { MP_ROM_QSTR(MP_QSTR_ioctl), MP_ROM_PTR(&ioctl_obj) },
    { MP_ROM_QSTR(MP_QSTR_area), MP_ROM_PTR(&area_obj) },
};
static MP_DEFINE_CONST_DICT(flash_locals, flash_locals_table);

MP_DEFINE_CONST_OBJ_TYPE(
    internal_flash_type,
    MP_QSTR_Flash,
    MP_TYPE_FLAG_NONE,
    make_new, make_new,
    locals_dict, &flash_locals
    );

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_internal_flash) },
    { MP_ROM_QSTR(MP_QSTR_Flash), MP_ROM_PTR(&internal_flash_type) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t internal_flash_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};
MP_REGISTER_MODULE(MP_QSTR_internal_flash, internal_flash_module);
