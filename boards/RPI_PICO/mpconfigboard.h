// Raspberry Pi Pico with birthkey.
#define MICROPY_HW_BOARD_NAME                   "Raspberry Pi Pico"
// As upstream has it, so that a board keeps its files whichever firmware it gets.
#define MICROPY_HW_FLASH_STORAGE_BYTES          (1408 * 1024)

// The module tls, which upstream leaves out of boards without a network of their own: mbed TLS is
// linked there anyway, for hashes and AES.
#define MICROPY_PY_SSL                          (1)
// Signatures of a client certificate are made by birthkey.
#define MICROPY_PY_SSL_ECDSA_SIGN_ALT           (1)

// Upstream's heap ends where its own stack begins, and ours is larger: boards/rp2/micropython.cmake.
#define __GcHeapEnd                             birthkey_heap_end
