// The two chips that QEMU plays: where their UARTs, their free-running counter and their
// interrupts are.
#ifndef BIRTHKEY_QEMU_SOC_H
#define BIRTHKEY_QEMU_SOC_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(address))

#define SYSTICK_CTRL REGISTER(0xe000e010)
#define SYSTICK_LOAD REGISTER(0xe000e014)
#define SYSTICK_VALUE REGISTER(0xe000e018)
#define NVIC_ENABLE(number) REGISTER(0xe000e100 + 4 * ((number) / 32)) = 1u << ((number) % 32)
#define SCB_VTOR REGISTER(0xe000ed08)
#define SCB_AIRCR REGISTER(0xe000ed0c)

static inline void align_with(volatile uint32_t *counter) {
    // A tick is five instructions, and they begin somewhere in it. Go on until a tick ends
    // between two instructions, so that they begin at the same place in every run.
    __asm volatile (
        "1: ldr r0, [%0]\n"
        "ldr r1, [%0]\n"
        "cmp r0, r1\n"
        "beq 1b\n"
        :: "r" (counter) : "r0", "r1", "cc");
}

#if defined(QEMU_SOC_MPS2)

// Arm MPS2 with the AN385 image: application note AN385, tables 3-1 and 3-6.
#define SYSTICK_HZ (25000000)
#define CONSOLE_BASE (0x40004000)
#define CONSOLE_IRQ (0)
#define MODEM_BASE (0x40005000)
#define MODEM_IRQ (2)
#define IRQ_COUNT (32)

static inline void soc_uart_init(uint32_t base) {
    REGISTER(base + 0x10) = 16; // BAUDDIV: the least; QEMU has no bit rate
    REGISTER(base + 0x08) = 1 | 2 | 8; // CTRL: transmit, receive, receive interrupt
}

static inline int soc_uart_receive(uint32_t base) {
    if (!(REGISTER(base + 0x04) & 2)) {
        return -1;
    }
    int byte = REGISTER(base) & 0xff;
    REGISTER(base + 0x0c) = 2; // INTCLEAR: receive
    return byte;
}

static inline void soc_uart_receive_interrupt(uint32_t base, int on) {
    REGISTER(base + 0x08) = 1 | 2 | (on ? 8 : 0);
    if (!on) {
        REGISTER(base + 0x0c) = 2; // INTCLEAR: what is not read must not interrupt for ever
    }
}

static inline int soc_uart_ready(uint32_t base) {
    return !(REGISTER(base + 0x04) & 1);
}

static inline void soc_uart_transmit(uint32_t base, uint8_t byte) {
    REGISTER(base) = byte;
}

// FPGAIO: COUNTER goes at 25 MHz when PRESCALE is 0.
static inline void soc_counter_init(void) {
    REGISTER(0x4002801c) = 0;
    align_with(&REGISTER(0x40028018));
    REGISTER(0x40028018) = 0;
}

static inline uint32_t soc_counter(void) {
    return REGISTER(0x40028018);
}

#elif defined(QEMU_SOC_STM32)

// STM32F205, reference manual RM0033.
#define SYSTICK_HZ (120000000)
#define CONSOLE_BASE (0x40011000) // USART1
#define CONSOLE_IRQ (37)
#define MODEM_BASE (0x40004400) // USART2
#define MODEM_IRQ (38)
#define IRQ_COUNT (64)

static inline void soc_uart_receive_interrupt(uint32_t base, int on) {
    REGISTER(base + 0x0c) = 1 << 13 | 1 << 3 | 1 << 2 | (on ? 1 << 5 : 0); // CR1
}

static inline void soc_uart_init(uint32_t base) {
    soc_uart_receive_interrupt(base, 1);
}

static inline int soc_uart_receive(uint32_t base) {
    return REGISTER(base) & 1 << 5 ? (int)(REGISTER(base + 4) & 0xff) : -1;
}

static inline int soc_uart_ready(uint32_t base) {
    return 1; // QEMU takes a byte as soon as it is written
}

static inline void soc_uart_transmit(uint32_t base, uint8_t byte) {
    REGISTER(base + 4) = byte;
}

// TIM2 counts at 1 GHz in QEMU, divided by PSC + 1: at 25 MHz too.
static inline void soc_counter_init(void) {
    REGISTER(0x40000028) = 39;
    REGISTER(0x4000002c) = 0xffffffff;
    REGISTER(0x40000000) = 1;
    align_with(&REGISTER(0x40000024));
    REGISTER(0x40000024) = 0;
}

static inline uint32_t soc_counter(void) {
    return REGISTER(0x40000024);
}

#endif

#define COUNTER_HZ (25000000)

#endif
