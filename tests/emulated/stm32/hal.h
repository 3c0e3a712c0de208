// What internal_flash.c takes from ST's HAL.
#include <stdbool.h>
#include <stdint.h>

#define FLASH_PAGE_SIZE (2048)
#define FLASH_ECCR_ECCD (1UL << 31)

typedef struct {
    volatile uint32_t ECCR;
} model_flash_t;

extern model_flash_t model_flash;
#define FLASH (&model_flash)

static inline void __DSB(void) {
    __asm volatile ("dsb" : : : "memory");
}
