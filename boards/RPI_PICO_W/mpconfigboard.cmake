# Raspberry Pi Pico W: upstream's RPI_PICO_W without Bluetooth, with birthkey and its application.
set(PICO_BOARD "pico_w")
set(PICO_PLATFORM "rp2040")

set(MICROPY_PY_LWIP ON)
set(MICROPY_PY_NETWORK_CYW43 ON)

set(MICROPY_FROZEN_MANIFEST ${MICROPY_BOARD_DIR}/manifest.py)
set(USER_C_MODULES ${MICROPY_BOARD_DIR}/../rp2/micropython.cmake)
set(MBEDTLS_CONFIG_FILE ${MICROPY_BOARD_DIR}/../rp2/mbedtls_config.h)
