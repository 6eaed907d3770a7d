/* System calls on files that are open, and on what processes have open. */
#include "../include/files.h"

static struct file *get(u32 fd) {
    struct file *f = descriptor_file(fd);
    return f ? file_use(f) : NULL;
}

static int read_or_write(u32 fd, u32 address, u32 size, bool write, const u64 *at) {
    struct transfer t = {address, MIN(size, 0x7ffff000u), 0, false};
    struct file *f = get(fd);
    if (!f)
        return -EBADF;
    int result = write ? file_write(f, &t, at) : file_read(f, &t, at);
    file_drop(f);
    if (result == -EPIPE && write)
        signal_send(current, SIGPIPE);
    return result;
}

int sys_read(u32 fd, u32 to, u32 size) {
    return read_or_write(fd, to, size, false, NULL);
}

int sys_write(u32 fd, u32 from, u32 size) {
    return read_or_write(fd, from, size, true, NULL);
}

static int vector(u32 fd, u32 list, u32 count, bool write) {
    int total = 0;
    if (count > 1024)
        return -EINVAL;
    for (u32 i = 0; i < count; i++) {
        u32 part[2];
        if (copy_from_user(part, list + 8 * i, 8))
            return total ? total : -EFAULT;
        int n = part[1] ? read_or_write(fd, part[0], part[1], write, NULL) : 0;
        if (n < 0)
            return total ? total : n;
        total += n;
        if ((u32)n < part[1])
            break;
    }
    return total;
}

int sys_readv(u32 fd, u32 list, u32 count) {
    return vector(fd, list, count, false);
}

int sys_writev(u32 fd, u32 list, u32 count) {
    return vector(fd, list, count, true);
}

int sys_pread64(u32 fd, u32 to, u32 size, u32 low, u32 high) {
    u64 at = (u64)high << 32 | low;
    return high >> 31 ? -EINVAL : read_or_write(fd, to, size, false, &at);
}

int sys_pwrite64(u32 fd, u32 from, u32 size, u32 low, u32 high) {
    u64 at = (u64)high << 32 | low;
    return high >> 31 ? -EINVAL : read_or_write(fd, from, size, true, &at);
}

static int seek(struct file *f, i64 offset, u32 whence, u64 *result) {
    if (!f)
        return -EBADF;
    if (!f->ops->seekable)
        return -ESPIPE;
    u32 size = S_ISBLK(f->inode->mode) ? 0 : f->inode->size;
    if (S_ISBLK(f->inode->mode) && disk_sectors(f->inode->device & 0xff) < 1u << 22)
        size = disk_sectors(f->inode->device & 0xff) * SECTOR;
    i64 base = whence == 0 ? 0 : whence == 1 ? (i64)f->offset : (i64)size;
    if (whence > 2 || base + offset < 0)
        return -EINVAL;
    *result = f->offset = (u64)(base + offset);
    return 0;
}

int sys_lseek(u32 fd, int offset, u32 whence) {
    u64 at;
    int error = seek(descriptor_file(fd), offset, whence, &at);
    return error ? error : at > 0x7fffffff ? -EINVAL : (int)at;
}

int sys_llseek(u32 fd, u32 high, u32 low, u32 result, u32 whence) {
    u64 at;
    int error = seek(descriptor_file(fd), (i64)((u64)high << 32 | low), whence, &at);
    return error ? error : copy_to_user(result, &at, 8);
}

int sys_close(u32 fd) {
    struct file *f = descriptor_file(fd);
    if (!f)
        return -EBADF;
    current->files[fd] = NULL;
    file_drop(f);
    return 0;
}

int sys_close_range(u32 first, u32 last, u32 flags) {
    enum { CLOSE_ON_EXEC = 4 };
    if (first > last || flags & ~(u32)CLOSE_ON_EXEC)
        return -EINVAL;
    for (u32 fd = first; fd <= MIN(last, (u32)FILES - 1) && fd < FILES; fd++)
        if (flags & CLOSE_ON_EXEC)
            current->close_on_exec |= 1ull << fd;
        else
            sys_close(fd);
    return 0;
}

int sys_fadvise(u32 fd) {
    return descriptor_file(fd) ? 0 : -EBADF;
}

int sys_dup(u32 fd) {
    struct file *f = get(fd);
    return f ? descriptor_new(f, 0, false) : -EBADF;
}

