# ST's NUCLEO-WL55 with birthkey.
UPSTREAM := NUCLEO_WL55
include $(BOARD_DIR)/../stm32/stm32.mk
