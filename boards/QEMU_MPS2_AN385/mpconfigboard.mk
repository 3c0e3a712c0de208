include boards/MPS2_AN385/mpconfigboard.mk

MICROPY_HEAP_SIZE := 196608
MICROPY_STACK_SIZE := 24576
WATCHDOG := 1

include $(BOARD_DIR)/../emulated/qemu/board.mk
