# boards/stm32/internal_flash.c in QEMU's firmware, over a model of the chip's flash.
SRC_USERMOD_C += $(USERMOD_DIR)/internal_flash.c $(USERMOD_DIR)/model.c
CFLAGS_USERMOD += -I$(USERMOD_DIR) -DSTM32_HAL_H='"hal.h"'

$(BUILD)/stm32/internal_flash.o: CFLAGS += -DNMI_Handler=stm32_NMI_Handler
