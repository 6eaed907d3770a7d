/* The 8254 timer: channel 0 interrupts HZ times a second. */
#include "../include/kernel.h"

enum { COUNTER = 0x40, CONTROL = 0x43, RATE_GENERATOR = 0x34, LATCH = 0 };
enum { CLOCK = 1193182, DIVISOR = (CLOCK + HZ / 2) / HZ };

void pit_start(void) {
    port_out8(CONTROL, RATE_GENERATOR);
    port_out8(COUNTER, DIVISOR & 0xff);
    port_out8(COUNTER, DIVISOR >> 8);
    irq_install(0, clock_tick);
}

/* The counter runs down from DIVISOR once in a tick. One count is 838 ns. */
u32 pit_elapsed(void) {
    port_out8(CONTROL, LATCH);
    u32 count = port_in8(COUNTER);
    count |= (u32)port_in8(COUNTER) << 8;
    return count && count <= DIVISOR ? (DIVISOR - count) * 838 : 0;
}
