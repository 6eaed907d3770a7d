/*
 * Processes: fork, exit and wait. A process has a number, a kernel stack, an address space and
 * open files. exit leaves a zombie, which keeps the exit status until the parent waits for it.
 *
 * Kept: every process but init has a living parent: children of the dead go to init. A process's
 * stack and slot are freed by its parent, never by itself.
 */
#include "../include/files.h"

struct process *processes[PROCESSES], *init_process;
u32 process_slots;
static int last_pid;

struct process *process_find(int pid) {
    for (EACH_PROCESS(p))
        if (p->pid == pid)
            return p;
    return NULL;
}

static bool number_taken(int n) {
    for (EACH_PROCESS(p))
        if (p->pid == n || p->group == n || p->session == n)
            return true;
    return false;
}

static int new_pid(void) {
    do
        last_pid = last_pid == 32767 ? 2 : last_pid + 1;
    while (number_taken(last_pid));
    return last_pid;
}

struct process *process_new(void) {
    u32 slot = 0;
    while (slot < PROCESSES && processes[slot])
        slot++;
    struct process *p = slot < PROCESSES ? allocate_zeroed(sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    p->slot = slot;
    p->state = STOPPED; /* until it can run */
    p->files = allocate(FILES * sizeof(struct file *));
    if (!p->files || !stack_map(p)) {
        release(p->files);
        release(p);
        return NULL;
    }
    p->pid = new_pid();
    p->started = ticks;
    p->call = -1u;
    processes[slot] = p;
    process_slots = MAX(process_slots, slot + 1);
    return p;
}

static void process_free(struct process *p) {
    signal_forget(p, 0);
    processes[p->slot] = NULL;
    while (process_slots && !processes[process_slots - 1])
        process_slots--;
    stack_unmap(p);
    release(p->files);
    release(p);
}

/* What a child has from its parent: copies, and references to the same inodes and files. */
static void inherit(struct process *child, struct process *parent) {
    enum { FIRST = offsetof(struct process, arch) };
    struct file **files = child->files;
    fpu_save(parent);
    memcpy((u8 *)child + FIRST, (u8 *)parent + FIRST, sizeof(*child) - FIRST);
    child->parent = parent;
    child->files = files;
    inode_use(child->cwd);
    if (child->executable)
        inode_use(child->executable);
    for (u32 fd = 0; fd < child->files_end; fd++) {
        files[fd] = parent->files[fd];
        if (files[fd])
            file_use(files[fd]);
    }
}

/* What clone does besides: the child's number goes where it is asked for, and TLS is set. */
static void tell_child(struct process *child, u32 flags, u32 parent_tid, u32 tls, u32 child_tid) {
    struct user_desc d;
    if (flags & CLONE_SETTLS && !copy_from_user(&d, tls, sizeof(d)) && d.entry_number - TLS_FIRST < TLS_COUNT)
        arch_set_tls(child, d.entry_number - TLS_FIRST, d.base_addr, d.limit, d.flags);
    if (flags & CLONE_CHILD_CLEARTID)
        child->clear_tid = child_tid;
    if (flags & CLONE_CHILD_SETTID)
        copy_to_space(child->space, child_tid, &child->pid, 4);
    if (flags & CLONE_PARENT_SETTID)
        copy_to_user(parent_tid, &child->pid, 4);
}

/*
 * fork, vfork, and clone as far as it makes processes: with CLONE_VM the child has the parent's
 * memory, and with CLONE_VFORK the parent waits until the child calls exec or ends.
 */
int process_fork(struct trap_frame *f, u32 flags, u32 stack, u32 parent_tid, u32 tls, u32 child_tid) {
    if (flags & CLONE_THREAD || (flags & CLONE_VM && !(flags & CLONE_VFORK)))
        return -ENOSYS; /* threads */
    struct process *child = process_new();
    if (!child)
        return -EAGAIN;
    child->space = flags & CLONE_VM ? space_use(current->space) : space_fork(current->space);
    if (!child->space) {
        process_free(child);
        return -ENOMEM;
    }
    inherit(child, current);
    tell_child(child, flags, parent_tid, tls, child_tid);
    struct trap_frame frame = *f;
    frame.eax = 0; /* what fork returns in the child */
    if (stack)
        frame.esp = stack;
    arch_prepare(child, &frame);

    int pid = child->pid;
    if (flags & CLONE_VFORK)
        child->vfork_parent = current;
    make_runnable(child);
    while (flags & CLONE_VFORK && process_find(pid) == child && child->vfork_parent == current)
        sleep_firmly(child, 0);
    return pid;
}

void process_vfork_done(struct process *p) {
    if (p->vfork_parent) {
        p->vfork_parent = NULL;
        wake_up(p);
    }
}

/* A child ended, stopped or went on: the parent may be waiting for that. */
static void tell_parent(struct process *p, int what, int status) {
    struct process *parent = p->parent;
    bool stopped = what == CLD_STOPPED || what == CLD_CONTINUED;
    if (!stopped || !(parent->actions[SIGCHLD].flags & SA_NOCLDSTOP))
        signal_send_info(parent, SIGCHLD, (struct signal_info){what, .pid = (u32)p->pid,
                                                               .user = p->ids[USER], .value = (u32)status});
    wake_up(parent);
}

static void tell_end(struct process *p) {
    int signal = p->exit_status & 0x7f;
    tell_parent(p, signal ? CLD_KILLED : CLD_EXITED, signal ? signal : p->exit_status >> 8);
}

void process_stop(int number) {
    current->state = STOPPED;
    current->exit_status = number << 8 | 0x7f;
    current->stop_reported = false;
    tell_parent(current, CLD_STOPPED, number);
    schedule();
}

void process_continue(struct process *p) {
    if (p->state == STOPPED) {
        p->continued = true;
        make_runnable(p);
        tell_parent(p, CLD_CONTINUED, SIGCONT);
    }
}

static void leave_children(struct process *parent) {
    for (EACH_PROCESS(p))
        if (p->parent == parent) {
            p->parent = init_process;
            if (p->state == ZOMBIE)
                wake_up(init_process);
        }
}

/* Without init there is nothing to do. */
static void end_of_init(int status) {
    int code = status >> 8 ? status >> 8 : status; /* of exit(), or a signal's number */
    print("init ended with status %d\n", code);
    sync_all();
    power_off(code);
}

/* All that is the process's own but its slot and its stack, on which it still runs. */
static void give_back(struct process *p) {
    struct space *space = p->space;
    while (p->files_end)
        descriptor_close(p, p->files_end - 1);
    inode_drop(p->cwd);
    inode_drop(p->executable);
    p->cwd = p->executable = NULL;
    fpu_drop(p);
    mmu_load(kernel_root); /* the page directory in use is about to go */
    p->space = NULL;
    space_release(space);
}

void process_exit(int status) {
    struct process *p = current;
    if (p == init_process)
        end_of_init(status);
    p->exit_status = status;
    if (p->clear_tid && p->space->users > 1)
        zero_user(p->clear_tid, 4);
    give_back(p);
    if (p->session == p->pid && p->has_tty)
        tty_leave(p);
    process_vfork_done(p);
    leave_children(p);
    p->state = ZOMBIE;
    tell_end(p);
    struct sigaction *a = &p->parent->actions[SIGCHLD];
    if (a->handler == SIG_IGN || a->flags & SA_NOCLDWAIT) {
        p->parent = init_process; /* nobody asks for the status: init clears up */
        tell_end(p);
    }
    schedule();
    panic("a zombie runs");
}

/* --- wait ----------------------------------------------------------------------------------- */

static bool wanted(struct process *p, int pid) {
    if (p->parent != current)
        return false;
    if (pid < -1)
        return p->group == -pid;
    return pid == -1 || (pid == 0 ? p->group == current->group : p->pid == pid);
}

/* Whether there is something to say of a child that is asked for; its status then. */
static bool news(struct process *p, u32 options, int *status) {
    if (p->state == ZOMBIE && options & WEXITED) {
        *status = p->exit_status;
        return true;
    }
    if (p->state == STOPPED && options & WUNTRACED && !p->stop_reported && p->exit_status) {
        p->stop_reported = !(options & WNOWAIT);
        *status = p->exit_status;
        return true;
    }
    if (p->continued && options & WCONTINUED) {
        p->continued = options & WNOWAIT;
        *status = 0xffff;
        return true;
    }
    return false;
}

static void bury(struct process *p) {
    current->child_user_ticks += p->user_ticks + p->child_user_ticks;
    current->child_system_ticks += p->system_ticks + p->child_system_ticks;
    process_free(p);
}

int process_wait(int pid, u32 options, struct child_news *found) {
    for (;;) {
        bool children = false;
        for (EACH_PROCESS(p)) {
            if (!wanted(p, pid))
                continue;
            children = true;
            if (!news(p, options, &found->status))
                continue;
            found->user_ticks = p->user_ticks + p->child_user_ticks;
            found->system_ticks = p->system_ticks + p->child_system_ticks;
            int number = p->pid;
            if (p->state == ZOMBIE && !(options & WNOWAIT))
                bury(p);
            return number;
        }
        if (!children)
            return -ECHILD;
        if (options & WNOHANG)
            return 0;
        int error = sleep_on(current, 0);
        if (error)
            return error;
    }
}
