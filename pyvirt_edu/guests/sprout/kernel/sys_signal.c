/* System calls on signals. */
#include "../include/process.h"

static const u64 unblockable = 1ull << (SIGKILL - 1) | 1ull << (SIGSTOP - 1);

int sys_kill(int pid, int number) {
    if (number < 0 || number >= SIGNALS)
        return -EINVAL;
    if (pid == 0 || pid < -1)
        return signal_group(pid ? -pid : current->group, number);
    int found = 0;
    for (u32 i = 0; i < process_slots; i++) {
        struct process *p = processes[i];
        bool meant = p && (pid == -1 ? p != init_process && p != current : p->pid == pid);
        if (meant && number)
            signal_send(p, number);
        found += meant;
    }
    return found ? 0 : -ESRCH;
}

int sys_tkill(int tid, int number) {
    return tid <= 0 ? -EINVAL : sys_kill(tid, number);
}

int sys_tgkill(int pid, int tid, int number) {
    (void)pid;
    return sys_tkill(tid, number);
}

int sys_rt_sigaction(int number, u32 new, u32 old, u32 size) {
    if (number < 1 || number >= SIGNALS || size != 8)
        return -EINVAL;
    struct sigaction before = current->actions[number], a;
    if (new) {
        if (number == SIGKILL || number == SIGSTOP)
            return -EINVAL;
        if (copy_from_user(&a, new, sizeof(a)))
            return -EFAULT;
        current->actions[number] = a;
        if (a.handler == SIG_IGN)
            current->pending &= ~signal_bit(number);
    }
    return old ? copy_to_user(old, &before, sizeof(before)) : 0;
}

/* The old layout: handler, 32 bits of mask, flags, restorer. */
int sys_sigaction(int number, u32 new, u32 old) {
    if (number < 1 || number >= SIGNALS || (new && (number == SIGKILL || number == SIGSTOP)))
        return -EINVAL;
    struct sigaction *a = &current->actions[number];
    u32 before[4] = {a->handler, (u32)a->mask, a->flags, a->restorer}, words[4];
    if (new) {
        if (copy_from_user(words, new, sizeof(words)))
            return -EFAULT;
        *a = (struct sigaction){words[0], words[2], words[3], words[1]};
    }
    return old ? copy_to_user(old, before, sizeof(before)) : 0;
}

static int change_mask(u32 how, u64 set) {
    if (how == SIG_BLOCK)
        current->blocked |= set;
    else if (how == SIG_UNBLOCK)
        current->blocked &= ~set;
    else if (how == SIG_SETMASK)
        current->blocked = set;
    else
        return -EINVAL;
    current->blocked &= ~unblockable;
    return 0;
}

int sys_rt_sigprocmask(u32 how, u32 new, u32 old, u32 size) {
    u64 before = current->blocked, set;
    if (size != 8)
        return -EINVAL;
    if (new) {
        if (copy_from_user(&set, new, 8))
            return -EFAULT;
        int error = change_mask(how, set);
        if (error)
            return error;
    }
    return old ? copy_to_user(old, &before, 8) : 0;
}

int sys_sigprocmask(u32 how, u32 new, u32 old) {
    u32 before = (u32)current->blocked, set;
    if (new) {
        if (copy_from_user(&set, new, 4))
            return -EFAULT;
        int error = change_mask(how, set);
        if (error)
            return error;
    }
    return old ? copy_to_user(old, &before, 4) : 0;
}

int sys_rt_sigpending(u32 to, u32 size) {
    u64 waiting = current->pending & current->blocked;
    return size > 8 ? -EINVAL : copy_to_user(to, &waiting, size);
}

int sys_sigpending(u32 to) {
    return sys_rt_sigpending(to, 4);
}

static int suspend(u64 mask) {
    current->saved_mask = current->blocked;
    current->blocked = mask & ~unblockable;
    current->restore_mask = true; /* after the handler, or when the call ends */
    while (!sleep_on(&current->blocked, 0))
        ;
    return -ERESTART_NO_HANDLER;
}

int sys_rt_sigsuspend(u32 mask_at, u32 size) {
    u64 mask;
    return size != 8 ? -EINVAL : copy_from_user(&mask, mask_at, 8) ? -EFAULT : suspend(mask);
}

int sys_sigsuspend(u32 unused1, u32 unused2, u32 mask) {
    (void)unused1, (void)unused2;
    return suspend(mask);
}

int sys_pause(void) {
    while (!sleep_on(&current->blocked, 0))
        ;
    return -ERESTART_NO_HANDLER;
}

int sys_sigaltstack(u32 new, u32 old) {
    enum { DISABLE = 2 };
    struct sigaltstack before = current->altstack, s;
    if (!before.ss_size)
        before.ss_flags = DISABLE;
    if (new) {
        if (copy_from_user(&s, new, sizeof(s)))
            return -EFAULT;
        if (!(s.ss_flags & DISABLE) && s.ss_size < 2048)
            return -ENOMEM;
        current->altstack = s.ss_flags & DISABLE ? (struct sigaltstack){0} : s;
    }
    return old ? copy_to_user(old, &before, sizeof(before)) : 0;
}

int sys_sigreturn(void) {
    return (int)signal_pop_frame(arch_frame(current), false);
}

int sys_rt_sigreturn(void) {
    return (int)signal_pop_frame(arch_frame(current), true);
}
