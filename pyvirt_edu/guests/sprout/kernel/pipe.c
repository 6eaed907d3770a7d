/*
 * Pipes: a ring of one page between who writes and who reads. A named pipe (mkfifo) is the same,
 * found through an inode.
 *
 * Kept: `used` bytes, from `first` on, are written and not yet read. Nobody sleeps between the look
 * at these two and their change: a program's memory, whose pages may have to be fetched from a disk,
 * is touched before or after. A pipe lives as long as it has a reader or a writer.
 */
#include "../include/files.h"

struct pipe {
    u32 readers, writers, first, used;
    u8 *ring;
};

static void pipe_changed(struct pipe *p) {
    wake_up(p);
    wake_up(&poll_channel);
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
    u32 size = MIN(t->left, p->used), part = MIN(size, PAGE - p->first);
    u8 *data = allocate(size);
    if (!data)
        return -ENOMEM;
    memcpy(data, p->ring + p->first, part);
    memcpy(data + part, p->ring, size - part);
    p->first = (p->first + size) % PAGE;
    p->used -= size;
    pipe_changed(p);
    int error = give(t, data, size);
    release(data);
    return error;
}

/* Into the ring, as soon as there is room for `need` bytes; how many, or an error. */
static int put(struct file *f, const u8 *data, u32 size, u32 need) {
    struct pipe *p = f->data;
    while (PAGE - p->used < need && p->readers) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int error = sleep_on(p, 0);
        if (error)
            return error;
    }
    if (!p->readers)
        return -EPIPE;
    u32 n = MIN(size, PAGE - p->used), at = (p->first + p->used) % PAGE, part = MIN(n, PAGE - at);
    memcpy(p->ring + at, data, part);
    memcpy(p->ring, data + part, n - part);
    p->used += n;
    pipe_changed(p);
    return (int)n;
}

/* Up to a page goes in at once or not at all: writers do not mix their lines. */
static int pipe_write(struct file *f, struct transfer *t) {
    bool whole = t->left <= PAGE;
    u8 *data = allocate(MIN(MAX(t->left, 1u), PAGE));
    int n = data ? 0 : -ENOMEM;
    while (t->left && n >= 0) {
        u32 size = MIN(t->left, PAGE);
        n = take(t, data, size);
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
        bits |= p->readers ? (p->used < PAGE ? POLLOUT : 0) : POLLERR;
    return bits;
}

static int pipe_ioctl(struct file *f, u32 command, u32 argument) {
    struct pipe *p = f->data;
    return command == FIONREAD ? copy_to_user(argument, &p->used, 4) : -ENOTTY;
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
    release(p->ring);
    release(p);
}

static const struct file_ops pipe_ops = {
    .read = pipe_read, .write = pipe_write, .poll = pipe_poll, .ioctl = pipe_ioctl, .close = pipe_close,
};

static struct pipe *pipe_new(void) {
    struct pipe *p = allocate_zeroed(sizeof(*p));
    if (p && !(p->ring = allocate(PAGE))) {
        release(p);
        return NULL;
    }
    return p;
}

int pipe_make(struct file **reader, struct file **writer, u32 flags) {
    struct pipe *p = pipe_new();
    *reader = file_new(&pipe_ops, NULL, O_RDONLY | flags);
    *writer = file_new(&pipe_ops, NULL, O_WRONLY | flags);
    if (!p || !*reader || !*writer) {
        if (p)
            release(p->ring);
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
    if (!i->pipe && !(i->pipe = pipe_new()))
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
