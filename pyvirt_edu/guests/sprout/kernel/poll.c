/*
 * poll and select: wait until one of several files is ready. Whoever makes a file ready wakes all
 * that wait here, and they look at their files again.
 *
 * Kept: nothing changes between the last look and the sleep, so no change is missed.
 */
#include "../include/files.h"

enum { MOST_POLLED = PAGE / sizeof(struct pollfd) };

static int ready(u32 fd, int wanted) {
    struct file *f = descriptor_file(fd);
    if (!f)
        return POLLNVAL;
    int bits = f->ops->poll ? f->ops->poll(f) : POLLIN | POLLOUT;
    bits |= (bits & POLLIN ? POLLRDNORM : 0) | (bits & POLLOUT ? POLLWRNORM : 0);
    return bits & (wanted | POLLERR | POLLHUP);
}

/* Sleep until something changed. `end` is a tick, 0: for ever. 0: time is up. */
static int wait_for_change(u32 end) {
    if (end && (i32)(end - ticks) <= 0)
        return 0;
    int error = sleep_on(&poll_channel, end);
    return error == -ERESTART ? -ERESTART_NO_HANDLER : error == -ETIMEDOUT ? 0 : 1;
}

/* How many are ready; with `wait`, at least one, or the time is over. */
static int poll_list(struct pollfd *list, u32 count, bool wait, u32 end) {
    for (;;) {
        int found = 0;
        for (struct pollfd *p = list; p < list + count; p++) {
            p->revents = p->fd < 0 ? 0 : (i16)ready((u32)p->fd, p->events);
            found += p->revents != 0;
        }
        int more = found || !wait ? 0 : wait_for_change(end);
        if (more <= 0)
            return found ? found : more;
    }
}

static int poll_until(u32 at, u32 count, bool wait, u32 end) {
    u32 size = count * sizeof(struct pollfd);
    if (count > MOST_POLLED)
        return -EINVAL;
    OWNED(memory) struct pollfd *list = allocate(size);
    if (!list)
        return -ENOMEM;
    if (copy_from_user(list, at, size))
        return -EFAULT;
    int found = poll_list(list, count, wait, end);
    return found >= 0 && copy_to_user(at, list, size) ? -EFAULT : found;
}

int sys_poll(u32 list, u32 count, int milliseconds) {
    u32 ms = (u32)milliseconds;
    u32 end = milliseconds < 0 ? 0 : end_after(ms / 1000, ms % 1000 * 1000000);
    return poll_until(list, count, milliseconds != 0, end);
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

int sys_ppoll(u32 list, u32 count, u32 time, u32 mask, enum time_layout layout) {
    bool wait;
    u32 end;
    int result = time_limit(time, layout, &wait, &end);
    if (!result)
        result = set_mask(mask);
    if (!result)
        result = poll_until(list, count, wait, end);
    unset_mask(result);
    return result;
}

/* --- select: the same with bit sets --------------------------------------------------------- */

enum { SETS = 3 }; /* to read, to write, exceptions: which of poll's bits put a file into them */
static const int set_bits[SETS] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, POLLPRI};

/* A list, as poll has it, of the files that are in any set; its length. */
static int list_files(struct pollfd *list, u32 sets[SETS][FILES / 32], u32 count) {
    u32 listed = 0;
    for (u32 fd = 0; fd < count; fd++) {
        int events = 0;
        for (u32 k = 0; k < SETS; k++)
            events |= sets[k][fd / 32] >> fd % 32 & 1 ? set_bits[k] : 0;
        if (!events)
            continue;
        if (listed == MOST_POLLED)
            return -EINVAL;
        list[listed++] = (struct pollfd){.fd = (i32)fd, .events = (i16)events};
    }
    return (int)listed;
}

/* Leave in the sets what is ready; how many bits that are. */
static int keep_ready(const struct pollfd *list, int listed, u32 sets[SETS][FILES / 32]) {
    int found = 0;
    for (const struct pollfd *p = list; p < list + listed; p++) {
        if (p->revents & POLLNVAL)
            return -EBADF;
        for (u32 k = 0; k < SETS; k++) {
            u32 bit = 1u << p->fd % 32, *word = &sets[k][p->fd / 32];
            if (!(p->revents & set_bits[k]))
                *word &= ~bit;
            found += (*word & bit) != 0;
        }
    }
    return found;
}

static int select_until(u32 count, const u32 at[SETS], bool wait, u32 end) {
    u32 sets[SETS][FILES / 32] = {{0}};
    OWNED(memory) struct pollfd *list = allocate(MOST_POLLED * sizeof(*list));
    if (!list)
        return -ENOMEM;
    count = MIN(count, (u32)FILES);
    u32 size = (count + 31) / 32 * 4;
    for (u32 k = 0; k < SETS; k++)
        if (at[k] && copy_from_user(sets[k], at[k], size))
            return -EFAULT;
    int listed = list_files(list, sets, count);
    int found = listed < 0 ? listed : poll_list(list, (u32)listed, wait, end);
    if (found >= 0)
        found = keep_ready(list, listed, sets);
    for (u32 k = 0; k < SETS && found >= 0; k++)
        if (at[k] && copy_to_user(at[k], sets[k], size))
            return -EFAULT;
    return found;
}

int sys_select(u32 count, u32 in, u32 out, u32 except, u32 time) {
    struct timeval32 t = {0};
    if (time && copy_from_user(&t, time, sizeof(t)))
        return -EFAULT;
    if (t.seconds < 0 || t.microseconds < 0)
        return -EINVAL;
    u32 microseconds = (u32)t.microseconds % 1000000;
    u32 end = time ? end_after((u32)t.seconds + (u32)t.microseconds / 1000000, microseconds * 1000) : 0;
    int found = select_until(count, (u32[]){in, out, except}, !time || t.seconds || t.microseconds, end);
    u32 left = time && (i32)(end - ticks) > 1 ? end - ticks - 1 : 0;
    t = (struct timeval32){(i32)(left / HZ), (i32)(left % HZ * (1000000 / HZ))};
    return time && found >= 0 && copy_to_user(time, &t, sizeof(t)) ? -EFAULT : found;
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
        result = time_limit(time, layout, &wait, &end);
    if (!result)
        result = set_mask(mask_at);
    if (!result)
        result = select_until(count, (u32[]){in, out, except}, wait, end);
    unset_mask(result);
    return result;
}
