/*
 * Pipes: a ring of bytes between who writes and who reads. A named pipe (mkfifo) is the same, found
 * through an inode. The ring's pages come as they are written to, and stay.
 *
 * Kept: `used` bytes, from `first` on, are written and not yet read. Nobody sleeps between the look
 * at these two and their change: a program's memory, whose pages may have to be fetched from a disk,
 * is touched before or after. A pipe lives as long as it has a reader or a writer.
 */
#include "../include/files.h"

enum { PAGES = 16 };
#define SIZE (PAGES * PAGE)

struct pipe {
    u32 readers, writers, first, used;
    u8 *pages[PAGES];
};

static void pipe_changed(struct pipe *p) {
    wake_up(p);
    wake_up(&poll_channel);
}

/* Move up to a page out of the ring, or into it; how much, less if there is no memory for it. */
static u32 ring_out(struct pipe *p, u8 *data, u32 size) {
    for (u32 done = 0, part; done < size; done += part) {
        part = MIN(size - done, PAGE - p->first % PAGE);
        memcpy(data + done, p->pages[p->first / PAGE] + p->first % PAGE, part);
        p->used -= part;
        p->first = p->used ? (p->first + part) % SIZE : 0; /* empty: begin again in the first page */
    }
    return size;
}

static u32 ring_in(struct pipe *p, const u8 *data, u32 size) {
    for (u32 done = 0, part; done < size; done += part) {
        u32 at = (p->first + p->used) % SIZE;
        u8 **page = &p->pages[at / PAGE];
        if (!*page && !(*page = allocate(PAGE)))
            return done;
        part = MIN(size - done, PAGE - at % PAGE);
        memcpy(*page + at % PAGE, data + done, part);
        p->used += part;
    }
    return size;
}

static int pipe_read(struct file *f, struct transfer *t) {
    struct pipe *p = f->data;
    while (!p->used) {
        if (!p->writers || !t->left)
            return 0;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int error = sleep_on(p, 0);
        if (error)
            return error;
    }
    u8 *data = allocate(MIN(t->left, PAGE));
    int error = data ? 0 : -ENOMEM;
    while (!error && t->left && p->used) {
        u32 size = ring_out(p, data, MIN(MIN(t->left, p->used), PAGE));
        pipe_changed(p);
        error = give(t, data, size);
    }
    release(data);
    return error;
}

/* Into the ring, as soon as there is room for `need` bytes; how many, or an error. */
static int put(struct file *f, const u8 *data, u32 size, u32 need) {
    struct pipe *p = f->data;
    while (SIZE - p->used < need && p->readers) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int error = sleep_on(p, 0);
        if (error)
            return error;
    }
    if (!p->readers)
        return -EPIPE;
    u32 n = ring_in(p, data, MIN(size, SIZE - p->used));
    pipe_changed(p);
    return n ? (int)n : -ENOMEM;
}

/* Up to a page goes in at once or not at all: writers do not mix their lines. */
static int pipe_write(struct file *f, struct transfer *t) {
    bool whole = t->left <= PAGE;
    u8 *data = allocate(MIN(MAX(t->left, 1u), PAGE));
    int n = data ? 0 : -ENOMEM;
    while (t->left && n >= 0) {
        u32 size = MIN(t->left, PAGE);
        n = take(t, data, size);
        if (n < 0)
            break;
        u32 in = 0;
        while (n >= 0 && in < size) {
            n = put(f, data + in, size - in, whole ? size : 1);
            in += n > 0 ? (u32)n : 0;
        }
        t->done -= size - in; /* taken, but not written */
    }
    release(data);
    return MIN(n, 0);
}

static int pipe_poll(struct file *f) {
    struct pipe *p = f->data;
    int bits = 0;
    if ((f->flags & O_ACCMODE) != O_WRONLY)
        bits |= (p->used ? POLLIN : 0) | (p->writers ? 0 : POLLHUP);
    if ((f->flags & O_ACCMODE) != O_RDONLY)
        bits |= p->readers ? (SIZE - p->used >= PAGE ? POLLOUT : 0) : POLLERR;
    return bits;
}

static int pipe_ioctl(struct file *f, u32 command, u32 argument) {
    struct pipe *p = f->data;
    return command == FIONREAD ? copy_to_user(argument, &p->used, 4) : -ENOTTY;
}

static void pipe_free(struct pipe *p) {
    for (u32 i = 0; p && i < PAGES; i++)
        release(p->pages[i]);
    release(p);
}

static void pipe_close(struct file *f) {
    struct pipe *p = f->data;
    u32 access = f->flags & O_ACCMODE;
    p->readers -= access != O_WRONLY;
    p->writers -= access != O_RDONLY;
    pipe_changed(p);
    if (p->readers || p->writers)
        return;
    if (f->inode)
        f->inode->pipe = NULL;
    pipe_free(p);
}

static const struct file_ops pipe_ops = {
    .read = pipe_read, .write = pipe_write, .poll = pipe_poll, .ioctl = pipe_ioctl, .close = pipe_close,
};

int pipe_size(struct file *f) {
    return f->ops == &pipe_ops ? (int)SIZE : -EBADF;
}

int pipe_make(struct file **reader, struct file **writer, u32 flags) {
    struct pipe *p = allocate_zeroed(sizeof(*p));
    *reader = file_new(&pipe_ops, NULL, O_RDONLY | flags);
    *writer = file_new(&pipe_ops, NULL, O_WRONLY | flags);
    if (!p || !*reader || !*writer) {
        release(p);
        release(*reader);
        release(*writer);
        return -ENFILE;
    }
    p->readers = p->writers = 1;
    (*reader)->data = (*writer)->data = p;
    return 0;
}

/* A file of a named pipe: open waits until the other end is open too. */
int fifo_open(struct file *f) {
    struct inode *i = f->inode;
    u32 access = f->flags & O_ACCMODE;
    if (access == O_WRONLY && f->flags & O_NONBLOCK && (!i->pipe || !i->pipe->readers))
        return -ENXIO;
    if (!i->pipe && !(i->pipe = allocate_zeroed(sizeof(struct pipe))))
        return -ENFILE;
    struct pipe *p = f->data = i->pipe;
    f->ops = &pipe_ops;
    p->readers += access != O_WRONLY;
    p->writers += access != O_RDONLY;
    pipe_changed(p);
    while (!(f->flags & O_NONBLOCK) && !(access == O_RDONLY ? p->writers || p->used : p->readers)) {
        int error = sleep_on(p, 0);
        if (error)
            return error;
    }
    return 0;
}
