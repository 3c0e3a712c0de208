// ports/qemu with what a board needs and the port leaves out: time, files, UART, TLS.

#include "ports/qemu/mpconfigport.h"

void clock_doze(uint32_t us);

#undef MICROPY_PY_TIME
#undef MICROPY_PY_SELECT
#undef MICROPY_PY_ASYNCIO
#undef MICROPY_PY_MACHINE_INCLUDEFILE
#undef MICROPY_VFS_ROM

#define MICROPY_PY_TIME (1)
#define MICROPY_PY_TIME_GMTIME_LOCALTIME_MKTIME (1)
#define MICROPY_PY_TIME_TIME_TIME_NS (1)
#define MICROPY_PY_TIME_INCLUDEFILE "boards/emulated/qemu/time.c.inc"
#define MICROPY_EPOCH_IS_1970 (1)
#define MICROPY_PY_SELECT (1)
#define MICROPY_PY_ASYNCIO (1)
#define MICROPY_KBD_EXCEPTION (1)
#define MICROPY_INTERNAL_WFE(timeout_ms) clock_doze(1000)

// As on ports/rp2 and ports/stm32: what is called when Python's own calls are as deep as they may be.
#define MICROPY_STACK_CHECK_MARGIN (512)

#define MICROPY_VFS_ROM (0)
#define MICROPY_PY_OS_INCLUDEFILE "boards/emulated/qemu/os.c.inc"
#define MICROPY_PY_OS_URANDOM (1)
#define MICROPY_PY_OS_SYNC (0)

#define MICROPY_PY_MACHINE_INCLUDEFILE "boards/emulated/qemu/machine.c.inc"
#define MICROPY_PY_MACHINE_BARE_METAL_FUNCS (1)
#define MICROPY_PY_MACHINE_DISABLE_IRQ_ENABLE_IRQ (0)
#define MICROPY_PY_MACHINE_MEMX (1)
#define MICROPY_PY_MACHINE_UART (1)
#define MICROPY_PY_MACHINE_UART_INCLUDEFILE "boards/emulated/qemu/machine_uart.c.inc"
#if defined(QEMU_SOC_MPS2)
#define MICROPY_PY_MACHINE_WDT (1)
#define MICROPY_PY_MACHINE_WDT_INCLUDEFILE "boards/emulated/qemu/machine_wdt.c.inc"
#endif

#define MICROPY_PY_CRYPTOLIB (1)
#define MICROPY_PY_HASHLIB_SHA1 (1)
#define MICROPY_PY_SSL_FINALISER (1)
#define MICROPY_TRACKED_ALLOC (1)
