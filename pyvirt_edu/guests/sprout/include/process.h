/* Processes: what one is, how they sleep and wake, how signals reach them, what memory they have. */
#pragma once
#include "kernel.h"

enum process_state { RUNNABLE, SLEEPING, STOPPED, ZOMBIE };

#define FILES (PAGE / sizeof(struct file *))

enum { LIMIT_STACK = 3, LIMIT_PROCESSES = 6, LIMIT_FILES = 7, LIMITS = 16 };

struct file;
struct inode;

/*
 * A part of an address space: pages of a file or of zeros, fetched when they are touched.
 */
struct area {
    u32 start, end;     /* whole pages, end not included */
    u32 prot;           /* PROT_ bits */
    bool shared;        /* with children: fork does not copy it */
    bool heap;          /* grows with brk */
    struct inode *inode;    /* NULL: zeros */
    u32 offset;         /* in the file, of start */
    struct area *next;  /* in order of addresses */
};

struct space {
    u32 users;          /* processes: more than one after vfork */
    u32 root;           /* physical address of the page directory */
    struct area *areas;
    u32 heap_start, heap_end;
    u32 resident;       /* pages present */
};

/* Whose a process is. Nobody looks at that but the programs: all processes may do everything. */
enum id { USER, GROUP, EFFECTIVE_USER, EFFECTIVE_GROUP, IDS };

/* What a handler may know of a signal: si_code, and behind it the address, or who sent what. */
struct signal_info {
    int code;
    union {
        u32 address;
        struct {
            u32 pid, user, value;
        };
    };
};

struct process {
    u32 slot, stack_top;    /* its number in `processes`, and the end of its kernel stack */
    int pid;
    struct space *space;    /* NULL: it is ending */

    /* Sleeping and running: schedule.c */
    enum process_state state;
    struct process *run_next;
    void *channel;          /* what it sleeps for */
    u32 wake_at;            /* tick, 0: none */
    bool interruptible, timed_out;
    u32 user_ticks, system_ticks, child_user_ticks, child_system_ticks, started;
    u32 alarm_at, alarm_every;
    struct interval {
        u32 left, every;
    } intervals[2];         /* SIGVTALRM and SIGPROF: of ticks while it runs */

    /* Its end, for its parent: process.c */
    int exit_status;
    bool stop_reported, continued;
    struct process *vfork_parent;
    u32 clear_tid;          /* user address to clear at exit */
    int lock_owner;         /* while it waits for a lock on a file: who has it */

    /* Signals and calls under way: signal.c */
    u64 pending, saved_mask;
    bool restore_mask;
    struct signal_info infos[SIGNALS];      /* of the pending ones */
    struct queued_signal *queue;            /* real-time signals that are pending already */
    u32 sleep_end;          /* of a sleep that is to go on, in ticks */
    u32 call;               /* the system call under way, for a restart; -1 if none */

    /* From here on, a child begins with what its parent has: inherit() in process.c */
    struct arch_state arch;
    char name[16], path[64];
    struct process *parent; /* but for this */
    int group, session;
    bool has_tty;
    u64 blocked;
    struct sigaction actions[SIGNALS];
    struct sigaltstack altstack;
    u32 ids[IDS], umask;
    struct limit {
        u32 now, most;
    } limits[LIMITS];
    int nice;               /* noted, and given back: all get the same time */
    u32 arguments, arguments_end;   /* where argv's strings lie, for /proc */
    struct inode *cwd, *executable;
    struct file **files;    /* a page of them, by descriptor */
    u32 files_end;          /* from here on none is open */
    u32 close_on_exec[FILES / 32];  /* a bit for each */
};

extern struct process *current, *processes[PROCESSES], *init_process;
extern u32 process_slots;                       /* all processes have lower slots */

/* The process in this slot or in the next one that is taken; NULL: that was all. */
static inline struct process *process_from(u32 slot) {
    for (; slot < process_slots; slot++)
        if (processes[slot])
            return processes[slot];
    return NULL;
}
#define EACH_PROCESS(p) struct process *p = process_from(0); p; p = process_from(p->slot + 1)

/* kernel/schedule.c */
extern bool need_reschedule;
void schedule(void);                            /* let somebody else run */
void give_way(void);                            /* the same, if the slice is over; in long work */
int sleep_on(void *channel, u32 wake_at);       /* 0, -ERESTART or -ETIMEDOUT */
bool sleep_firmly(void *channel, u32 wake_at);  /* no signal ends it; false: it is too late */
void wake_up(void *channel);
void make_runnable(struct process *p);
extern char poll_channel;                       /* woken when any file may have become ready */
void wake_sleepers(void);                       /* every tick */
struct sleep_lock {
    struct process *holder;
};
struct sleep_lock *lock(struct sleep_lock *l);
void unlock(struct sleep_lock *l);
static inline void owned_lock(struct sleep_lock **l) {
    if (*l)
        unlock(*l);
}

