# All code as a Cortex-M0+ would run it, so that its instructions can be counted: QEMU's board has a
# Cortex-M3, which has these and more. Of options that contradict each other, the last one counts.

CFLAGS += -mcpu=cortex-m0plus
SRC_BOARD_O = shared/runtime/gchelper_native.o shared/runtime/gchelper_thumb1.o
MPY_CROSS_FLAGS += -march=armv6m
