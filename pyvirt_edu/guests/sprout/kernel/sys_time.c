/* System calls on time: clocks, sleep, alarms. Each exists with 32-bit and with 64-bit seconds. */
#include "../include/process.h"

static int read_clock(u32 clock, u32 *s, u32 *ns) {
    enum { REALTIME_COARSE = 5, MONOTONIC_COARSE = 6, BOOTTIME = 7, MONOTONIC_RAW = 4, THREAD_CPUTIME = 3 };
    if (clock == CLOCK_REALTIME || clock == REALTIME_COARSE) {
        clock_now(s, ns);
    } else if (clock == CLOCK_PROCESS_CPUTIME || clock == THREAD_CPUTIME) {
        u32 t = current->user_ticks + current->system_ticks;
        *s = t / HZ;
        *ns = t % HZ * (1000000000 / HZ);
    } else if (clock == CLOCK_MONOTONIC || clock == MONOTONIC_COARSE || clock == BOOTTIME || clock == MONOTONIC_RAW) {
        clock_uptime(s, ns);
    } else {
        return -EINVAL;
    }
    return 0;
}

int sys_clock_gettime(u32 clock, u32 to) {
    u32 t[2];
    int error = read_clock(clock, &t[0], &t[1]);
    return error ? error : copy_to_user(to, t, 8);
}

int sys_clock_gettime64(u32 clock, u32 to) {
    u32 s, ns;
    int error = read_clock(clock, &s, &ns);
    struct timespec64 t = {s, (i32)ns, 0};
    return error ? error : copy_to_user(to, &t, sizeof(t));
}

int sys_clock_getres(u32 clock, u32 to) {
    u32 t[2] = {0, 1000}, s, ns;
    int error = read_clock(clock, &s, &ns);
    return error || !to ? error : copy_to_user(to, t, 8);
}

int sys_clock_getres64(u32 clock, u32 to) {
    struct timespec64 t = {0, 1000, 0};
    u32 s, ns;
    int error = read_clock(clock, &s, &ns);
    return error || !to ? error : copy_to_user(to, &t, sizeof(t));
}

static int set_clock(u32 seconds) {
    boot_time = seconds - (ticks - 1) / HZ;
    return 0;
}

int sys_clock_settime(u32 clock, u32 from) {
    struct timespec32 t;
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    return copy_from_user(&t, from, sizeof(t)) ? -EFAULT : set_clock((u32)t.seconds);
}

int sys_clock_settime64(u32 clock, u32 from) {
    struct timespec64 t;
    if (clock != CLOCK_REALTIME)
        return -EINVAL;
    return copy_from_user(&t, from, sizeof(t)) ? -EFAULT : set_clock((u32)t.seconds);
}

int sys_stime(u32 from) {
    u32 seconds;
    return copy_from_user(&seconds, from, 4) ? -EFAULT : set_clock(seconds);
}

int sys_settimeofday(u32 from) {
    return from ? sys_stime(from) : 0;
}

int sys_time(u32 to) {
    u32 now = boot_time + (ticks - 1) / HZ;
    return to && copy_to_user(to, &now, 4) ? -EFAULT : (int)now;
}

int sys_gettimeofday(u32 to, u32 zone) {
    u32 t[2], nothing[2] = {0, 0};
    clock_now(&t[0], &t[1]);
    t[1] /= 1000;
    if ((to && copy_to_user(to, t, 8)) || (zone && copy_to_user(zone, nothing, 8)))
        return -EFAULT;
    return 0;
}

int sys_times(u32 to) {
    u32 t[4] = {current->user_ticks, current->system_ticks, current->child_user_ticks,
                current->child_system_ticks};
    return to && copy_to_user(to, t, sizeof(t)) ? -EFAULT : (int)(ticks & 0x7fffffff);
}

int sys_getrusage(u32 who, u32 to) {
    bool children = who == -1u;
    u32 user = children ? current->child_user_ticks : current->user_ticks;
    u32 system = children ? current->child_system_ticks : current->system_ticks;
    u32 usage[18] = {user / HZ, user % HZ * 10000, system / HZ, system % HZ * 10000};
    return copy_to_user(to, usage, sizeof(usage));
}

/* --- sleep ---------------------------------------------------------------------------------- */

/* How many ticks are left is told if a signal ends the sleep. */
static int sleep_until(u32 end, u32 *left) {
    static char nothing_wakes;
    while ((i32)(end - ticks) > 0) {
        int error = sleep_on(&nothing_wakes, end);
        if (error == -ERESTART) {
            *left = (i32)(end - ticks) > 0 ? end - ticks : 0;
            return -EINTR;
        }
    }
    return 0;
}

