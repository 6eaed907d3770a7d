/*
 * Sockets between processes of this machine (AF_UNIX, streams). A connection is two pipes, one for
 * each direction: each socket holds the end to read of one and the end to write of the other.
 *
 * A server binds its socket to a name in the file system and listens. connect() makes the whole
 * connection at once; the server's end of it waits in a queue for accept().
 *
 * Kept: a bound socket and its inode point to each other while the socket's file is open.
 */
#include "../include/network.h"

enum { MOST_WAITING = 16 };

struct unix_socket {
    struct file *in, *out;              /* connected: ends of pipes; shutdown takes them away */
    bool connected;
    struct inode *name;                 /* bound */
    struct file *waiting[MOST_WAITING]; /* listening: sockets to accept */
    u32 count, most;
};

/* An end of a pipe for a call, which waits or not as the socket's own file says; shutdown may come. */
static struct file *use_end(struct file *end, struct file *f) {
    if (!end)
        return NULL;
    end->flags = (end->flags & ~(u32)O_NONBLOCK) | (f->flags & O_NONBLOCK);
    return file_use(end);
}

static int unix_read(struct file *f, struct transfer *t) {
    struct unix_socket *s = f->data;
    OWNED(file) struct file *in = use_end(s->in, f);
    return !s->connected ? -ENOTCONN : in ? in->ops->read(in, t) : 0;
}

static int unix_write(struct file *f, struct transfer *t) {
    struct unix_socket *s = f->data;
    OWNED(file) struct file *out = use_end(s->out, f);
    return !s->connected ? -ENOTCONN : out ? out->ops->write(out, t) : -EPIPE;
}

static int unix_poll(struct file *f) {
    struct unix_socket *s = f->data;
    if (s->most)
        return s->count ? POLLIN : 0;
    if (!s->connected)
        return POLLOUT | POLLHUP;
    int in = s->in ? s->in->ops->poll(s->in) : POLLIN, out = s->out ? s->out->ops->poll(s->out) : POLLOUT;
    return in | (in & POLLHUP ? POLLIN : 0) | (out & POLLERR ? POLLOUT : out);
}

static int unix_ioctl(struct file *f, u32 command, u32 argument) {
    struct unix_socket *s = f->data;
    return s->in ? s->in->ops->ioctl(s->in, command, argument) : -ENOTTY;
}

static void unix_close(struct file *f) {
    struct unix_socket *s = f->data;
    file_drop(s->in);
    file_drop(s->out);
    for (u32 i = 0; i < s->count; i++)
        file_drop(s->waiting[i]);
    if (s->name) {
        s->name->socket = NULL;
        wake_up(s->name); /* who waits to connect, waits in vain */
    }
    inode_drop(s->name);
    release(s);
}

const struct file_ops unix_ops = {
    .read = unix_read, .write = unix_write, .poll = unix_poll, .ioctl = unix_ioctl, .close = unix_close,
};

struct file *unix_new(u32 flags) {
    OWNED(memory) struct unix_socket *s = allocate_zeroed(sizeof(*s));
    struct file *f = s ? file_new(&unix_ops, NULL, O_RDWR | flags) : NULL;
    if (f) {
        f->data = s;
        s = NULL;
    }
    return f;
}

int unix_pair(struct file *one, struct file *other) {
    struct unix_socket *a = one->data, *b = other->data;
    int error = pipe_make(&a->in, &b->out, 0);
    if (!error)
        error = pipe_make(&b->in, &a->out, 0);
    a->connected = b->connected = !error;
    return error;
}

int unix_bind(struct file *f, const char *path) {
    struct unix_socket *s = f->data;
    OWNED(memory) char *name = allocate(NAME_SIZE);
    OWNED(inode) struct inode *dir = NULL;
    int error = s->name || s->connected ? -EINVAL : name ? 0 : -ENOMEM;
    if (!error)
        error = path_parent(current->cwd, path, &dir, name);
    if (error)
        return error;
    if (dir->mount->read_only || !dir->ops->create)
        return dir->ops->create ? -EROFS : -EACCES;
    error = dir->ops->create(dir, name, S_IFSOCK | (0777 & ~current->umask), 0, &s->name);
    if (error)
        return error == -EEXIST ? -EADDRINUSE : error;
    s->name->socket = s;
    return 0;
}

int unix_listen(struct file *f, u32 most) {
    struct unix_socket *s = f->data;
    if (!s->name || s->connected)
        return -EINVAL;
    s->most = MIN(MAX(most, 1u), (u32)MOST_WAITING);
    return 0;
}

int unix_connect(struct file *f, const char *path) {
    struct unix_socket *client = f->data;
    OWNED(inode) struct inode *i = NULL;
    OWNED(file) struct file *peer = NULL;
    int error = client->connected ? -EISCONN : path_find(current->cwd, path, true, &i);
    if (error)
        return error;
    struct unix_socket *server = i->socket;
    if (!server || !server->most)
        return -ECONNREFUSED;
    while (server->count == server->most) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        error = sleep_on(i, 0);
        if (error)
            return error;
        server = i->socket; /* it may have gone while we slept */
        if (!server || !server->most)
            return -ECONNREFUSED;
    }
    peer = unix_new(0);
    error = peer ? unix_pair(f, peer) : -ENOMEM;
    if (error)
        return error;
    server->waiting[server->count++] = file_use(peer);
    wake_up(i);
    wake_up(&poll_channel);
    return 0;
}

/* The first that waits. Its reference is the caller's. */
int unix_accept(struct file *f, struct file **peer) {
    struct unix_socket *s = f->data;
    if (!s->most)
        return -EINVAL;
    while (!s->count) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        int error = sleep_on(s->name, 0);
        if (error)
            return error;
    }
    *peer = s->waiting[0];
    memmove(s->waiting, s->waiting + 1, --s->count * sizeof(*s->waiting));
    wake_up(s->name);
    return 0;
}

/* No more reading (0), no more writing (1), or neither (2). */
int unix_shutdown(struct file *f, u32 how) {
    struct unix_socket *s = f->data;
    if (!s->connected)
        return -ENOTCONN;
    if (how != 1) {
        file_drop(s->in);
        s->in = NULL;
    }
    if (how != 0) {
        file_drop(s->out);
        s->out = NULL;
    }
    return 0;
}
