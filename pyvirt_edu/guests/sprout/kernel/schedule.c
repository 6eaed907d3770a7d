/*
 * Who runs. Runnable processes stand in a queue; the clock takes the processor away from a program
 * after its slice, and it joins the end (round robin). The kernel itself is not pre-empted: inside
 * it a process gives the processor away only by calling schedule(), mostly to sleep. Work that may
 * take long calls give_way() now and then.
 *
 * Kept: a process is in the queue exactly if it is RUNNABLE and not running. As interrupts are off
 * between the look at a condition and the sleep, no wake-up can be lost between the two.
 */
#include "../include/process.h"

struct process *current;
bool need_reschedule;
char poll_channel;
static struct process *first, *last;

static void enqueue(struct process *p) {
    p->run_next = NULL;
    if (first)
        last->run_next = p;
    else
        first = p;
    last = p;
}

void make_runnable(struct process *p) {
    if (p->state == RUNNABLE || p->state == ZOMBIE)
        return;
    p->state = RUNNABLE;
    p->channel = NULL;
    p->wake_at = 0;
    enqueue(p);
}

/* Returns when it is the caller's turn again; never, if it is a zombie. */
void schedule(void) {
    struct process *from = current;
    need_reschedule = false;
    if (from->state == RUNNABLE)
        enqueue(from);
    while (!first)
        cpu_idle();
    struct process *to = first;
    first = to->run_next;
    if (to == from)
        return;
    current = to;
    mmu_load(to->space ? to->space->root : kernel_root); /* none: it is ending */
    arch_switch(from, to);
}

void give_way(void) {
    cpu_serve_interrupts();
    if (need_reschedule)
        schedule();
}

static void sleep(void *channel, u32 wake_at, bool interruptible) {
    current->state = SLEEPING;
    current->channel = channel;
    current->wake_at = wake_at;
    current->interruptible = interruptible;
    current->timed_out = false;
    schedule();
}

int sleep_on(void *channel, u32 wake_at) {
    if (signal_waiting(current))
        return -ERESTART;
    sleep(channel, wake_at, true);
    if (current->timed_out)
        return -ETIMEDOUT;
    return signal_waiting(current) ? -ERESTART : 0;
}

bool sleep_firmly(void *channel, u32 wake_at) {
    sleep(channel, wake_at, false);
    return !current->timed_out;
}

void wake_up(void *channel) {
    for (EACH_PROCESS(p))
        if (p->state == SLEEPING && p->channel == channel)
            make_runnable(p);
}

/* Every tick: alarms, and sleepers whose time has come. */
void wake_sleepers(void) {
    for (EACH_PROCESS(p)) {
        if (p->state == ZOMBIE)
            continue;
        if (p->alarm_at && (i32)(ticks - p->alarm_at) >= 0) {
            p->alarm_at = p->alarm_every ? ticks + p->alarm_every : 0;
            signal_send(p, SIGALRM);
        }
        if (p->state == SLEEPING && p->wake_at && (i32)(ticks - p->wake_at) >= 0) {
            p->timed_out = true;
            make_runnable(p);
        }
    }
}

struct sleep_lock *lock(struct sleep_lock *l) {
    while (l->holder)
        sleep_firmly(l, 0);
    l->holder = current;
    return l;
}

void unlock(struct sleep_lock *l) {
    l->holder = NULL;
    wake_up(l);
}
