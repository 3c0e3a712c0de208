// The flash of an STM32L4 in RAM: pages are erased whole, and a double word is programmed once
// between two erasures. `cut_after(n)` cuts the power in the middle of the n-th operation from now.

#include <string.h>

#include "py/mperrno.h"
#include "py/runtime.h"

#include "flash.h"
#include "hal.h"

#define PAGES (16)
#define SIZE (PAGES * FLASH_PAGE_SIZE)

uint8_t _micropy_hw_internal_flash_storage_start[SIZE] __attribute__((aligned(FLASH_PAGE_SIZE)));
__asm (
    ".global _micropy_hw_internal_flash_storage_end\n"
    ".set _micropy_hw_internal_flash_storage_end, _micropy_hw_internal_flash_storage_start + 32768\n"
    );
_Static_assert(SIZE == 32768, "the line above");

model_flash_t model_flash;

static uint8_t programmed[SIZE / 8];
static int operations, last = -1;

static bool power_fails(void) {
    return ++operations == last;
}

static void cut(void) {
    last = -1;
    mp_raise_msg(&mp_type_RuntimeError, MP_ERROR_TEXT("cut"));
}

int flash_erase(uint32_t address) {
    uint8_t *page = (uint8_t *)(address - address % FLASH_PAGE_SIZE);
    size_t offset = page - _micropy_hw_internal_flash_storage_start;
    bool fails = power_fails();
    memset(page, 0xff, fails ? FLASH_PAGE_SIZE / 2 : FLASH_PAGE_SIZE);
    if (fails) {
        cut();
    }
    memset(programmed + offset / 8, 0, FLASH_PAGE_SIZE / 8);
    return 0;
}

int flash_write(uint32_t address, const uint32_t *words, uint32_t count) {
    size_t unit = (address - (uint32_t)_micropy_hw_internal_flash_storage_start) / 8;
    if (address % 8 || count != 2 || programmed[unit]) {
        return -MP_EIO;
    }
    programmed[unit] = 1;
    bool fails = power_fails();
    memcpy((void *)address, words, fails ? 3 : 8);
    if (fails) {
        cut();
    }
    return 0;
}

static mp_obj_t blank(void) {
    memset(_micropy_hw_internal_flash_storage_start, 0xff, SIZE);
    memset(programmed, 0, sizeof(programmed));
    operations = 0;
    last = -1;
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_0(blank_obj, blank);

static mp_obj_t cut_after(mp_obj_t count) {
    last = operations + mp_obj_get_int(count);
    return mp_const_none;
}
static MP_DEFINE_CONST_FUN_OBJ_1(cut_after_obj, cut_after);

static mp_obj_t counted(void) {
    return MP_OBJ_NEW_SMALL_INT(operations);
}
static MP_DEFINE_CONST_FUN_OBJ_0(counted_obj, counted);

static const mp_rom_map_elem_t globals_table[] = {
    { MP_ROM_QSTR(MP_QSTR___name__), MP_ROM_QSTR(MP_QSTR_model) },
    { MP_ROM_QSTR(MP_QSTR_blank), MP_ROM_PTR(&blank_obj) },
    { MP_ROM_QSTR(MP_QSTR_cut_after), MP_ROM_PTR(&cut_after_obj) },
    { MP_ROM_QSTR(MP_QSTR_counted), MP_ROM_PTR(&counted_obj) },
};
static MP_DEFINE_CONST_DICT(globals, globals_table);

const mp_obj_module_t model_module = {
    .base = { &mp_type_module },
    .globals = (mp_obj_dict_t *)&globals,
};
MP_REGISTER_MODULE(MP_QSTR_model, model_module);
