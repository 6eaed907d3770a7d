/* System calls that tell of the machine and its limits, and the one that ends it all. */
#include "../include/files.h"

/* --- limits --------------------------------------------------------------------------------- */

/* All are noted and given back; only that of open files is kept to, and those that are the machine's. */
void limits_start(struct process *p) {
    for (u32 i = 0; i < LIMITS; i++)
        p->limits[i] = (struct limit){-1u, -1u};
    p->limits[LIMIT_STACK] = (struct limit){USER_STACK_SIZE, USER_STACK_SIZE};
    p->limits[LIMIT_PROCESSES] = (struct limit){PROCESSES, PROCESSES};
    p->limits[LIMIT_FILES] = (struct limit){FILES, FILES};
}

static int set_limit(struct process *p, u32 what, struct limit new) {
    if (new.now > new.most)
        return -EINVAL;
    if (what == LIMIT_FILES && new.most > FILES)
        return -EPERM;
    p->limits[what] = new;
    return 0;
}

int sys_getrlimit(u32 what, u32 to) {
    return what >= LIMITS ? -EINVAL : copy_to_user(to, &current->limits[what], sizeof(struct limit));
}

int sys_setrlimit(u32 what, u32 from) {
    struct limit new;
    if (what >= LIMITS)
        return -EINVAL;
    return copy_from_user(&new, from, sizeof(new)) ? -EFAULT : set_limit(current, what, new);
}

static u64 widen(u32 n) {
    return n == -1u ? -1ull : n;
}

int sys_prlimit64(int pid, u32 what, u32 new, u32 old) {
    struct process *p = pid ? process_find(pid) : current;
    u64 pair[2];
    if (what >= LIMITS || !p)
        return p ? -EINVAL : -ESRCH;
    struct limit before = p->limits[what];
    if (new && copy_from_user(pair, new, sizeof(pair)))
        return -EFAULT;
    int error = new ? set_limit(p, what, (struct limit){(u32)MIN(pair[0], -1u), (u32)MIN(pair[1], -1u)}) : 0;
    pair[0] = widen(before.now);
    pair[1] = widen(before.most);
    return error ? error : old ? copy_to_user(old, pair, sizeof(pair)) : 0;
}

/* --- the machine ---------------------------------------------------------------------------- */

static struct utsname names = {"Linux", "sprout", "6.1.0-sprout", "#1 sprout 1.0", "i686", "(none)"};

int sys_uname(u32 to) {
    return copy_to_user(to, &names, sizeof(names));
}

int sys_sethostname(u32 from, u32 size) {
    char name[sizeof(names.nodename)] = "";
    if (size >= sizeof(name))
        return -EINVAL;
    int error = copy_from_user(name, from, size);
    if (!error)
        memcpy(names.nodename, name, sizeof(name));
    return error;
}

int sys_sysinfo(u32 to) {
    struct {
        u32 uptime, loads[3], total, free, shared, buffers, swap, free_swap;
        u16 processes, pad;
        u32 high, free_high, unit;
        u8 rest[8];
    } s = {.uptime = ticks / HZ, .total = frames_total * PAGE, .free = frames_free * PAGE, .unit = 1};
    for (EACH_PROCESS(p))
        s.processes++;
    return copy_to_user(to, &s, 64);
}

/* A page at least; more, as long as no signal comes. */
int sys_getrandom(u32 to, u32 size) {
    u32 done = 0, chunk[16];
    for (size = MIN(size, 1u << 25); done < size; done += MIN(size - done, sizeof(chunk))) {
        if (done && done % PAGE == 0) {
            give_way();
            if (signal_waiting(current))
                break;
        }
        for (u32 i = 0; i < ARRAY_SIZE(chunk); i++)
            chunk[i] = random32();
        if (copy_to_user(to + done, chunk, MIN(size - done, sizeof(chunk))))
            return -EFAULT;
    }
    return (int)done;
}

void power_off(int status) {
    print("power off\n");
    port_out8(0xf4, (u8)status);    /* a debug exit port, where there is one */
    port_out16(0x604, 0x2000);      /* the power management of QEMU's board */
    cpu_stop();
}

int sys_reboot(u32 magic, u32 magic2, u32 command) {
    enum { RESTART = 0x01234567, HALT = (int)0xcdef0123, POWER_OFF = 0x4321fedc };
    enum { CAD_ON = (int)0x89abcdef, CAD_OFF = 0 }; /* what Ctrl-Alt-Delete does: nothing */
    if (magic != 0xfee1dead)
        return -EINVAL;
    if (command == (u32)CAD_ON || command == CAD_OFF)
        return 0;
    sync_all();
    if (command == RESTART)
        cpu_reset();
    if (command == POWER_OFF || command == (u32)HALT)
        power_off(0);
    return -EINVAL;
}
