/*
 * System calls on time: clocks, sleep, alarms. Most exist twice, with 32-bit and with 64-bit
 * seconds; their last argument says which layout the program has.
 */
#include "../include/process.h"

/* --- times in a program's memory ------------------------------------------------------------ */

int time_from_user(u32 at, enum time_layout layout, struct timespec64 *t) {
    struct timespec32 narrow;
    if (layout == TIME64)
        return copy_from_user(t, at, sizeof(*t));
    int error = copy_from_user(&narrow, at, sizeof(narrow));
    *t = (struct timespec64){narrow.seconds, narrow.nanoseconds, 0};
    return error;
}

int time_to_user(u32 to, enum time_layout layout, u32 seconds, u32 nanoseconds) {
    struct timespec32 narrow = {(i32)seconds, (i32)nanoseconds};
    struct timespec64 wide = {seconds, (i32)nanoseconds, 0};
    return copy_to_user(to, layout == TIME64 ? (void *)&wide : &narrow, layout);
}

bool time_good(const struct timespec64 *t) {
    return t->seconds >= 0 && (u32)t->nanoseconds < 1000000000;
}

/* --- clocks --------------------------------------------------------------------------------- */

enum { PROCESS_CPUTIME = 2, THREAD_CPUTIME, MONOTONIC_RAW, REALTIME_COARSE, MONOTONIC_COARSE, BOOTTIME };

static int read_clock(u32 clock, u32 *s, u32 *ns) {
    struct process *p = current;
    if ((int)clock < 0 && (clock & 7) == PROCESS_CPUTIME) { /* another process's: ~number << 3 */
        int pid = ~((int)clock >> 3);
        p = pid ? process_find(pid) : current;
        clock = PROCESS_CPUTIME;
        if (!p)
            return -EINVAL;
    }
    u32 used = p->user_ticks + p->system_ticks;
    switch (clock) {
    case CLOCK_REALTIME:
    case REALTIME_COARSE:
        clock_now(s, ns);
        return 0;
    case CLOCK_MONOTONIC:
    case MONOTONIC_COARSE:
    case MONOTONIC_RAW:
    case BOOTTIME:
        clock_uptime(s, ns);
        return 0;
    case PROCESS_CPUTIME:
    case THREAD_CPUTIME:
        *s = used / HZ;
        *ns = used % HZ * (1000000000 / HZ);
        return 0;
    }
    return -EINVAL;
}

int sys_clock_gettime(u32 clock, u32 to, enum time_layout layout) {
    u32 s, ns;
    int error = read_clock(clock, &s, &ns);
    return error ? error : time_to_user(to, layout, s, ns);
}

int sys_clock_getres(u32 clock, u32 to, enum time_layout layout) {
    u32 s, ns;
    int error = read_clock(clock, &s, &ns);
    bool by_tick = clock == PROCESS_CPUTIME || clock == THREAD_CPUTIME || (int)clock < 0;
    return error || !to ? error : time_to_user(to, layout, 0, by_tick ? 1000000000 / HZ : 1000);
}

static int set_clock(i64 seconds) {
    boot_time = (u32)seconds - (ticks - 1) / HZ;
    return 0;
}

int sys_clock_settime(u32 clock, u32 from, enum time_layout layout) {
    struct timespec64 t;
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    return time_from_user(from, layout, &t) ? -EFAULT : set_clock(t.seconds);
}

/* stime and settimeofday: both begin with the seconds. */
int sys_stime(u32 from) {
    u32 seconds;
    return copy_from_user(&seconds, from, 4) ? -EFAULT : set_clock(seconds);
}

int sys_settimeofday(u32 from) {
    return from ? sys_stime(from) : 0; /* else only the time zone */
}

int sys_time(u32 to) {
    u32 now = boot_time + (ticks - 1) / HZ;
    return to && copy_to_user(to, &now, 4) ? -EFAULT : (int)now;
}

int sys_gettimeofday(u32 to, u32 zone) {
    u32 t[2], nothing[2] = {0, 0};
    clock_now(&t[0], &t[1]);
    t[1] /= 1000;
    return (to && copy_to_user(to, t, 8)) || (zone && copy_to_user(zone, nothing, 8)) ? -EFAULT : 0;
}

int sys_times(u32 to) {
    u32 t[4] = {current->user_ticks, current->system_ticks, current->child_user_ticks,
                current->child_system_ticks};
    return to && copy_to_user(to, t, sizeof(t)) ? -EFAULT : (int)(ticks & 0x7fffffff);
}

int rusage_to_user(u32 to, u32 user, u32 system) {
    enum { MICROSECONDS = 1000000 / HZ };
    u32 usage[18] = {user / HZ, user % HZ * MICROSECONDS, system / HZ, system % HZ * MICROSECONDS};
    return copy_to_user(to, usage, sizeof(usage));
}

int sys_getrusage(u32 who, u32 to) {
    enum { CHILDREN = -1 };
    return who == (u32)CHILDREN ? rusage_to_user(to, current->child_user_ticks, current->child_system_ticks)
                                : rusage_to_user(to, current->user_ticks, current->system_ticks);
}

