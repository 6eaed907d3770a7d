/* System calls on processes: making and ending them, groups and sessions, whose they are, their names. */
#include "../include/files.h"

int sys_exit(u32 status) {
    process_exit((int)(status & 0xff) << 8);
}

/* fork and vfork are clone with less to say. */
int sys_clone(u32 flags, u32 stack, u32 parent_tid, u32 tls, u32 child_tid) {
    int pid = process_fork(arch_frame(current), flags, stack, parent_tid, tls, child_tid);
    if (pid == -ENOSYS)
        complain("threads (clone with flags %x) are not supported\n", flags);
    return pid;
}

int sys_clone3(u32 at, u32 size) {
    struct {
        u64 flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    } a;
    if (size < sizeof(a))
        return -EINVAL;
    if (copy_from_user(&a, at, sizeof(a)))
        return -EFAULT;
    u32 stack = a.stack ? (u32)(a.stack + a.stack_size) : 0;
    return sys_clone((u32)a.flags, stack, (u32)a.parent_tid, (u32)a.tls, (u32)a.child_tid);
}

int sys_execve(u32 path_at, u32 argv, u32 envp) {
    OWNED(memory) char *path = NULL;
    int error = user_text(path_at, &path);
    if (error >= 0)
        error = exec_user(path, argv, envp, arch_frame(current));
    if (!error)
        current->call = -1u; /* the new program has not called anything */
    return error;
}

int sys_wait4(int pid, u32 status, u32 options, u32 usage) {
    struct child_news found;
    if (options & ~(u32)(WNOHANG | WUNTRACED | WCONTINUED))
        return -EINVAL;
    int number = process_wait(pid, options | WEXITED, &found);
    if (number > 0 && ((status && copy_to_user(status, &found.status, 4)) ||
                       (usage && rusage_to_user(usage, found.user_ticks, found.system_ticks))))
        return -EFAULT;
    return number;
}

/* waitid tells of a child as SIGCHLD would. */
int sys_waitid(u32 which, int id, u32 to, u32 options, u32 usage) {
    enum { P_ALL, P_PID, P_PGID };
    struct child_news found;
    u32 asked = options & (WEXITED | WUNTRACED | WCONTINUED);
    if (which > P_PGID || !asked || options & ~(asked | WNOHANG | WNOWAIT) || (which == P_PID && id <= 0))
        return -EINVAL;
    int number = process_wait(which == P_ALL ? -1 : which == P_PID ? id : -id, options, &found);
    if (number < 0)
        return number;
    int signal = found.status & 0x7f, upper = found.status >> 8;
    int code = found.status == 0xffff ? CLD_CONTINUED : signal == 0x7f ? CLD_STOPPED
               : signal ? CLD_KILLED : CLD_EXITED;
    u32 status = (u32)(code == CLD_CONTINUED ? SIGCONT : code == CLD_KILLED ? signal : upper);
    u32 info[32] = {SIGCHLD, 0, (u32)code, (u32)number, 0, status};
    if (!number)
        memset(info, 0, sizeof(info));
    if ((to && copy_to_user(to, info, sizeof(info))) ||
        (number && usage && rusage_to_user(usage, found.user_ticks, found.system_ticks)))
        return -EFAULT;
    return 0;
}

int sys_getpid(void) {
    return current->pid;
}

int sys_getppid(void) {
    return current->parent ? current->parent->pid : 0;
}

int sys_set_tid_address(u32 address) {
    current->clear_tid = address;
    return current->pid;
}

/* rseq, for threads on several processors: every program asks for it, and does without. */
int sys_silently_absent(void) {
    return -ENOSYS;
}

/* What has no effect here: locking memory that never leaves RAM, priorities, groups ... */
int sys_nothing(void) {
    return 0;
}

int sys_set_thread_area(u32 at) {
    struct user_desc d;
    if (copy_from_user(&d, at, sizeof(d)))
        return -EFAULT;
    u32 index = d.entry_number - TLS_FIRST;
    if (d.entry_number == -1u) {
        for (index = 0; index < TLS_COUNT && current->arch.tls[index]; index++)
            ;
        d.entry_number = index + TLS_FIRST;
        if (index == TLS_COUNT)
            return -ESRCH;
    }
    if (index >= TLS_COUNT)
        return -EINVAL;
    int error = arch_set_tls(current, index, d.base_addr, d.limit, d.flags);
    if (error)
        return error;
    struct trap_frame *f = arch_frame(current); /* what its registers point to may be gone now */
    u32 *selectors[] = {&f->ds, &f->es, &f->fs, &f->gs};
    for (u32 i = 0; i < 4; i++)
        if (!arch_selector_valid(current, *selectors[i]))
            *selectors[i] = 0;
    return copy_to_user(at, &d.entry_number, 4);
}

/* --- groups and sessions -------------------------------------------------------------------- */

int sys_setpgid(int pid, int group) {
    struct process *p = pid ? process_find(pid) : current;
    if (!p || (p != current && p->parent != current))
        return -ESRCH;
    if (group < 0)
        return -EINVAL;
    if (p->session != current->session || p->session == p->pid)
        return -EPERM;
    p->group = group ? group : p->pid;
    return 0;
}

int sys_getpgid(int pid) {
    struct process *p = pid ? process_find(pid) : current;
    return p ? p->group : -ESRCH;
}

int sys_getpgrp(void) {
    return current->group;
}

int sys_getsid(int pid) {
    struct process *p = pid ? process_find(pid) : current;
    return p ? p->session : -ESRCH;
}

int sys_setsid(void) {
    if (current->group == current->pid)
        return -EPERM;
    current->session = current->group = current->pid;
    current->has_tty = false;
    return current->pid;
}

/* --- users ---------------------------------------------------------------------------------- */

int sys_get_id(enum id which) {
    return (int)current->ids[which];
}

/* The real and the effective one; -1 leaves one as it is. `which` is USER or GROUP. */
int sys_set_ids(enum id which, u32 real, u32 effective) {
    u32 *now = &current->ids[which], *now_effective = &current->ids[which + EFFECTIVE_USER];
    bool known = effective == -1u || effective == *now || effective == *now_effective;
    if (current->ids[EFFECTIVE_USER] && !(known && (real == -1u || real == *now)))
        return -EPERM;
    *now = real == -1u ? *now : real;
    *now_effective = effective == -1u ? *now_effective : effective;
    return 0;
}

/* setuid and setgid: root changes both, others the effective one. */
int sys_set_id(enum id which, u32 id) {
    return sys_set_ids(which, current->ids[EFFECTIVE_USER] ? -1u : id, id);
}

/* The saved one is the effective one. */
int sys_get_ids(enum id which, u32 real, u32 effective, u32 saved) {
    const u32 *now = &current->ids[which], *now_effective = &current->ids[which + EFFECTIVE_USER];
    bool bad = copy_to_user(real, now, 4) || copy_to_user(effective, now_effective, 4) ||
               copy_to_user(saved, now_effective, 4);
    return bad ? -EFAULT : 0;
}

/* --- what else a process has ---------------------------------------------------------------- */

/* Linux's own, and none of the others. */
int sys_personality(u32 which) {
    return which && which != -1u ? -EINVAL : 0;
}

int sys_prctl(u32 what, u32 argument) {
    enum { SET_NAME = 15, GET_NAME = 16 };
    if (what == SET_NAME)
        return copy_from_user(current->name, argument, 15);
    return what == GET_NAME ? copy_to_user(argument, current->name, 16) : -EINVAL;
}
