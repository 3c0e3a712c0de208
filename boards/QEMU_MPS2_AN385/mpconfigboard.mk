include boards/MPS2_AN385/mpconfigboard.mk

MICROPY_HEAP_SIZE := 196608
MICROPY_STACK_SIZE := 24576
WATCHDOG := 1

ifdef BOARD_VARIANT
include $(BOARD_DIR)/mpconfigvariant_$(BOARD_VARIANT).mk
endif

include $(BOARD_DIR)/../emulated/qemu/board.mk