static int sleep_for(i64 seconds, i32 nanoseconds, u32 *left) {
    if (seconds < 0 || (u32)nanoseconds >= 1000000000)
        return -EINVAL;
    if (!seconds && !nanoseconds)
        return 0;
    u32 whole = seconds > 0x1000000 ? 0x1000000 : (u32)seconds;
    return sleep_until(ticks + 1 + ticks_of(whole, (u32)nanoseconds), left);
}

static int sleep_at(u32 clock, i64 seconds, i32 nanoseconds, u32 *left) {
    u32 s, ns;
    int error = read_clock(clock, &s, &ns);
    if (error)
        return error;
    seconds -= s;
    nanoseconds -= (i32)ns;
    if (nanoseconds < 0) {
        nanoseconds += 1000000000;
        seconds--;
    }
    return seconds < 0 ? 0 : sleep_for(seconds, nanoseconds, left);
}

static int sleep32(u32 clock, bool until, u32 from, u32 rest) {
    struct timespec32 t;
    u32 left;
    if (copy_from_user(&t, from, sizeof(t)))
        return -EFAULT;
    int error = until ? sleep_at(clock, t.seconds, t.nanoseconds, &left) : sleep_for(t.seconds, t.nanoseconds, &left);
    if (error == -EINTR && rest && !until) {
        t = (struct timespec32){(i32)(left / HZ), (i32)(left % HZ) * (1000000000 / HZ)};
        if (copy_to_user(rest, &t, sizeof(t)))
            return -EFAULT;
    }
    return error;
}

int sys_nanosleep(u32 from, u32 rest) {
    return sleep32(CLOCK_MONOTONIC, false, from, rest);
}

int sys_clock_nanosleep(u32 clock, u32 flags, u32 from, u32 rest) {
    return sleep32(clock, flags & 1, from, rest);
}

int sys_clock_nanosleep64(u32 clock, u32 flags, u32 from, u32 rest) {
    struct timespec64 t;
    u32 left;
    if (copy_from_user(&t, from, sizeof(t)))
        return -EFAULT;
    int error = flags & 1 ? sleep_at(clock, t.seconds, t.nanoseconds, &left)
                          : sleep_for(t.seconds, t.nanoseconds, &left);
    if (error == -EINTR && rest && !(flags & 1)) {
        t = (struct timespec64){left / HZ, (i32)(left % HZ) * (1000000000 / HZ), 0};
        if (copy_to_user(rest, &t, sizeof(t)))
            return -EFAULT;
    }
    return error;
}

/* --- alarms --------------------------------------------------------------------------------- */

static struct timeval32 time_of(u32 n) {
    return (struct timeval32){(i32)(n / HZ), (i32)(n % HZ) * (1000000 / HZ)};
}

static struct itimerval32 timer_now(void) {
    u32 left = current->alarm_at ? MAX((i32)(current->alarm_at - ticks), 1) : 0;
    return (struct itimerval32){time_of(current->alarm_every), time_of(left)};
}

static u32 ticks_of_time(struct timeval32 t) {
    return ticks_of((u32)t.seconds, (u32)t.microseconds * 1000);
}

int sys_setitimer(u32 which, u32 new, u32 old) {
    struct itimerval32 before = timer_now(), t = {0};
    if (which)
        return -EINVAL; /* real time only */
    if (new && copy_from_user(&t, new, sizeof(t)))
        return -EFAULT;
    if ((u32)t.value.microseconds >= 1000000 || (u32)t.interval.microseconds >= 1000000 || t.value.seconds < 0)
        return -EINVAL;
    u32 n = ticks_of_time(t.value);
    current->alarm_at = n ? ticks + n : 0;
    current->alarm_every = ticks_of_time(t.interval);
    return old ? copy_to_user(old, &before, sizeof(before)) : 0;
}

int sys_getitimer(u32 which, u32 to) {
    struct itimerval32 t = timer_now();
    return which ? -EINVAL : copy_to_user(to, &t, sizeof(t));
}

int sys_alarm(u32 seconds) {
    u32 left = current->alarm_at ? MAX((i32)(current->alarm_at - ticks), 1) : 0;
    current->alarm_at = seconds ? ticks + ticks_of(seconds, 0) : 0;
    current->alarm_every = 0;
    return (int)((left + HZ - 1) / HZ);
}
