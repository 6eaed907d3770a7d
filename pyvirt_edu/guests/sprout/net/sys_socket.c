/*
 * System calls on sockets. kernel/syscall.c has the older way to them, through one number.
 *
 * Kept: an address is looked at only as far as the program says that it goes.
 */
#include "../include/network.h"

static int not_supported(const char *what, int error) {
    static const char *told;
    if (told != what)
        complain("%s is not supported\n", what);
    told = what;
    return error;
}

int sys_socket(u32 family, u32 type, u32 protocol) {
    u32 kind = type & SOCK_TYPE;
    if (family != AF_INET && family != AF_UNIX)
        return not_supported("an address family but AF_INET and AF_UNIX", -EAFNOSUPPORT);
    if (family == AF_UNIX && kind != SOCK_STREAM)
        return not_supported("AF_UNIX but for streams", -EPROTONOSUPPORT);
    if (family == AF_UNIX) {
        struct file *u = unix_new(type & O_NONBLOCK);
        return u ? descriptor_new(u, 0, type & O_CLOEXEC) : -ENOMEM;
    }
    if (kind == SOCK_STREAM)
        return not_supported("TCP", -EPROTONOSUPPORT);
    if (kind == SOCK_DGRAM && !protocol)
        protocol = IPPROTO_UDP;
    if (kind == SOCK_DGRAM ? protocol != IPPROTO_UDP : kind != SOCK_RAW || protocol != IPPROTO_ICMP)
        return -EPROTONOSUPPORT;
    struct file *f = socket_new((u8)protocol, type & O_NONBLOCK);
    return f ? descriptor_new(f, 0, type & O_CLOEXEC) : -ENOMEM;
}

/* The socket behind a descriptor, which stays open while *f is held. */
static int find_socket(u32 fd, struct file **f, struct socket **s) {
    *f = descriptor_use(fd);
    if (!*f)
        return -EBADF;
    *s = (*f)->data;
    return (*f)->ops == &socket_ops ? 0 : -ENOTSOCK;
}

/* --- between processes: AF_UNIX ------------------------------------------------------------- */

/* The file of a Unix socket, with a reference; NULL: it is something else. */
static struct file *find_unix(u32 fd) {
    struct file *f = descriptor_file(fd);
    return f && f->ops == &unix_ops ? file_use(f) : NULL;
}

static int read_name(u32 at, u32 size, struct sockaddr_un *a) {
    u32 head = offsetof(struct sockaddr_un, path);
    if (size <= head || size > sizeof(*a))
        return -EINVAL;
    memset(a, 0, sizeof(*a));
    if (copy_from_user(a, at, size))
        return -EFAULT;
    a->path[sizeof(a->path) - 1] = 0;
    if (a->family == AF_UNIX && !a->path[0])
        return not_supported("a socket's name outside the file system", -EINVAL);
    return a->family != AF_UNIX ? -EINVAL : 0;
}

/* What a system call on a named Unix socket does with the name. */
static int with_name(struct file *f, u32 at, u32 size, int (*what)(struct file *, const char *)) {
    struct sockaddr_un a;
    int error = read_name(at, size, &a);
    return error ? error : what(f, a.path);
}

static int write_family(u32 at, u32 size_at) {
    u16 family = AF_UNIX;
    u32 size, whole = sizeof(family);
    if (!at)
        return 0;
    if (copy_from_user(&size, size_at, 4) || copy_to_user(at, &family, MIN(size, whole)))
        return -EFAULT;
    return copy_to_user(size_at, &whole, 4);
}

int sys_socketpair(u32 family, u32 type, u32 protocol, u32 fds) {
    if (family != AF_UNIX)
        return family == AF_INET ? -EOPNOTSUPP : -EAFNOSUPPORT;
    if ((type & SOCK_TYPE) != SOCK_STREAM)
        return not_supported("AF_UNIX but for streams", -EPROTONOSUPPORT);
    OWNED(file) struct file *one = unix_new(type & O_NONBLOCK), *other = unix_new(type & O_NONBLOCK);
    int error = one && other ? unix_pair(one, other) : -ENOMEM;
    return error ? error : descriptor_pair(file_use(one), file_use(other), fds, type & O_CLOEXEC);
}

