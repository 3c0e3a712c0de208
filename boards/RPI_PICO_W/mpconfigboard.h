// Raspberry Pi Pico W with birthkey.
#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico W"
// As upstream has it, so that a board keeps its files whichever firmware it gets.
#define MICROPY_HW_FLASH_STORAGE_BYTES          (848 * 1024)

// Brings tls and sockets.
#define MICROPY_PY_NETWORK                      (1)
#define MICROPY_PY_NETWORK_HOSTNAME_DEFAULT     "PicoW"

#define CYW43_USE_SPI                           (1)
#define CYW43_LWIP                              (1)
#define CYW43_GPIO                              (1)
#define CYW43_SPI_PIO                           (1)

#define MICROPY_HW_PIN_EXT_COUNT                CYW43_WL_GPIO_COUNT

// Pins that the radio uses keep their interrupts over a soft reset.
int mp_hal_is_pin_reserved(int n);
#define MICROPY_HW_PIN_RESERVED(i)              mp_hal_is_pin_reserved(i)

// Signatures of a client certificate are made by birthkey.
#define MICROPY_PY_SSL_ECDSA_SIGN_ALT           (1)

// Upstream's heap ends where its own stack begins, and ours is larger: boards/rp2/micropython.cmake.
#define __GcHeapEnd                             birthkey_heap_end
