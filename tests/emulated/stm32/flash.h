// As ports/stm32 declares them.
#include <stdint.h>

int flash_erase(uint32_t flash_dest);
int flash_write(uint32_t flash_dest, const uint32_t *src, uint32_t num_word32);
