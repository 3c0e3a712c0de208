include boards/NETDUINO2/mpconfigboard.mk

MICROPY_HEAP_SIZE := 98304
MICROPY_STACK_SIZE := 16384

include $(BOARD_DIR)/../emulated/qemu/board.mk
