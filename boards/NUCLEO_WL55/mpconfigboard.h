// ST's NUCLEO-WL55 with birthkey: upstream's board, and what boards/stm32 changes in it.
#include "boards/NUCLEO_WL55/mpconfigboard.h"
#include "../stm32/birthkey.h"
