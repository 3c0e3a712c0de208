// ST's NUCLEO-L476RG with birthkey: upstream's board, and what boards/stm32 changes in it.
#include "boards/NUCLEO_L476RG/mpconfigboard.h"
#include "../stm32/birthkey.h"
