/* System calls on descriptors: a process's numbers for its open files, copied, closed and marked. */
#include "../include/files.h"

int sys_close(u32 fd) {
    if (!descriptor_file(fd))
        return -EBADF;
    descriptor_close(current, fd);
    return 0;
}

int sys_close_range(u32 first, u32 last, u32 flags) {
    enum { CLOSE_ON_EXEC = 4 };
    if (first > last || flags & ~(u32)CLOSE_ON_EXEC)
        return -EINVAL;
    for (u32 fd = first; fd <= last && fd < current->files_end; fd++)
        if (flags & CLOSE_ON_EXEC)
            descriptor_mark(current, fd, true);
        else
            descriptor_close(current, fd);
    return 0;
}

static int duplicate(u32 fd, u32 from, bool close_on_exec) {
    return from < descriptor_limit() ? descriptor_new(descriptor_use(fd), from, close_on_exec) : -EINVAL;
}

int sys_dup(u32 fd) {
    return descriptor_file(fd) ? duplicate(fd, 0, false) : -EBADF;
}

int sys_dup3(u32 fd, u32 to, u32 flags) {
    struct file *f = descriptor_file(fd);
    if (fd == to || flags & ~(u32)O_CLOEXEC)
        return -EINVAL;
    if (!f || to >= descriptor_limit())
        return -EBADF;
    file_use(f);
    if (descriptor_file(to))
        descriptor_close(current, to);
    descriptor_set(current, to, f, flags & O_CLOEXEC);
    return (int)to;
}

int sys_dup2(u32 fd, u32 to) {
    if (fd == to)
        return descriptor_file(fd) ? (int)fd : -EBADF;
    return sys_dup3(fd, to, 0);
}

int sys_fcntl(u32 fd, u32 command, u32 argument) {
    enum { CHANGEABLE = O_APPEND | O_NONBLOCK };
    struct file *f = descriptor_file(fd);
    if (!f)
        return -EBADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return duplicate(fd, argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return (int)(current->close_on_exec[fd / 32] >> fd % 32 & 1);
    case F_SETFD:
        descriptor_mark(current, fd, argument & 1);
        return 0;
    case F_GETFL:
        return (int)f->flags;
    case F_SETFL:
        f->flags = (f->flags & ~(u32)CHANGEABLE) | (argument & CHANGEABLE);
        return 0;
    case F_GETLK:
    case F_GETLK64:
    case F_SETLK:
    case F_SETLKW:
    case F_SETLK64:
    case F_SETLKW64:
        return file_lock_command(f, command, argument);
    case F_GETPIPE_SZ:
        return pipe_size(f);
    case F_SETPIPE_SZ:
        return (int)argument > pipe_size(f) ? -EPERM : pipe_size(f); /* never smaller */
    }
    return -EINVAL;
}

/* posix_fadvise: nothing to do, if there is such a file. */
int sys_has_file(u32 fd) {
    return descriptor_file(fd) ? 0 : -EBADF;
}

/* Both get a descriptor, or none of them; the references are taken over. */
int descriptor_pair(struct file *one, struct file *other, u32 fds, bool close_on_exec) {
    int pair[2] = {descriptor_new(one, 0, close_on_exec), descriptor_new(other, 0, close_on_exec)};
    int error = pair[0] < 0 || pair[1] < 0 ? -EMFILE : copy_to_user(fds, pair, sizeof(pair));
    for (int i = 0; error && i < 2; i++)
        if (pair[i] >= 0)
            descriptor_close(current, (u32)pair[i]);
    return error;
}

int sys_pipe2(u32 fds, u32 flags) {
    struct file *reader, *writer;
    int error = pipe_make(&reader, &writer, flags & O_NONBLOCK);
    return error ? error : descriptor_pair(reader, writer, fds, flags & O_CLOEXEC);
}
