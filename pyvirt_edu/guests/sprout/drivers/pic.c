/* The two 8259A interrupt controllers: which device interrupts, and with which vector. */
#include "../include/kernel.h"

enum { COMMAND1 = 0x20, DATA1 = 0x21, COMMAND2 = 0xa0, DATA2 = 0xa1 };
enum { INITIALIZE = 0x11, MODE_8086 = 1, END_OF_INTERRUPT = 0x20, READ_IN_SERVICE = 0x0b, CASCADE = 2 };

static u16 mask = 0xffff;

static void write_mask(void) {
    port_out8(DATA1, (u8)mask);
    port_out8(DATA2, (u8)(mask >> 8));
}

void pic_start(void) {
    port_out8(COMMAND1, INITIALIZE);
    port_out8(DATA1, TRAP_IRQ);
    port_out8(DATA1, 1 << CASCADE);
    port_out8(DATA1, MODE_8086);
    port_out8(COMMAND2, INITIALIZE);
    port_out8(DATA2, TRAP_IRQ + 8);
    port_out8(DATA2, CASCADE);
    port_out8(DATA2, MODE_8086);
    mask = (u16)~(1u << CASCADE);
    write_mask();
}

void pic_enable(u32 irq) {
    mask = (u16)(mask & ~(1u << irq));
    write_mask();
}

/* Lines 7 and 15 are also raised when a request vanished before it was served. */
bool pic_begin(u32 irq) {
    if (irq != 7 && irq != 15)
        return true;
    u16 port = irq == 7 ? COMMAND1 : COMMAND2;
    port_out8(port, READ_IN_SERVICE);
    if (port_in8(port) & 0x80)
        return true;
    if (irq == 15)
        port_out8(COMMAND1, END_OF_INTERRUPT);
    return false;
}

void pic_end(u32 irq) {
    if (irq >= 8)
        port_out8(COMMAND2, END_OF_INTERRUPT);
    port_out8(COMMAND1, END_OF_INTERRUPT);
}
