/*
 * System calls on signals. The older ones know the first 32 signals, those called rt_ all 64.
 *
 * Kept: SIGKILL and SIGSTOP are neither blocked nor given a handler.
 */
#include "../include/process.h"

static int send(int pid, int number, struct signal_info info) {
    if (number < 0 || number >= SIGNALS)
        return -EINVAL;
    if (pid == 0 || pid < -1)
        return signal_group_info(pid ? -pid : current->group, number, info);
    int result = -ESRCH;
    for (EACH_PROCESS(p))
        if (pid == -1 ? p != init_process && p != current : p->pid == pid)
            result = number ? signal_send_info(p, number, info) : 0;
    return result;
}

static struct signal_info from_current(int code) {
    return (struct signal_info){.code = code, .pid = (u32)current->pid, .user = current->ids[USER]};
}

int sys_kill(int pid, int number) {
    return send(pid, number, from_current(SI_USER));
}

int sys_tkill(int tid, int number) {
    return tid <= 0 ? -EINVAL : send(tid, number, from_current(SI_TKILL));
}

/* A signal with a word of the sender's: siginfo_t as the program gives it. */
int sys_rt_sigqueueinfo(int pid, int number, u32 at) {
    u32 info[6];
    if (copy_from_user(info, at, sizeof(info)))
        return -EFAULT;
    int code = (int)info[2];
    if (pid <= 0)
        return -ESRCH;
    if (pid != current->pid && (code >= 0 || code == SI_TKILL))
        return -EPERM; /* to others, nobody speaks for the kernel or for kill */
    return send(pid, number, (struct signal_info){code, .pid = info[3], .user = info[4], .value = info[5]});
}

/* Wait for a signal of a set, which the program has blocked, and take it without a handler. */
int sys_rt_sigtimedwait(u32 set_at, u32 info_at, u32 time, u32 size, enum time_layout layout) {
    struct signal_info info;
    u64 set, blocked = current->blocked;
    bool wait;
    u32 end;
    if (size != 8 || copy_from_user(&set, set_at, 8))
        return size != 8 ? -EINVAL : -EFAULT;
    int number, error = time_limit(time, layout, &wait, &end);
    while (!(number = signal_take(set & ~UNBLOCKABLE, &info)) && !error && wait) {
        current->blocked &= ~set; /* so that they wake us */
        error = sleep_on(&current->pending, end);
        current->blocked = blocked;
        if (error == -ERESTART && current->pending & set)
            error = 0;
    }
    if (!number)
        return error == -ERESTART ? -EINTR : error && error != -ETIMEDOUT ? error : -EAGAIN;
    u32 out[32] = {(u32)number, 0, (u32)info.code, info.pid, info.user, info.value};
    return info_at && copy_to_user(info_at, out, sizeof(out)) ? -EFAULT : number;
}

/* --- handlers and masks --------------------------------------------------------------------- */

static bool number_good(int number, bool to_set) {
    return number >= 1 && number < SIGNALS && !(to_set && signal_bit(number) & UNBLOCKABLE);
}

static void set_action(int number, const struct sigaction *a) {
    current->actions[number] = *a;
    if (a->handler == SIG_IGN)
        signal_forget(current, number);
}

int sys_rt_sigaction(int number, u32 new, u32 old, u32 size) {
    struct sigaction before, a;
    if (!number_good(number, new) || size != 8)
        return -EINVAL;
    before = current->actions[number];
    if (new && copy_from_user(&a, new, sizeof(a)))
        return -EFAULT;
    if (new)
        set_action(number, &a);
    return old ? copy_to_user(old, &before, sizeof(before)) : 0;
}

/* The old layout: handler, 32 bits of mask, flags, restorer. */
int sys_sigaction(int number, u32 new, u32 old) {
    u32 words[4];
    if (!number_good(number, new))
        return -EINVAL;
    const struct sigaction *a = &current->actions[number];
    u32 before[4] = {a->handler, (u32)a->mask, a->flags, a->restorer};
    if (new && copy_from_user(words, new, sizeof(words)))
        return -EFAULT;
    if (new)
        set_action(number, &(struct sigaction){words[0], words[2], words[3], words[1]});
    return old ? copy_to_user(old, before, sizeof(before)) : 0;
}

/* A mask has 8 bytes; in the older calls it has 4. */
int sys_sigprocmask(u32 how, u32 new, u32 old, u32 size) {
    u64 before = current->blocked, set = 0;
    if (size != 4 && size != 8)
        return -EINVAL;
    if (new && copy_from_user(&set, new, size))
        return -EFAULT;
    if (new && how == SIG_BLOCK)
        current->blocked |= set & ~UNBLOCKABLE;
    else if (new && how == SIG_UNBLOCK)
        current->blocked &= ~set;
    else if (new && how == SIG_SETMASK)
        current->blocked = set & ~UNBLOCKABLE;
    else if (new)
        return -EINVAL;
    return old ? copy_to_user(old, &before, size) : 0;
}

int sys_sigpending(u32 to, u32 size) {
    u64 waiting = current->pending & current->blocked;
    return size > 8 ? -EINVAL : copy_to_user(to, &waiting, size);
}

/* --- waiting for one ------------------------------------------------------------------------ */

int sys_pause(void) {
    while (!sleep_on(&current->blocked, 0))
        ;
    return -ERESTART_NO_HANDLER;
}

int sys_sigsuspend(u32 mask_low, u32 mask_high) {
    current->saved_mask = current->blocked;
    current->blocked = ((u64)mask_high << 32 | mask_low) & ~UNBLOCKABLE;
    current->restore_mask = true; /* after the handler, or when the call ends */
    return sys_pause();
}

int sys_rt_sigsuspend(u32 mask_at, u32 size) {
    u32 mask[2];
    if (size != 8)
        return -EINVAL;
    return copy_from_user(mask, mask_at, 8) ? -EFAULT : sys_sigsuspend(mask[0], mask[1]);
}

/* --- a stack for handlers ------------------------------------------------------------------- */

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

int sys_sigreturn(bool with_info) {
    return (int)signal_pop_frame(arch_frame(current), with_info);
}
