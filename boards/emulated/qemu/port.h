// What the files of this folder have for each other.
#ifndef BIRTHKEY_QEMU_PORT_H
#define BIRTHKEY_QEMU_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// semihosting.c: files of the computer that QEMU runs on.
#define SEMIHOSTING_READ (1) // "rb"
#define SEMIHOSTING_UPDATE (3) // "r+b"
#define SEMIHOSTING_APPEND (9) // "ab"
int semihosting_open(const char *name, uint32_t mode); // -1: failed
bool semihosting_read(int file, void *data, size_t size);
bool semihosting_write(int file, const void *data, size_t size);
bool semihosting_seek(int file, size_t offset);
size_t semihosting_length(int file);
const char *semihosting_option(const char *name); // value of NAME=VALUE, or NULL

// clock.c
void clock_init(void);
uint64_t clock_ticks(void); // of 40 ns, since power was switched on
void clock_doze(uint32_t us); // sleep, 10 ms at most, unless a UART has received something

// uart.c: receive buffers filled by interrupts.
typedef struct {
    uint32_t base;
    uint8_t *buffer;
    size_t size;
    volatile size_t head, tail;
} receiver_t;
extern receiver_t console, modem;
void receivers_init(void);
bool receiver_empty(receiver_t *receiver);
int receiver_get(receiver_t *receiver); // -1: empty

// main.c
size_t stack_peak(void); // bytes of stack that were ever used

// random.c
void random_bytes(uint8_t *data, size_t size);

static inline uint32_t interrupts_off(void) {
    uint32_t state;
    __asm volatile ("mrs %0, primask\n cpsid i" : "=r" (state) :: "memory");
    return state;
}

static inline void interrupts_restore(uint32_t state) {
    __asm volatile ("msr primask, %0" :: "r" (state) : "memory");
}

#endif
