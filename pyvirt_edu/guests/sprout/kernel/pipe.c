/*
 * Pipes: a ring of one page between who writes and who reads. A named pipe (mkfifo) is the same,
 * found through an inode.
 *
 * Kept: `used` bytes, from `first` on, are written and not yet read. A pipe lives as long as it has
 * a reader or a writer.
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
    while (t->left && p->used) {
        u32 n = MIN(MIN(t->left, p->used), PAGE - p->first);
        if (give(t, p->ring + p->first, n))
            return -EFAULT;
        p->first = (p->first + n) % PAGE;
        p->used -= n;
    }
    pipe_changed(p);
    return 0;
}

/* Up to a page goes in at once or not at all: writers do not mix their lines. */
static int pipe_write(struct file *f, struct transfer *t) {
    struct pipe *p = f->data;
    while (t->left) {
        u32 need = t->done || t->left > PAGE ? 1 : t->left;
        while (PAGE - p->used < need && p->readers) {
            if (f->flags & O_NONBLOCK)
                return -EAGAIN;
            int error = sleep_on(p, 0);
            if (error)
                return error;
        }
        if (!p->readers)
            return -EPIPE;
        u32 at = (p->first + p->used) % PAGE, n = MIN(MIN(t->left, PAGE - p->used), PAGE - at);
        if (take(t, p->ring + at, n))
            return -EFAULT;
        p->used += n;
        pipe_changed(p);
    }
    return 0;
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
        if (error) {
            pipe_close(f);
            return error;
        }
    }
    return 0;
}
