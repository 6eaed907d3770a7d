/*
 * Locks on files, for programs that agree to ask: flock's belong to an open file, fcntl's to a process,
 * which may lock ranges of bytes. The two kinds do not see each other.
 *
 * Kept: no two owners have locks of one kind on the same byte, unless both only read. A lock's owner has
 * the inode open; so the inode stays where it is.
 */
#include "../include/files.h"

enum { F_RDLCK = 0, F_WRLCK = 1, F_UNLCK = 2 };
#define LAST_BYTE 0x7fffffffffffffffll

struct file_lock {
    struct file_lock *next;
    struct inode *inode;
    struct file *file;  /* the owner of flock's kind; NULL: a process is */
    int pid;
    i64 first, last;
    int type;
};

static struct file_lock *locks;

static bool same_owner(const struct file_lock *a, const struct file_lock *b) {
    return a->file == b->file && (a->file || a->pid == b->pid);
}

static bool overlap(const struct file_lock *a, const struct file_lock *b) {
    return a->inode == b->inode && a->first <= b->last && b->first <= a->last;
}

static bool conflict(const struct file_lock *a, const struct file_lock *b) {
    return overlap(a, b) && !a->file == !b->file && !same_owner(a, b) &&
           (a->type == F_WRLCK || b->type == F_WRLCK);
}

/* What keeps this lock from being had: of several the one that begins first. */
static struct file_lock *obstacle(const struct file_lock *wanted) {
    struct file_lock *first = NULL;
    if (wanted->type != F_UNLCK)
        for (struct file_lock *l = locks; l; l = l->next)
            if (conflict(l, wanted) && (!first || l->first < first->first))
                first = l;
    return first;
}

/* Take from the owner what it has in this range. `spare` becomes the upper half of a lock cut in two. */
static struct file_lock *cut(const struct file_lock *range, struct file_lock *spare) {
    struct file_lock **link = &locks, *l;
    while ((l = *link)) {
        bool low = l->first < range->first, high = l->last > range->last;
        if (!overlap(l, range) || !same_owner(l, range)) {
            link = &l->next;
        } else if (low && high) {
            *spare = *l;
            spare->first = range->last + 1;
            l->last = range->first - 1;
            l->next = spare;
            return NULL; /* no other lock of this owner is in the range */
        } else if (low || high) {
            l->first = high ? range->last + 1 : l->first;
            l->last = low ? range->first - 1 : l->last;
            link = &l->next;
        } else {
            *link = l->next;
            release(l);
        }
    }
    return spare;
}

/* Locks of one owner and one type that touch are one. */
static void join(struct file_lock *wanted) {
    i64 first = wanted->first, last = wanted->last;
    for (const struct file_lock *l = locks; l; l = l->next)
        if (l->inode == wanted->inode && same_owner(l, wanted) && l->type == wanted->type &&
            l->first - 1 <= last && first - 1 <= l->last) {
            wanted->first = MIN(wanted->first, l->first);
            wanted->last = MAX(wanted->last, l->last);
        }
}

/* What the owner had in this range gives way to the new lock, or to none. */
static int set(struct file_lock *wanted) {
    OWNED(memory) struct file_lock *spare = allocate(sizeof(*spare)), *added = allocate(sizeof(*added));
    if (!spare || !added)
        return -ENOLCK;
    join(wanted);
    spare = cut(wanted, spare);
    if (wanted->type != F_UNLCK) {
        *added = *wanted;
        added->next = locks;
        locks = added;
        added = NULL;
    }
    wake_up(&locks);
    return 0;
}

/* Does whoever has the lock wait, however indirectly, for the process that asks? */
static bool deadlock(const struct file_lock *l) {
    int pid = l->pid;
    for (u32 i = 0; pid && i < PROCESSES; i++) {
        const struct process *p = process_find(pid);
        if (p == current)
            return true;
        pid = p ? p->lock_owner : 0;
    }
    return false;
}

static int set_when_free(struct file_lock *wanted, bool wait) {
    const struct file_lock *l;
    while ((l = obstacle(wanted))) {
        if (!wait)
            return -EAGAIN;
        if (!wanted->file && deadlock(l))
            return -EDEADLK;
        current->lock_owner = wanted->file ? 0 : l->pid;
        int error = sleep_on(&locks, 0);
        current->lock_owner = 0;
        if (error)
            return error;
    }
    return set(wanted);
}