int sys_listen(u32 fd, u32 most) {
    OWNED(file) struct file *f = find_unix(fd);
    return f ? unix_listen(f, most) : descriptor_file(fd) ? -EOPNOTSUPP : -EBADF;
}

int sys_accept4(u32 fd, u32 at, u32 size_at, u32 flags) {
    OWNED(file) struct file *f = find_unix(fd);
    struct file *peer;
    if (!f)
        return descriptor_file(fd) ? -EOPNOTSUPP : -EBADF;
    int error = unix_accept(f, &peer);
    if (error)
        return error;
    peer->flags |= flags & O_NONBLOCK;
    int number = descriptor_new(peer, 0, flags & O_CLOEXEC);
    error = number < 0 ? number : write_family(at, size_at);
    return error ? error : number;
}

int sys_shutdown(u32 fd, u32 how) {
    OWNED(file) struct file *f = find_unix(fd);
    if (how > 2)
        return -EINVAL;
    return f ? unix_shutdown(f, how) : descriptor_file(fd) ? -ENOTCONN : -EBADF;
}

/* --- all sockets ---------------------------------------------------------------------------- */

static int read_address(u32 at, u32 size, struct sockaddr_in *a) {
    if (size < sizeof(*a))
        return -EINVAL;
    if (copy_from_user(a, at, sizeof(*a)))
        return -EFAULT;
    return a->family == AF_INET ? 0 : -EAFNOSUPPORT;
}

static int write_address(u32 at, u32 size_at, const struct sockaddr_in *a) {
    u32 size, whole = sizeof(*a);
    if (!at)
        return 0;
    if (copy_from_user(&size, size_at, 4) || copy_to_user(at, a, MIN(size, whole)))
        return -EFAULT;
    return copy_to_user(size_at, &whole, 4);
}

int sys_bind(u32 fd, u32 at, u32 size) {
    OWNED(file) struct file *f = NULL, *u = find_unix(fd);
    if (u)
        return with_name(u, at, size, unix_bind);
    struct socket *s;
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = read_address(at, size, &a);
    return error ? error : socket_bind(s, a.address, a.port);
}

int sys_connect(u32 fd, u32 at, u32 size) {
    OWNED(file) struct file *f = NULL, *u = find_unix(fd);
    if (u)
        return with_name(u, at, size, unix_connect);
    struct socket *s;
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = read_address(at, size, &a);
    if (!error && !s->port)
        error = socket_bind(s, 0, 0);
    if (error)
        return error;
    s->peer = a.address;
    s->peer_port = s->protocol == IPPROTO_UDP ? a.port : 0;
    return 0;
}

int sys_getsockname(u32 fd, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL, *u = find_unix(fd);
    if (u)
        return write_family(at, size_at);
    struct socket *s;
    int error = find_socket(fd, &f, &s);
    if (error)
        return error;
    u32 address = s->address ? s->address : s->peer ? own_address : 0;
    return write_address(at, size_at, &(struct sockaddr_in){AF_INET, s->port, address, {0}});
}

int sys_getpeername(u32 fd, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL, *u = find_unix(fd);
    if (u)
        return write_family(at, size_at);
    struct socket *s;
    int error = find_socket(fd, &f, &s);
    if (!error && !s->peer)
        error = -ENOTCONN;
    if (error)
        return error;
    return write_address(at, size_at, &(struct sockaddr_in){AF_INET, s->peer_port, s->peer, {0}});
}

/* send and recv: read and write with wishes that hold for one call. */
static int unix_transfer(struct file *u, struct transfer *t, u32 flags, bool write) {
    u32 before = u->flags, done;
    int n;
    if (flags & MSG_PEEK)
        return not_supported("MSG_PEEK of AF_UNIX", -EOPNOTSUPP);
    u->flags |= flags & MSG_DONTWAIT ? O_NONBLOCK : 0;
    do {
        done = t->done;
        n = write ? file_write(u, t, NULL) : file_read(u, t, NULL);
    } while (flags & MSG_WAITALL && t->left && t->done > done);
    u->flags = before;
    return n;
}