static int dup_to(u32 fd, u32 to, bool close_on_exec) {
    struct file *f = descriptor_file(fd), *old = descriptor_file(to);
    if (!f || to >= FILES)
        return -EBADF;
    current->files[to] = file_use(f);
    current->close_on_exec &= ~(1ull << to);
    current->close_on_exec |= (u64)close_on_exec << to;
    if (old)
        file_drop(old);
    return (int)to;
}

int sys_dup2(u32 fd, u32 to) {
    if (fd == to)
        return descriptor_file(fd) ? (int)fd : -EBADF;
    return dup_to(fd, to, false);
}

int sys_dup3(u32 fd, u32 to, u32 flags) {
    return fd == to || flags & ~(u32)O_CLOEXEC ? -EINVAL : dup_to(fd, to, flags & O_CLOEXEC);
}

int sys_fcntl(u32 fd, u32 command, u32 argument) {
    enum { CHANGEABLE = O_APPEND | O_NONBLOCK };
    struct file *f = descriptor_file(fd);
    if (!f)
        return -EBADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return argument >= FILES ? -EINVAL : descriptor_new(file_use(f), argument, command == F_DUPFD_CLOEXEC);
    case F_GETFD:
        return (int)(current->close_on_exec >> fd & 1);
    case F_SETFD:
        current->close_on_exec &= ~(1ull << fd);
        current->close_on_exec |= (u64)(argument & 1) << fd;
        return 0;
    case F_GETFL:
        return (int)f->flags;
    case F_SETFL:
        f->flags = (f->flags & ~(u32)CHANGEABLE) | (argument & CHANGEABLE);
        return 0;
    case F_GETLK:
    case F_GETLK64: { /* nobody locks: say "unlocked" */
        u16 type = 2;
        return copy_to_user(argument, &type, 2);
    }
    case F_SETLK:
    case F_SETLKW:
    case F_SETLK64:
    case F_SETLKW64:
        return 0;
    }
    return -EINVAL;
}

int sys_flock(u32 fd) {
    return descriptor_file(fd) ? 0 : -EBADF;
}

int sys_ioctl(u32 fd, u32 command, u32 argument) {
    struct file *f = get(fd);
    if (!f)
        return -EBADF;
    int result = f->ops->ioctl ? f->ops->ioctl(f, command, argument) : -ENOTTY;
    file_drop(f);
    return result;
}

int sys_pipe2(u32 fds, u32 flags) {
    struct file *reader, *writer;
    int pair[2], error = pipe_make(&reader, &writer, flags & O_NONBLOCK);
    if (error)
        return error;
    pair[0] = descriptor_new(reader, 0, flags & O_CLOEXEC);
    if (pair[0] < 0) {
        file_drop(writer);
        return pair[0];
    }
    pair[1] = descriptor_new(writer, 0, flags & O_CLOEXEC);
    error = pair[1] < 0 ? pair[1] : copy_to_user(fds, pair, 8);
    if (error) {
        sys_close((u32)pair[0]);
        if (pair[1] >= 0)
            sys_close((u32)pair[1]);
    }
    return error;
}

int sys_pipe(u32 fds) {
    return sys_pipe2(fds, 0);
}

static int sync_file(u32 fd) {
    struct file *f = descriptor_file(fd);
    if (!f || !f->inode)
        return f ? -EINVAL : -EBADF;
    if (S_ISBLK(f->inode->mode))
        return disk_flush(f->inode->device & 0xff);
    struct mount *m = f->inode->mount;
    return m->sync ? m->sync(m) : 0;
}

int sys_fsync(u32 fd) {
    return sync_file(fd);
}

int sys_fdatasync(u32 fd) {
    return sync_file(fd);
}

int sys_sync(void) {
    sync_all();
    return 0;
}

static int resize(struct inode *i, u32 low, u32 high) {
    if (is_directory(i))
        return -EISDIR;
    if (!S_ISREG(i->mode) || !i->ops->resize || high >> 31)
        return -EINVAL;
    if (high || low > 0x7fffffff)
        return -EFBIG;
    if (i->mount->read_only)
        return -EROFS;
    int error = i->ops->resize(i, low);
    if (!error)
        i->mtime = i->ctime = now_seconds();
    return error;
}