/* --- sleep ---------------------------------------------------------------------------------- */

/* What is left of a time until a moment to come. */
static void subtract(struct timespec64 *t, u32 seconds, u32 nanoseconds) {
    t->seconds -= seconds;
    t->nanoseconds -= (i32)nanoseconds;
    if (t->nanoseconds < 0) {
        t->nanoseconds += 1000000000;
        t->seconds--;
    }
}

static int sleep_until(u32 end) {
    static char nothing_wakes;
    while ((i32)(end - ticks) > 0)
        if (sleep_on(&nothing_wakes, end) == -ERESTART)
            return -ERESTART_NO_HANDLER;
    return 0;
}

/* How much is left is told if a signal ends the sleep. */
int sys_clock_nanosleep(u32 clock, u32 flags, u32 from, u32 rest, enum time_layout layout) {
    bool until = flags & 1;
    struct timespec64 t;
    u32 s, ns;
    if (time_from_user(from, layout, &t))
        return -EFAULT;
    int error = time_good(&t) ? read_clock(clock, &s, &ns) : -EINVAL;
    if (error)
        return error;
    if (until)
        subtract(&t, s, ns);
    if (t.seconds < 0 || (!t.seconds && !t.nanoseconds))
        return 0;
    u32 end = current->sleep_end && !until ? current->sleep_end : end_after((u64)t.seconds, (u32)t.nanoseconds);
    current->sleep_end = 0;
    error = sleep_until(end);
    if (error)
        current->sleep_end = end; /* if the call is run again, it goes on with the same sleep */
    u32 left = (i32)(end - ticks) > 0 ? end - ticks : 0;
    if (error && rest && !until && time_to_user(rest, layout, left / HZ, left % HZ * (1000000000 / HZ)))
        return -EFAULT;
    return error;
}

/* When a call has to end that waits so long: the tick under way does not count. */
u32 end_after(u64 seconds, u32 nanoseconds) {
    u32 end = ticks + 1 + ticks_of(seconds, nanoseconds);
    return end ? end : 1; /* 0 would mean "never" */
}

/* Where a time to wait stands; nowhere means for ever. */
int time_limit(u32 at, enum time_layout layout, bool *wait, u32 *end) {
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

/* The same for a moment of a clock. */
int time_limit_at(u32 at, enum time_layout layout, u32 clock, bool *wait, u32 *end) {
    struct timespec64 t;
    u32 s, ns;
    int error = time_limit(at, layout, wait, end);
    if (error || !at)
        return error;
    if (time_from_user(at, layout, &t) || read_clock(clock, &s, &ns))
        return -EFAULT;
    subtract(&t, s, ns);
    *wait = t.seconds > 0 || (!t.seconds && t.nanoseconds);
    if (*wait)
        *end = end_after((u64)t.seconds, (u32)t.nanoseconds);
    return 0;
}

/* --- alarms --------------------------------------------------------------------------------- */

static struct timeval32 time_of(u32 n) {
    return (struct timeval32){(i32)(n / HZ), (i32)(n % HZ) * (1000000 / HZ)};
}

static u32 ticks_of_time(struct timeval32 t) {
    return ticks_of((u32)t.seconds, (u32)t.microseconds * 1000);
}

static u32 alarm_left(void) {
    return current->alarm_at ? MAX((i32)(current->alarm_at - ticks - 1), 1) : 0;
}

static void set_alarm(u32 after, u32 every) {
    current->alarm_at = after ? ticks + 1 + after : 0; /* the tick under way does not count */
    current->alarm_every = every;
}

/* Of three clocks: real time (0), the program's (1), and the program's with the kernel's for it (2). */
int sys_getitimer(u32 which, u32 to) {
    struct interval now = {alarm_left(), current->alarm_every};
    if (which > 2)
        return -EINVAL;
    if (which)
        now = current->intervals[which - 1];
    struct itimerval32 t = {time_of(now.every), time_of(now.left)};
    return copy_to_user(to, &t, sizeof(t));
}

int sys_setitimer(u32 which, u32 new, u32 old) {
    struct itimerval32 t = {0};
    if (new && copy_from_user(&t, new, sizeof(t)))
        return -EFAULT;
    if ((u32)t.value.microseconds >= 1000000 || (u32)t.interval.microseconds >= 1000000 ||
        t.value.seconds < 0)
        return -EINVAL;
    int error = which > 2 ? -EINVAL : old ? sys_getitimer(which, old) : 0;
    u32 after = ticks_of_time(t.value), every = ticks_of_time(t.interval);
    if (!error && which)
        current->intervals[which - 1] = (struct interval){after, every};
    else if (!error)
        set_alarm(after, every);
    return error;
}

int sys_alarm(u32 seconds) {
    u32 left = alarm_left();
    set_alarm(ticks_of(seconds, 0), 0);
    return (int)(left / HZ + (left % HZ >= HZ / 2 || (left && left < HZ))); /* rounded, but never to nothing */
}
