/*
 * poll and select: wait until one of several files is ready. Whoever makes a file ready wakes all
 * that wait here, and they look at their files again.
 */
#include "../include/files.h"

static int ready(u32 fd, int wanted) {
    struct file *f = descriptor_file(fd);
    if (!f)
        return POLLNVAL;
    int bits = f->ops->poll ? f->ops->poll(f) : POLLIN | POLLOUT;
    return bits & (wanted | POLLERR | POLLHUP);
}

/* Sleep until something changed. `end` is a tick, 0: for ever. 0: time is up. */
static int wait_for_change(u32 end) {
    if (end && (i32)(end - ticks) <= 0)
        return 0;
    int error = sleep_on(&poll_channel, end);
    return error == -ERESTART ? -ERESTART_NO_HANDLER : error == -ETIMEDOUT ? 0 : 1;
}

static int poll_until(u32 list, u32 count, bool wait, u32 end) {
    if (count > FILES * 4)
        return -EINVAL;
    for (;;) {
        int found = 0;
        for (u32 i = 0; i < count; i++) {
            struct pollfd p;
            if (copy_from_user(&p, list + i * sizeof(p), sizeof(p)))
                return -EFAULT;
            p.revents = p.fd < 0 ? 0 : (i16)ready((u32)p.fd, p.events);
            found += p.revents != 0;
            if (copy_to_user(list + i * sizeof(p), &p, sizeof(p)))
                return -EFAULT;
        }
        int more = found || !wait ? 0 : wait_for_change(end);
        if (more <= 0)
            return found ? found : more;
    }
}

/* A time to wait, as a tick. */
static u32 end_of(u32 seconds, u32 nanoseconds) {
    u32 end = ticks + ticks_of(MIN(seconds, 0x1000000u), nanoseconds);
    return end ? end : 1;
}

int sys_poll(u32 list, u32 count, int milliseconds) {
    u32 ms = (u32)milliseconds;
    return poll_until(list, count, milliseconds != 0, milliseconds < 0 ? 0 : end_of(ms / 1000, ms % 1000 * 1000000));
}

/* A mask that holds during the call. */
static int set_mask(u32 mask_at) {
    u64 mask;
    if (!mask_at)
        return 0;
    if (copy_from_user(&mask, mask_at, 8))
        return -EFAULT;
    current->saved_mask = current->blocked;
    current->restore_mask = true;
    current->blocked = mask & ~(signal_bit(SIGKILL) | signal_bit(SIGSTOP));
    return 0;
}

static void unset_mask(int result) {
    if (current->restore_mask && result != -ERESTART_NO_HANDLER) {
        current->restore_mask = false;
        current->blocked = current->saved_mask;
    }
}

/* Where a time to wait stands, with 32 or 64-bit seconds; nowhere means for ever. */
static int read_time(u32 at, bool wide, bool *wait, u32 *end) {
    struct timespec64 t = {0};
    struct timespec32 short_time;
    *wait = true;
    *end = 0;
    if (!at)
        return 0;
    if (wide ? copy_from_user(&t, at, sizeof(t)) : copy_from_user(&short_time, at, sizeof(short_time)))
        return -EFAULT;
    if (!wide)
        t = (struct timespec64){short_time.seconds, short_time.nanoseconds, 0};
    if (t.seconds < 0 || (u32)t.nanoseconds >= 1000000000)
        return -EINVAL;
    *wait = t.seconds || t.nanoseconds;
    *end = end_of(t.seconds > 0x1000000 ? 0x1000000 : (u32)t.seconds, (u32)t.nanoseconds);
    return 0;
}

static int ppoll(u32 list, u32 count, u32 time, bool wide, u32 mask) {
    bool wait;
    u32 end;
    int result = read_time(time, wide, &wait, &end);
    if (!result)
        result = set_mask(mask);
    if (!result)
        result = poll_until(list, count, wait, end);
    unset_mask(result);
    return result;
}

int sys_ppoll(u32 list, u32 count, u32 time, u32 mask) {
    return ppoll(list, count, time, false, mask);
}

int sys_ppoll64(u32 list, u32 count, u32 time, u32 mask) {
    return ppoll(list, count, time, true, mask);
}

/* --- select: the same with bit sets --------------------------------------------------------- */

static int select_until(u32 count, const u32 at[3], bool wait, u32 end) {
    static const int bits[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};
    u32 wanted[3][FILES / 32] = {{0}}, words = (MIN(count, (u32)FILES) + 31) / 32;
    for (u32 k = 0; k < 3; k++)
        if (at[k] && copy_from_user(wanted[k], at[k], words * 4))
            return -EFAULT;
    for (;;) {
        u32 got[3][FILES / 32] = {{0}};
        int found = 0;
        for (u32 fd = 0; fd < MIN(count, (u32)FILES); fd++)
            for (u32 k = 0; k < 3; k++)
                if (wanted[k][fd / 32] >> fd % 32 & 1) {
                    int state = ready(fd, bits[k]);
                    if (state & POLLNVAL)
                        return -EBADF;
                    if (state & bits[k]) {
                        got[k][fd / 32] |= 1u << fd % 32;
                        found++;
                    }
                }
        int more = found || !wait ? 0 : wait_for_change(end);
        if (more < 0)
            return more;
        if (more)
            continue;
        for (u32 k = 0; k < 3; k++)
            if (at[k] && copy_to_user(at[k], got[k], words * 4))
                return -EFAULT;
        return found;
    }
}

int sys_select(u32 count, u32 in, u32 out, u32 except, u32 time) {
    struct timeval32 t;
    u32 at[3] = {in, out, except}, end = 0;
    bool wait = true;
    if (time) {
        if (copy_from_user(&t, time, sizeof(t)))
            return -EFAULT;
        if (t.seconds < 0 || t.microseconds < 0)
            return -EINVAL;
        wait = t.seconds || t.microseconds;
        end = end_of((u32)t.seconds + (u32)t.microseconds / 1000000, (u32)t.microseconds % 1000000 * 1000);
    }
    return select_until(count, at, wait, end);
}

int sys_old_select(u32 from) {
    u32 a[5];
    return copy_from_user(a, from, sizeof(a)) ? -EFAULT : sys_select(a[0], a[1], a[2], a[3], a[4]);
}

static int pselect(u32 count, const u32 at[3], u32 time, bool wide, u32 mask) {
    bool wait;
    u32 end, mask_at = 0;
    int result = mask ? copy_from_user(&mask_at, mask, 4) : 0;
    if (!result)
        result = read_time(time, wide, &wait, &end);
    if (!result)
        result = set_mask(mask_at);
    if (!result)
        result = select_until(count, at, wait, end);
    unset_mask(result);
    return result;
}

int sys_pselect6(u32 count, u32 in, u32 out, u32 except, u32 time, u32 mask) {
    u32 at[3] = {in, out, except};
    return pselect(count, at, time, false, mask);
}

int sys_pselect64(u32 count, u32 in, u32 out, u32 except, u32 time, u32 mask) {
    u32 at[3] = {in, out, except};
    return pselect(count, at, time, true, mask);
}