int sys_sendto(u32 fd, u32 from, u32 size, u32 flags, u32 at, u32 address_size) {
    OWNED(file) struct file *f = NULL, *u = find_unix(fd);
    struct socket *s;
    struct transfer t = {from, size, 0, false};
    if (u) {
        int n = unix_transfer(u, &t, flags, true);
        if (n == -EPIPE && !(flags & MSG_NOSIGNAL))
            signal_send(current, SIGPIPE);
        return n;
    }
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error && at)
        error = read_address(at, address_size, &a);
    if (error)
        return error;
    return at ? socket_send(s, &t, a.address, a.port) : socket_send(s, &t, s->peer, s->peer_port);
}

int sys_recvfrom(u32 fd, u32 to, u32 size, u32 flags, u32 at, u32 size_at) {
    OWNED(file) struct file *f = NULL, *u = find_unix(fd);
    struct socket *s;
    struct transfer t = {to, size, 0, false};
    if (u)
        return unix_transfer(u, &t, flags, false);
    struct sockaddr_in a;
    int error = find_socket(fd, &f, &s);
    if (!error)
        error = socket_receive(f, &t, flags, &a);
    if (!error)
        error = write_address(at, size_at, &a);
    return error ? error : (int)t.done;
}

struct message {
    u32 name, name_size, parts, part_count, control, control_size, flags;
};

/* With one part, as all our programs have it. */
static int read_message(u32 at, struct message *m, u32 part[2]) {
    if (copy_from_user(m, at, sizeof(*m)))
        return -EFAULT;
    if (m->part_count != 1)
        return not_supported("a message of several parts", -EOPNOTSUPP);
    return copy_from_user(part, m->parts, 8);
}

int sys_sendmsg(u32 fd, u32 at, u32 flags) {
    struct message m;
    u32 part[2];
    int error = read_message(at, &m, part);
    if (!error && m.control_size)
        return not_supported("sending descriptors (SCM_RIGHTS)", -EOPNOTSUPP);
    return error ? error : sys_sendto(fd, part[0], part[1], flags, m.name, m.name_size);
}

int sys_recvmsg(u32 fd, u32 at, u32 flags) {
    struct message m;
    u32 part[2];
    int error = read_message(at, &m, part);
    if (error)
        return error;
    int n = sys_recvfrom(fd, part[0], part[1], flags, m.name, at + offsetof(struct message, name_size));
    m.control_size = m.flags = 0;
    if (n >= 0 && copy_to_user(at + offsetof(struct message, control_size), &m.control_size, 8))
        return -EFAULT;
    return n;
}

int sys_setsockopt(u32 fd, u32 level, u32 name, u32 value, u32 size) {
    enum { SOL_SOCKET = 1, RECEIVE_TIMEOUT = 20 };
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    struct timeval32 t;
    OWNED(file) struct file *u = find_unix(fd);
    if (u)
        return 0; /* there is nothing to set */
    int error = find_socket(fd, &f, &s);
    if (error || level != SOL_SOCKET || name != RECEIVE_TIMEOUT)
        return error; /* the other options change nothing here */
    if (size < sizeof(t))
        return -EINVAL;
    if (copy_from_user(&t, value, sizeof(t)))
        return -EFAULT;
    s->receive_timeout = ticks_of((u32)t.seconds, (u32)t.microseconds * 1000);
    return 0;
}

/* Every option but the type is 0: there is no error pending, above all. */
int sys_getsockopt(u32 fd, u32 level, u32 name, u32 value, u32 size_at) {
    enum { SOL_SOCKET = 1, TYPE = 3 };
    OWNED(file) struct file *f = NULL;
    struct socket *s;
    u32 answer = 0, four = 4;
    OWNED(file) struct file *u = find_unix(fd);
    int error = u ? 0 : find_socket(fd, &f, &s);
    if (!error && level == SOL_SOCKET && name == TYPE)
        answer = u ? SOCK_STREAM : s->protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_RAW;
    return error ? error : copy_to_user(value, &answer, 4) || copy_to_user(size_at, &four, 4) ? -EFAULT : 0;
}
