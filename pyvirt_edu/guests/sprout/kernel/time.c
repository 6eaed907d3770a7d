/*
 * Time: ticks of the PIT, and between them its counter. The date comes from the RTC, once.
 *
 * Kept: time never goes back, though the counter may have wrapped before its interrupt is served.
 */
#include "../include/process.h"

volatile u32 ticks = 1; /* not 0, which means "never" where it stands for a moment */
u32 boot_time;
static u32 random_state;

/* The kernel is not interrupted, so its time counts as the program's, for both. */
static void count_down(void) {
    static const int signals[] = {SIGVTALRM, SIGPROF};
    for (u32 i = 0; i < ARRAY_SIZE(signals); i++) {
        struct interval *t = &current->intervals[i];
        if (t->left && !--t->left) {
            t->left = t->every;
            signal_send(current, signals[i]);
        }
    }
}

void clock_tick(void) {
    ticks++;
    if (current->space && current->state == RUNNABLE) {
        count_down();
        current->user_ticks++; /* the kernel is not interrupted: its time counts as the program's */
        need_reschedule = true; /* its slice is over */
    }
    wake_sleepers();
}

void clock_uptime(u32 *seconds, u32 *nanoseconds) {
    static u32 last_seconds, last_nanoseconds;
    u32 t = ticks - 1, n = t % HZ * (1000000000 / HZ) + pit_elapsed(), s = t / HZ;
    if (s < last_seconds || (s == last_seconds && n < last_nanoseconds)) {
        s = last_seconds;
        n = last_nanoseconds;
    }
    last_seconds = *seconds = s;
    last_nanoseconds = *nanoseconds = n;
}

void clock_now(u32 *seconds, u32 *nanoseconds) {
    clock_uptime(seconds, nanoseconds);
    *seconds += boot_time;
}

u32 ticks_of(u64 seconds, u32 nanoseconds) {
    enum { MOST = 0x1000000 }; /* 194 days: ticks are compared by the sign of their difference */
    return (u32)MIN(seconds, MOST) * HZ + (nanoseconds + 1000000000 / HZ - 1) / (1000000000 / HZ);
}

/* Marsaglia's xorshift, stirred with the cycle counter. Good enough for a stack guard, not for keys. */
u32 random32(void) {
    random_state ^= (u32)cpu_cycles() | 1;
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state;
}
