# ST's NUCLEO-L476RG with birthkey.
UPSTREAM := NUCLEO_L476RG
include $(BOARD_DIR)/../stm32/stm32.mk

# TLS, with small buffers for its 128 KiB RAM.
MICROPY_PY_SSL = 1
MICROPY_SSL_MBEDTLS = 1
MICROPY_PY_SSL_ECDSA_SIGN_ALT = 1
MBEDTLS_CONFIG_FILE = \"$(abspath $(BIRTHKEY_STM32))/mbedtls_config.h\"
