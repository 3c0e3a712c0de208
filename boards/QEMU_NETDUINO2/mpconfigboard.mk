include boards/NETDUINO2/mpconfigboard.mk

MICROPY_HEAP_SIZE := 98304
MICROPY_STACK_SIZE := 16384
CFLAGS += -DSMALL_TLS_BUFFERS

include $(BOARD_DIR)/../emulated/qemu/board.mk
