# Raspberry Pi Pico: upstream's RPI_PICO, with birthkey and its application frozen in.
set(PICO_BOARD "pico")
set(PICO_PLATFORM "rp2040")
set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
set(USER_C_MODULES ${MICROPY_BOARD_DIR}/../rp2/micropython.cmake)
set(MBEDTLS_CONFIG_FILE ${MICROPY_BOARD_DIR}/../rp2/mbedtls_config.h)