/* A process closed a descriptor: its own locks of the inode are gone, though others lead to it. */
void locks_drop_process(struct inode *inode, int pid) {
    if (!locks)
        return;
    struct file_lock all = {.inode = inode, .pid = pid, .last = LAST_BYTE};
    cut(&all, NULL);
    wake_up(&locks);
}

/* The last descriptor of a file was closed. */
void locks_drop_file(struct file *f) {
    if (!locks)
        return;
    struct file_lock all = {.inode = f->inode, .file = f, .last = LAST_BYTE};
    cut(&all, NULL);
    wake_up(&locks);
}

/* --- system calls --------------------------------------------------------------------------- */

int sys_flock(u32 fd, u32 what) {
    enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };
    OWNED(file) struct file *f = descriptor_use(fd);
    if (!f || !f->inode)
        return -EBADF;
    u32 kind = what & ~(u32)LOCK_NB;
    if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN)
        return -EINVAL;
    struct file_lock wanted = {.inode = f->inode, .file = f, .last = LAST_BYTE};
    wanted.type = kind == LOCK_SH ? F_RDLCK : kind == LOCK_EX ? F_WRLCK : F_UNLCK;
    return set_when_free(&wanted, !(what & LOCK_NB));
}

/* struct flock, with 32-bit or with 64-bit places. */
struct flock {
    i16 type, whence;
    i64 start, length;
    i32 pid;
} __attribute__((packed));

static int flock_from_user(struct flock *l, u32 from, bool wide) {
    i32 narrow[4];
    if (wide)
        return copy_from_user(l, from, sizeof(*l));
    if (copy_from_user(narrow, from, sizeof(narrow)))
        return -EFAULT;
    memcpy(l, narrow, 4);
    l->start = narrow[1];
    l->length = narrow[2];
    return 0;
}

static int flock_to_user(u32 to, const struct flock *l, bool wide) {
    i32 narrow[4] = {0, (i32)l->start, (i32)l->length, l->pid};
    memcpy(narrow, l, 4);
    return wide ? copy_to_user(to, l, sizeof(*l)) : copy_to_user(to, narrow, sizeof(narrow));
}

/* Which bytes: from the beginning, from where the file stands, or from its end; a length of 0 is all. */
static int range(struct file *f, const struct flock *asked, struct file_lock *l) {
    i64 base = asked->whence == 0 ? 0 : asked->whence == 1 ? (i64)f->offset : (i64)f->inode->size;
    i64 length = asked->length, first;
    if (asked->whence < 0 || asked->whence > 2)
        return -EINVAL;
    if (__builtin_add_overflow(base, asked->start, &first))
        return -EOVERFLOW;
    if (first < 0)
        return -EINVAL;
    if (length < 0) {
        l->last = first - 1;
        first += length;
    } else if (!length) {
        l->last = LAST_BYTE;
    } else if (__builtin_add_overflow(first, length - 1, &l->last)) {
        return -EOVERFLOW;
    }
    l->first = first;
    return first < 0 ? -EINVAL : 0;
}

/* F_GETLK: whose lock is in the way; F_UNLCK: nobody's. */
static void tell(struct flock *asked, const struct file_lock *wanted) {
    const struct file_lock *l = obstacle(wanted);
    asked->type = F_UNLCK;
    if (l)
        *asked = (struct flock){.type = (i16)l->type, .start = l->first, .pid = l->pid,
                                .length = l->last == LAST_BYTE ? 0 : l->last - l->first + 1};
}

int file_lock_command(struct file *f, u32 command, u32 argument) {
    bool wide = command >= F_GETLK64, get = command == F_GETLK || command == F_GETLK64;
    struct flock asked = {0};
    if (!f->inode)
        return -EBADF;
    int error = flock_from_user(&asked, argument, wide);
    if (error)
        return error;
    struct file_lock wanted = {.inode = f->inode, .pid = current->pid, .type = asked.type};
    error = range(f, &asked, &wanted);
    if (error)
        return error;
    if (asked.type < F_RDLCK || asked.type > F_UNLCK || (get && asked.type == F_UNLCK))
        return -EINVAL;
    if (get) {
        tell(&asked, &wanted);
        return flock_to_user(argument, &asked, wide);
    }
    u32 access = f->flags & O_ACCMODE;
    if ((asked.type == F_RDLCK && access == O_WRONLY) || (asked.type == F_WRLCK && access == O_RDONLY))
        return -EBADF;
    return set_when_free(&wanted, command == F_SETLKW || command == F_SETLKW64);
}
