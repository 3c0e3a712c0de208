// The start of MicroPython as real boards have it: _boot.py, boot.py, main.py, then the REPL.
// It takes the place of main() in ports/qemu, which knows no files.

#include "py/cstack.h"
#include "py/gc.h"
#include "py/runtime.h"
#include "shared/readline/readline.h"
#include "shared/runtime/pyexec.h"

#include "port.h"

#define UNTOUCHED (0x5ac3a53c)

extern uint32_t _estack;
static uint32_t heap[MICROPY_HEAP_SIZE / sizeof(uint32_t)];

void machine_init(void);

static uint32_t *stack_bottom(void) {
    return &_estack - MICROPY_STACK_SIZE / sizeof(uint32_t);
}

static void mark_stack(void) {
    uint32_t *here = __builtin_frame_address(0);
    for (uint32_t *word = stack_bottom(); word < here - 16; ++word) {
        *word = UNTOUCHED;
    }
}

size_t stack_peak(void) {
    uint32_t *word = stack_bottom();
    while (*word == UNTOUCHED) {
        ++word;
    }
    return (char *)&_estack - (char *)word;
}

static void run_until_soft_reset(void) {
    pyexec_frozen_module("_boot.py", false);
    int result = pyexec_file_if_exists("boot.py");
    if (result & PYEXEC_FORCED_EXIT) {
        return;
    }
    if (pyexec_mode_kind == PYEXEC_MODE_FRIENDLY_REPL && result != 0) {
        if (pyexec_file_if_exists("main.py") & PYEXEC_FORCED_EXIT) {
            return;
        }
    }
    for (;;) {
        if (pyexec_mode_kind == PYEXEC_MODE_RAW_REPL ? pyexec_raw_repl() : pyexec_friendly_repl()) {
            return;
        }
    }
}

int main(void) {
    mark_stack();
    clock_init();
    receivers_init();
    machine_init();
    mp_cstack_init_with_sp_here(MICROPY_STACK_SIZE);
    for (;;) {
        gc_init(heap, (char *)heap + MICROPY_HEAP_SIZE);
        mp_init();
        readline_init0();
        run_until_soft_reset();
        mp_printf(&mp_plat_print, "MPY: soft reboot\n");
        gc_sweep_all();
        mp_deinit();
    }
}
