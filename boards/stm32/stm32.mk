# What birthkey's STM32 boards have in common. A board's mpconfigboard.mk sets UPSTREAM, the name of
# the folder in ports/stm32/boards that it is made from, and includes this.
#
# From here on BOARD_DIR is upstream's folder: its pins, its HAL configuration and its .mk are used
# as they are. Our mpconfigboard.h is found before upstream's, which it includes.

BIRTHKEY_BOARD := $(abspath $(BOARD_DIR))
BIRTHKEY_STM32 := $(BIRTHKEY_BOARD)/../stm32
override BOARD_DIR := boards/$(UPSTREAM)

INC += -I$(BIRTHKEY_BOARD)
SRC_C += $(abspath $(BIRTHKEY_STM32)/internal_flash.c)
FROZEN_MANIFEST ?= $(BIRTHKEY_BOARD)/manifest.py
USER_C_MODULES ?= $(abspath $(BIRTHKEY_STM32)/../../firmware/native)

include $(BOARD_DIR)/mpconfigboard.mk

MICROPY_VFS_FAT = 0
MICROPY_VFS_LFS2 = 1

# internal_flash.c has the handler of the NMI.
$(BUILD)/stm32_it.o: CFLAGS += -DNMI_Handler=port_NMI_Handler
