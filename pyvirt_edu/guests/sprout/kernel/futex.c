/*
 * futex: wait until somebody changes a word of memory. C libraries build locks and semaphores from it,
 * between processes in memory that they share.
 *
 * Kept: the word is compared and the process asleep before anybody else runs; so no wake-up is lost.
 * Who sleeps keeps the frame, so its address stays the word's name.
 */
#include "../include/process.h"

enum { WAIT = 0, WAKE = 1, WAIT_BITSET = 9, WAKE_BITSET = 10, COMMAND = 0x7f, REALTIME = 0x100 };

static int wait(u32 *word, u32 value, bool wait, u32 end) {
    u32 frame = PAGE_DOWN(to_physical(word));
    if (*word != value)
        return -EAGAIN;
    if (!wait)
        return -ETIMEDOUT;
    frame_share(frame);
    int error = sleep_on(word, end);
    frame_release(frame);
    return error;
}

static int wake(u32 *word, u32 most) {
    u32 woken = 0;
    for (EACH_PROCESS(p))
        if (woken < most && p->state == SLEEPING && p->channel == word) {
            make_runnable(p);
            woken++;
        }
    return (int)woken;
}

int sys_futex(u32 at, u32 what, u32 value, u32 time, enum time_layout layout) {
    u32 *word = at % 4 ? NULL : user_page(current->space, at, true);
    if (!word)
        return at % 4 ? -EINVAL : -EFAULT;
    bool waits;
    u32 end;
    int error;
    switch (what & COMMAND) {
    case WAIT: /* so long */
        error = time_limit(time, layout, &waits, &end);
        return error ? error : wait(word, value, waits, end);
    case WAKE:
    case WAKE_BITSET:
        return wake(word, value);
    case WAIT_BITSET: /* until then */
        error = time_limit_at(time, layout, what & REALTIME ? CLOCK_REALTIME : CLOCK_MONOTONIC, &waits, &end);
        return error ? error : wait(word, value, waits, end);
    default:
        return -ENOSYS;
    }
}
