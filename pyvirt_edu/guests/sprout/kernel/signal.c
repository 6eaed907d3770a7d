/*
 * Signals. Sending one only sets a bit; the process acts on it when it returns to ring 3. Then a
 * handler's frame is pushed on its own stack, or the default happens: end, stop, or nothing.
 *
 * Kept: SIGKILL and SIGSTOP are never blocked, handled or ignored. A signal that would be ignored
 * is dropped when it is sent, unless it is blocked; so one that waits always has an effect.
 */
#include "../include/process.h"

#define STOPS (signal_bit(SIGSTOP) | signal_bit(SIGTSTP) | signal_bit(SIGTTIN) | signal_bit(SIGTTOU))
#define NOTHING_BY_DEFAULT \
    (signal_bit(SIGCHLD) | signal_bit(SIGCONT) | signal_bit(SIGURG) | signal_bit(SIGWINCH))

static bool ignored(struct process *p, int number) {
    u32 handler = p->actions[number].handler;
    if (p == init_process && handler == SIG_DFL)
        return true; /* init gets only what it asked for */
    return handler == SIG_IGN || (handler == SIG_DFL && NOTHING_BY_DEFAULT & signal_bit(number));
}

bool signal_waiting(struct process *p) {
    return p->pending & ~p->blocked;
}

/* Of the old signals, one at a time is pending; of the real-time ones, all that were sent. */
struct queued_signal {
    struct queued_signal *next;
    int number;
    struct signal_info info;
};

static int enqueue(struct process *p, int number, struct signal_info info) {
    enum { MOST = 1024 };
    struct queued_signal **link = &p->queue;
    u32 length = 0;
    for (; *link; link = &(*link)->next)
        length++;
    struct queued_signal *q = length < MOST ? allocate(sizeof(*q)) : NULL;
    if (!q)
        return -EAGAIN;
    *q = (struct queued_signal){NULL, number, info};
    *link = q;
    return 0;
}

/* The first in the queue of a number, taken out; NULL: there is none. */
static struct queued_signal *dequeue(struct process *p, int number) {
    for (struct queued_signal **link = &p->queue, *q; (q = *link); link = &q->next)
        if (!number || q->number == number) {
            *link = q->next;
            return q;
        }
    return NULL;
}

void signal_forget(struct process *p, int number) {
    struct queued_signal *q;
    p->pending &= number ? ~signal_bit(number) : 0;
    while ((q = dequeue(p, number)))
        release(q);
}

int signal_send_info(struct process *p, int number, struct signal_info info) {
    u64 bit = signal_bit(number);
    if (p->state == ZOMBIE)
        return 0;
    if (number == SIGCONT || number == SIGKILL) {
        p->pending &= ~STOPS;
        process_continue(p);
    }
    if (STOPS & bit)
        p->pending &= ~signal_bit(SIGCONT);
    if (ignored(p, number) && !(p->blocked & bit))
        return 0;
    if (!(p->pending & bit))
        p->infos[number] = info;
    else if (number >= SIGRTMIN)
        return enqueue(p, number, info);
    p->pending |= bit;
    if (p->state == SLEEPING && p->interruptible && signal_waiting(p))
        make_runnable(p);
    return 0;
}

void signal_send(struct process *p, int number) {
    signal_send_info(p, number, (struct signal_info){.code = SI_KERNEL});
}

int signal_take(u64 set, struct signal_info *info) {
    u64 waiting = current->pending & set;
    int number = 1;
    if (!waiting)
        return 0;
    while (!(waiting & signal_bit(number)))
        number++;
    *info = current->infos[number];
    OWNED(memory) struct queued_signal *more = dequeue(current, number);
    if (more)
        current->infos[number] = more->info;
    else
        current->pending &= ~signal_bit(number);
    return number;
}

int signal_group_info(int group, int number, struct signal_info info) {
    int found = 0;
    for (EACH_PROCESS(p))
        if (p->group == group && p->state != ZOMBIE) {
            if (number)
                signal_send_info(p, number, info);
            found++;
        }
    return found ? 0 : -ESRCH;
}

int signal_group(int group, int number) {
    return signal_group_info(group, number, (struct signal_info){.code = SI_KERNEL});
}

/* Run an interrupted system call again, or let it end with EINTR. */
static void settle_call(struct trap_frame *f, const struct sigaction *handler) {
    int result = (int)f->eax;
    if (current->call == -1u || (result != -ERESTART && result != -ERESTART_NO_HANDLER))
        return;
    bool again = !handler || (result == -ERESTART && handler->flags & SA_RESTART);
    if (again) {
        f->eax = current->call;
        f->eip -= 2; /* INT 80h has two bytes */
    } else {
        f->eax = (u32)-EINTR;
    }
    current->call = -1u;
}

static void run_handler(struct trap_frame *f, int number, struct sigaction *a,
                        const struct signal_info *info) {
    u64 mask = current->restore_mask ? current->saved_mask : current->blocked;
    struct sigaction action = *a;
    current->restore_mask = false;
    current->sleep_end = 0;
    settle_call(f, &action);
    if (signal_push_frame(f, number, &action, mask, info)) {
        complain("no stack for the handler of signal %d\n", number);
        process_exit(SIGSEGV);
    }
    current->blocked |= action.mask | (action.flags & SA_NODEFER ? 0 : signal_bit(number));
    current->blocked &= ~UNBLOCKABLE;
    if (action.flags & SA_RESETHAND)
        *a = (struct sigaction){0};
}

/* On the way to ring 3: act on one signal after the other. */
void signal_deliver(struct trap_frame *f) {
    struct signal_info info;
    int number;
    while ((number = signal_take(~current->blocked, &info))) {
        struct sigaction *a = &current->actions[number];
        if (a->handler > SIG_IGN && number != SIGKILL && number != SIGSTOP)
            run_handler(f, number, a, &info);
        else if (ignored(current, number) && number != SIGKILL && number != SIGSTOP)
            continue;
        else if (STOPS & signal_bit(number))
            process_stop(number);
        else
            process_exit(number);
    }
    settle_call(f, NULL);
    if (current->restore_mask) {
        current->restore_mask = false;
        current->blocked = current->saved_mask;
    }
}

/* The program did something wrong. A handler it has may see to it; else it ends, and we say why. */
void signal_crash(struct trap_frame *f, int number, int code, u32 address, const char *what) {
    u64 bit = signal_bit(number);
    struct sigaction *a = &current->actions[number];
    current->call = -1u;
    if (a->handler > SIG_IGN && !(current->blocked & bit)) {
        run_handler(f, number, a, &(struct signal_info){code, {address}});
        return;
    }
    complain("%s at %08x, eip %08x esp %08x\n", what, address, f->eip, f->esp);
    process_exit(number);
}
