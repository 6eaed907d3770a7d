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

/* When a call has to end that waits so long. */
static u32 end_after(u64 seconds, u32 nanoseconds) {
    u32 end = ticks + ticks_of(seconds, nanoseconds);
    return end ? end : 1; /* 0 would mean "never" */
}

int sys_poll(u32 list, u32 count, int milliseconds) {
    u32 ms = (u32)milliseconds;
    return poll_until(list, count, milliseconds != 0, milliseconds < 0 ? 0 : end_after(ms / 1000, ms % 1000 * 1000000));
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
    current->blocked = mask & ~UNBLOCKABLE;
    return 0;
}

static void unset_mask(int result) {
    if (current->restore_mask && result != -ERESTART_NO_HANDLER) {
        current->restore_mask = false;
        current->blocked = current->saved_mask;
    }
}

/* Where a time to wait stands; nowhere means for ever. */
static int read_time(u32 at, enum time_layout layout, bool *wait, u32 *end) {
    struct timespec64 t;
    *wait = true;
    *end = 0;
    if (!at)
        return 0;
    if (time_from_user(at, layout, &t))
        return -EFAULT;
    if (!time_good(&t))
        return -EINVAL;
    *wait = t.seconds || t.nanoseconds;
    *end = end_after((u64)t.seconds, (u32)t.nanoseconds);
    return 0;
}

int sys_ppoll(u32 list, u32 count, u32 time, u32 mask, enum time_layout layout) {
    bool wait;
    u32 end;
    int result = read_time(time, layout, &wait, &end);
    if (!result)
        result = set_mask(mask);
    if (!result)
        result = poll_until(list, count, wait, end);
    unset_mask(result);
    return result;
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
    struct timeval32 t = {0};
    if (time && copy_from_user(&t, time, sizeof(t)))
        return -EFAULT;
    if (t.seconds < 0 || t.microseconds < 0)
        return -EINVAL;
    u32 microseconds = (u32)t.microseconds % 1000000;
    u32 end = time ? end_after((u32)t.seconds + (u32)t.microseconds / 1000000, microseconds * 1000) : 0;
    return select_until(count, (u32[]){in, out, except}, !time || t.seconds || t.microseconds, end);
}

int sys_old_select(u32 from) {
    u32 a[5];
    return copy_from_user(a, from, sizeof(a)) ? -EFAULT : sys_select(a[0], a[1], a[2], a[3], a[4]);
}

/* The last argument points to the mask's address, and its size: a seventh word would not fit. */
int sys_pselect(u32 count, u32 in, u32 out, u32 except, u32 time, u32 mask, enum time_layout layout) {
    bool wait;
    u32 end, mask_at = 0;
    int result = mask ? copy_from_user(&mask_at, mask, 4) : 0;
    if (!result)
        result = read_time(time, layout, &wait, &end);
    if (!result)
        result = set_mask(mask_at);
    if (!result)
        result = select_until(count, (u32[]){in, out, except}, wait, end);
    unset_mask(result);
    return result;
}
