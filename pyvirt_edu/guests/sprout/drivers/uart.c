/*
 * The 16550 serial port: the terminal of those who watch from outside.
 *
 * Kept: what arrives before there is a terminal is not lost.
 */
#include "../include/files.h"

enum { PORT = 0x3f8, IRQ = 4 };
enum { DATA = PORT, INTERRUPTS, FIFO, LINE, MODEM, STATUS };
enum { DIVISOR_LATCH = 0x80, EIGHT_BITS = 3, FIFO_ON_AND_CLEAR = 7, DTR_RTS_OUT2 = 0xb, ON_DATA = 1 };
enum { DATA_READY = 1, ROOM = 0x20 };

static bool there;
static char early[16]; /* what came before anybody listened */
static u32 early_count;

static void interrupt(void) {
    while (port_in8(STATUS) & DATA_READY)
        tty_input((char)port_in8(DATA));
}

void uart_start(void) {
    port_out8(INTERRUPTS, 0);
    port_out8(LINE, DIVISOR_LATCH);
    port_out8(DATA, 1); /* 115200 baud */
    port_out8(INTERRUPTS, 0);
    port_out8(LINE, EIGHT_BITS);
    there = port_in8(STATUS) != 0xff;
    while (there && early_count < sizeof(early) && port_in8(STATUS) & DATA_READY)
        early[early_count++] = (char)port_in8(DATA);
    port_out8(FIFO, FIFO_ON_AND_CLEAR);
    port_out8(MODEM, DTR_RTS_OUT2);
}

/* From now on there is a terminal that takes what comes in. */
void uart_listen(void) {
    if (!there)
        return;
    for (u32 i = 0; i < early_count; i++)
        tty_input(early[i]);
    port_out8(INTERRUPTS, ON_DATA);
    irq_install(IRQ, interrupt);
}

void uart_write(char c) {
    if (!there)
        return;
    while (!(port_in8(STATUS) & ROOM))
        ;
    port_out8(DATA, (u8)c);
}
