# ST's NUCLEO-L476RG with birthkey.
UPSTREAM := NUCLEO_L476RG
include $(BOARD_DIR)/../stm32/stm32.mk
