// What the two UARTs receive, kept by interrupts until somebody reads it. A full buffer leaves
// bytes with QEMU, which waits: nothing is lost.

#include "py/mphal.h"
#include "py/runtime.h"
#include "py/stream.h"
#include "shared/runtime/interrupt_char.h"

#include "port.h"
#include "soc.h"

static uint8_t console_buffer[512];
static uint8_t modem_buffer[1024];
receiver_t console = {CONSOLE_BASE, console_buffer, sizeof(console_buffer), 0, 0};
receiver_t modem = {MODEM_BASE, modem_buffer, sizeof(modem_buffer), 0, 0};

static size_t after(receiver_t *receiver, size_t position) {
    return position + 1 == receiver->size ? 0 : position + 1;
}

// Interrupts are off. QEMU's UART of the MPS2 raises none for a byte that came while they were not
// enabled, and takes no further byte before that one is read: so it is looked at each time.
static void receive(receiver_t *receiver) {
    int interrupt_char = receiver == &console ? mp_interrupt_char : -1;
    soc_uart_receive_interrupt(receiver->base, 1);
    for (;;) {
        size_t next = after(receiver, receiver->head);
        if (next == receiver->tail) {
            soc_uart_receive_interrupt(receiver->base, 0);
            return;
        }
        int byte = soc_uart_receive(receiver->base);
        if (byte < 0) {
            return;
        }
        if (byte == interrupt_char) {
            mp_sched_keyboard_interrupt();
        } else {
            receiver->buffer[receiver->head] = byte;
            receiver->head = next;
        }
    }
}

static void console_irq(void) {
    receive(&console);
}

static void modem_irq(void) {
    receive(&modem);
}

bool receiver_empty(receiver_t *receiver) {
    uint32_t state = interrupts_off();
    receive(receiver);
    bool empty = receiver->head == receiver->tail;
    interrupts_restore(state);
    return empty;
}

int receiver_get(receiver_t *receiver) {
    if (receiver_empty(receiver)) {
        return -1;
    }
    int byte = receiver->buffer[receiver->tail];
    receiver->tail = after(receiver, receiver->tail);
    return byte;
}

// Upstream's table ends before the external interrupts.
extern const uint32_t isr_vector[16];
static uint32_t vectors[16 + IRQ_COUNT] __attribute__((aligned(512)));

void receivers_init(void) {
    for (size_t i = 0; i < 16; ++i) {
        vectors[i] = isr_vector[i];
    }
    vectors[16 + CONSOLE_IRQ] = (uint32_t)console_irq;
    vectors[16 + MODEM_IRQ] = (uint32_t)modem_irq;
    SCB_VTOR = (uint32_t)vectors;
    soc_uart_init(CONSOLE_BASE);
    soc_uart_init(MODEM_BASE);
    NVIC_ENABLE(CONSOLE_IRQ);
    NVIC_ENABLE(MODEM_IRQ);
}

uintptr_t mp_hal_stdio_poll(uintptr_t flags) {
    return flags & (receiver_empty(&console) ? MP_STREAM_POLL_WR : MP_STREAM_POLL_RD | MP_STREAM_POLL_WR);
}

int mp_hal_stdin_rx_chr(void) {
    for (;;) {
        int byte = receiver_get(&console);
        if (byte >= 0) {
            return byte;
        }
        mp_event_handle_nowait();
        clock_doze(10000);
    }
}