/* kernel/process.c */
struct process *process_find(int pid);
struct process *process_new(void);
int process_fork(struct trap_frame *f, u32 flags, u32 stack, u32 parent_tid, u32 tls, u32 child_tid);
void process_exit(int status) __attribute__((noreturn));
struct child_news {
    int status;
    u32 user_ticks, system_ticks;
};
int process_wait(int pid, u32 options, struct child_news *found);
int rusage_to_user(u32 to, u32 user, u32 system);  /* kernel/sys_time.c: ticks */
void process_vfork_done(struct process *p);
void process_stop(int number);
void process_continue(struct process *p);
void tty_leave(struct process *leader);          /* kernel/tty.c: the session ends */
void power_off(int status) __attribute__((noreturn));

/* kernel/sys_machine.c */
void limits_start(struct process *p);

/* kernel/exec.c */
struct arguments;
int exec_user(const char *path, u32 argv, u32 envp, struct trap_frame *f);
int exec_kernel(struct process *p, const char *path, const char *const *argv, const char *const *envp,
                struct trap_frame *f);

/* kernel/signal.c */
static inline u64 signal_bit(int number) {
    return 1ull << (number - 1);
}
#define UNBLOCKABLE (signal_bit(SIGKILL) | signal_bit(SIGSTOP))
void signal_send(struct process *p, int number);           /* by the kernel itself */
int signal_send_info(struct process *p, int number, struct signal_info info);
void signal_forget(struct process *p, int number);          /* it is not pending any more; 0: none is */
int signal_take(u64 set, struct signal_info *info);         /* the first pending one of a set; 0: none */
int signal_group(int group, int number);
int signal_group_info(int group, int number, struct signal_info info);
bool signal_waiting(struct process *p);
void signal_deliver(struct trap_frame *f);
void signal_crash(struct trap_frame *f, int number, int code, u32 address, const char *what);
/* kernel/signal_frame.c */
int signal_push_frame(struct trap_frame *f, int number, const struct sigaction *action, u64 mask,
                      const struct signal_info *info);
u32 signal_pop_frame(struct trap_frame *f, bool with_info);

/* kernel/page_table.c */
extern u32 kernel_root;
void paging_start(void);
pte *page_entry(u32 root, u32 address, bool make);
pte *page_next(u32 root, u32 *at, u32 end);
u32 page_root_new(void);
void page_root_free(u32 root);
bool stack_map(struct process *p);
void stack_unmap(struct process *p);

/* kernel/space.c */
struct space *space_new(void);
struct space *space_use(struct space *s);
struct space *space_fork(struct space *from);
void space_release(struct space *s);
int space_map(struct space *s, u32 start, u32 size, u32 prot, bool shared, struct inode *inode, u32 offset);
int space_unmap(struct space *s, u32 start, u32 size);
int space_protect(struct space *s, u32 start, u32 size, u32 prot);
u32 space_find_room(struct space *s, u32 size);
bool space_is_free(struct space *s, u32 start, u32 size);
struct area *space_area(struct space *s, u32 address);

/* An entry changed that the processor may remember. */
static inline void space_refresh(struct space *s, u32 address) {
    if (s == current->space)
        mmu_flush(address);
}

/* Let the program have a frame: to write it only if it may, and nobody else has to look first. */
static inline void space_set(struct space *s, const struct area *a, pte *e, u32 address, u32 frame,
                             bool write) {
    u32 bits = PTE_PRESENT | (a->prot ? PTE_USER : 0) | (write && a->prot & PROT_WRITE ? PTE_WRITE : 0);
    mmu_set(e, frame | bits);
    space_refresh(s, address);
}

void space_drop_pages(struct space *s, u32 start, u32 end);     /* the next touch finds fresh ones */
u32 space_set_heap(struct space *s, u32 end);
int space_move(struct space *s, u32 old, u32 old_size, u32 new, u32 new_size);

/* kernel/page_fault.c */
int space_fault(struct space *s, u32 address, u32 why);
void page_fault(struct trap_frame *f);

/* kernel/user_copy.c: the only way to a program's memory */
void *user_page(struct space *s, u32 address, bool write);
int copy_from_user(void *to, u32 from, u32 size);
int copy_to_user(u32 to, const void *from, u32 size);
int zero_user(u32 to, u32 size);
int copy_to_space(struct space *s, u32 to, const void *from, u32 size);
int copy_from_space(struct space *s, void *to, u32 from, u32 size);
int copy_string_from_user(char *to, u32 from, u32 size);    /* its length */

/* kernel/syscall.c */
void system_call(struct trap_frame *f);
