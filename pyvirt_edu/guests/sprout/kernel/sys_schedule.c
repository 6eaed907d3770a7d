/*
 * System calls on scheduling. There is one processor, and all get the same time on it; what programs
 * wish besides is noted and given back.
 */
#include "../include/process.h"

int sys_sched_yield(void) {
    schedule();
    return 0;
}

/* --- which processor ------------------------------------------------------------------------ */

int sys_sched_getaffinity(u32 pid, u32 size, u32 to) {
    u32 mask = 1;
    return size < 4 ? -EINVAL : copy_to_user(to, &mask, 4) ? -EFAULT : 4;
}

int sys_sched_setaffinity(u32 pid, u32 size, u32 from) {
    u32 mask = 0;
    if (copy_from_user(&mask, from, MIN(size, 4)))
        return -EFAULT;
    return mask & 1 ? 0 : -EINVAL;
}

int sys_getcpu(u32 cpu, u32 node) {
    u32 first = 0;
    return (cpu && copy_to_user(cpu, &first, 4)) || (node && copy_to_user(node, &first, 4)) ? -EFAULT : 0;
}

/* --- priorities ------------------------------------------------------------------------------ */

/* Priorities are noted for one process; for groups and users they are of no effect. */
static struct process *whose(u32 which, int pid) {
    return which ? current : pid ? process_find(pid) : current;
}

int sys_getpriority(u32 which, int pid) {
    struct process *p = whose(which, pid);
    return which > 2 ? -EINVAL : p ? 20 - p->nice : -ESRCH; /* as Linux, never below 1 */
}

int sys_setpriority(u32 which, int pid, int nice) {
    struct process *p = whose(which, pid);
    if (which > 2 || !p)
        return which > 2 ? -EINVAL : -ESRCH;
    p->nice = MAX(MIN(nice, 19), -20);
    return 0;
}

int sys_nice(int more) {
    return sys_setpriority(0, 0, current->nice + MAX(MIN(more, 40), -40));
}

/* The one way of scheduling there is, and what priorities Linux's others have. */
int sys_sched_getscheduler(int pid) {
    return pid && !process_find(pid) ? -ESRCH : 0;
}

int sys_sched_getparam(int pid, u32 to) {
    u32 none = 0;
    return pid && !process_find(pid) ? -ESRCH : copy_to_user(to, &none, 4);
}

int sys_sched_priority(u32 policy, int real_time) {
    enum { FIFO = 1, ROUND_ROBIN = 2, MOST = 6, NONE = 4 };
    return policy > MOST || policy == NONE ? -EINVAL : policy == FIFO || policy == ROUND_ROBIN ? real_time : 0;
}
