// What birthkey's STM32 boards change in upstream's configuration.

// The only one who writes to the chip's own flash is internal_flash.c, and what is on it is nothing
// that a computer on USB may format.
#define MICROPY_HW_ENABLE_INTERNAL_FLASH_STORAGE (0)
#define MICROPY_HW_USB_MSC          (0)

// Mounts the flash; runs before boot.py.
#define MICROPY_BOARD_FROZEN_BOOT_FILE "_boot.py"
