# What both boards that QEMU plays have in common; a board's mpconfigboard.mk includes it after
# upstream's. BIRTHKEY is the root of this project.

BIRTHKEY := $(abspath $(BOARD_DIR)/../..)
QEMU_PORT := $(BIRTHKEY)/boards/emulated/qemu

USER_C_MODULES := $(BIRTHKEY)/boards/emulated
FROZEN_MANIFEST := $(BOARD_DIR)/manifest.py
LDSCRIPT := $(abspath $(BOARD_DIR)/board.ld)

CFLAGS += -I$(BIRTHKEY) -I$(QEMU_PORT)
CFLAGS += -DMP_CONFIGFILE='"boards/emulated/qemu/mpconfig.h"'
CFLAGS += -DMICROPY_STACK_SIZE=$(MICROPY_STACK_SIZE)

MICROPY_VFS_LFS2 := 1
MICROPY_PY_SSL := 1
MICROPY_SSL_MBEDTLS := 1
MICROPY_PY_SSL_ECDSA_SIGN_ALT := 1
MBEDTLS_CONFIG_FILE := \"boards/emulated/qemu/mbedtls_config.h\"

SRC_C += shared/timeutils/timeutils.c

# Ours take the place of these of the port, whose files have others that stay.
$(BUILD)/main.o: CFLAGS += -Dmain=port_main
$(BUILD)/mphalport.o: CFLAGS += -Dmp_hal_stdin_rx_chr=port_stdin_rx_chr -Dmp_hal_stdio_poll=port_stdio_poll
$(BUILD)/mcu/arm/errorhandler.o: CFLAGS += -DSysTick_Handler=port_SysTick_Handler $(if $(WATCHDOG),-DNMI_Handler=port_NMI_Handler)