int sys_ftruncate64(u32 fd, u32 low, u32 high) {
    struct file *f = descriptor_file(fd);
    if (!f || (f->flags & O_ACCMODE) == O_RDONLY)
        return f ? -EINVAL : -EBADF;
    return f->inode ? resize(f->inode, low, high) : -EINVAL;
}

int sys_ftruncate(u32 fd, u32 size) {
    return sys_ftruncate64(fd, size, (int)size < 0 ? -1u : 0);
}

int sys_truncate64(u32 path_at, u32 low, u32 high) {
    struct inode *i;
    char *path = allocate(PATH_SIZE);
    int error = path ? copy_string_from_user(path, path_at, PATH_SIZE) : -ENOMEM;
    if (error >= 0)
        error = path_find(current->cwd, path, true, &i);
    release(path);
    if (error)
        return error;
    error = resize(i, low, high);
    inode_drop(i);
    return error;
}

int sys_truncate(u32 path, u32 size) {
    return sys_truncate64(path, size, (int)size < 0 ? -1u : 0);
}

/* From a file to another without a stop in the program, by the page. */
static int send(struct file *to, struct file *from, u64 *at, u32 size) {
    char *buffer = allocate(PAGE);
    int result = buffer ? 0 : -ENOMEM;
    u32 done = 0;
    while (result >= 0 && done < size && !(done && signal_waiting(current))) {
        give_way();
        struct transfer r = {(u32)buffer, MIN(size - done, PAGE), 0, true}, w = {(u32)buffer, 0, 0, true};
        result = file_read(from, &r, at);
        if (result <= 0)
            break;
        w.left = (u32)result;
        result = file_write(to, &w, NULL);
        done += w.done;
        if (at)
            *at += w.done;
        else
            from->offset -= r.done - w.done;
        if (w.done < r.done)
            break;
    }
    release(buffer);
    return done ? (int)done : result;
}

int sys_sendfile64(u32 out, u32 in, u32 offset_at, u32 size) {
    struct file *from = get(in), *to = get(out);
    u64 at;
    int result = !from || !to ? -EBADF : !from->ops->seekable ? -EINVAL : 0;
    if (!result && offset_at)
        result = copy_from_user(&at, offset_at, 8);
    if (!result)
        result = send(to, from, offset_at ? &at : NULL, size);
    if (result >= 0 && offset_at && copy_to_user(offset_at, &at, 8))
        result = -EFAULT;
    if (from)
        file_drop(from);
    if (to)
        file_drop(to);
    return result;
}

int sys_sendfile(u32 out, u32 in, u32 offset_at, u32 size) {
    return offset_at ? -EINVAL : sys_sendfile64(out, in, 0, size);
}

/* --- directories ---------------------------------------------------------------------------- */

/* Entries as the program wants them: the new layout has 64-bit numbers and the type in front. */
static int list(u32 fd, u32 to, u32 size, bool new) {
    struct file *f = get(fd);
    struct entry *e = allocate(sizeof(*e));
    int result = !f ? -EBADF : !e ? -ENOMEM : !f->inode || !is_directory(f->inode) ? -ENOTDIR : 0;
    u32 done = 0;
    while (!result) {
        u32 position = (u32)f->offset;
        int more = f->inode->ops->list(f->inode, &position, e);
        if (more <= 0) {
            result = more;
            break;
        }
        u32 length = strlen(e->name) + 1, head = new ? 19 : 10;
        u32 whole = ALIGN_UP(head + length + (new ? 0 : 1), new ? 8 : 4);
        u8 record[24 + NAME_SIZE + 8] = {0};
        if (done + whole > size) {
            result = done ? 0 : -EINVAL;
            break;
        }
        memcpy(record, &e->inode, 4);
        memcpy(record + (new ? 8 : 4), &position, 4);
        memcpy(record + (new ? 16 : 8), &whole, 2);
        if (new)
            record[18] = (u8)e->type;
        else
            record[whole - 1] = (u8)e->type;
        memcpy(record + head, e->name, length);
        result = copy_to_user(to + done, record, whole);
        if (result)
            break;
        done += whole;
        f->offset = position;
    }
    release(e);
    if (f)
        file_drop(f);
    return result ? result : (int)done;
}

int sys_getdents64(u32 fd, u32 to, u32 size) {
    return list(fd, to, size, true);
}

int sys_old_getdents(u32 fd, u32 to, u32 size) {
    return list(fd, to, size, false);
}
