// Time: a free-running counter of 25 MHz, which must be read once in 171 s. SysTick runs only
// while the processor sleeps: nothing interrupts what is computed, so that its instructions can
// be counted, and are the same each time.

#include <time.h>

#include "py/mphal.h"
#include "py/runtime.h"
#include "shared/timeutils/timeutils.h"

#include "port.h"
#include "soc.h"

#define TICKS_PER_US (COUNTER_HZ / 1000000)

static uint32_t low, high;

uint64_t clock_ticks(void) {
    uint32_t state = interrupts_off();
    uint32_t now = soc_counter();
    high += now < low;
    low = now;
    uint64_t ticks = (uint64_t)high << 32 | now;
    interrupts_restore(state);
    return ticks;
}

void clock_init(void) {
    soc_counter_init();
}

void SysTick_Handler(void) {
}

void clock_doze(uint32_t us) {
    clock_ticks();
    uint32_t state = interrupts_off();
    if (receiver_empty(&console) && receiver_empty(&modem)) {
        SYSTICK_LOAD = SYSTICK_HZ / 1000000 * MIN(us, 10000) - 1;
        SYSTICK_VALUE = 0;
        SYSTICK_CTRL = 1 | 2 | 4; // on, with interrupt, from the processor's clock
        __asm volatile ("wfi"); // ended by an interrupt that waits, too
        SYSTICK_CTRL = 0;
    }
    interrupts_restore(state);
}

mp_uint_t mp_hal_ticks_ms(void) {
    return clock_ticks() / (1000 * TICKS_PER_US);
}

mp_uint_t mp_hal_ticks_us(void) {
    return clock_ticks() / TICKS_PER_US;
}

mp_uint_t mp_hal_ticks_cpu(void) {
    return clock_ticks();
}

uint64_t mp_hal_time_ns(void) {
    return clock_ticks() * (1000 / TICKS_PER_US);
}

void mp_hal_delay_us(mp_uint_t us) {
    uint64_t end = clock_ticks() + (uint64_t)us * TICKS_PER_US;
    while (clock_ticks() < end) {
    }
}

void mp_hal_delay_ms(mp_uint_t ms) {
    uint64_t end = clock_ticks() + (uint64_t)ms * 1000 * TICKS_PER_US;
    for (;;) {
        mp_event_handle_nowait();
        uint64_t now = clock_ticks();
        if (now >= end) {
            return;
        }
        clock_doze(MIN(end - now, 10000 * TICKS_PER_US) / TICKS_PER_US + 1);
    }
}

// The clock that certificates are compared with: there is none, it is 1970 at every start.

time_t port_time(time_t *result) {
    time_t now = mp_hal_time_ns() / 1000000000;
    if (result) {
        *result = now;
    }
    return now;
}

int64_t mbedtls_ms_time(void) {
    return clock_ticks() / (1000 * TICKS_PER_US);
}

struct tm *gmtime(const time_t *time) {
    static struct tm result;
    timeutils_struct_time_t split;
    timeutils_seconds_since_epoch_to_struct_time(*time, &split);
    result.tm_sec = split.tm_sec;
    result.tm_min = split.tm_min;
    result.tm_hour = split.tm_hour;
    result.tm_mday = split.tm_mday;
    result.tm_mon = split.tm_mon - 1;
    result.tm_year = split.tm_year - 1900;
    result.tm_wday = (split.tm_wday + 1) % 7;
    result.tm_yday = split.tm_yday - 1;
    return &result;
}
