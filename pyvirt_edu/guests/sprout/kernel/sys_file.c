/* System calls on files that are open: reading, writing, seeking, and directories as lists. */
#include "../include/files.h"

static int transfer(u32 fd, u32 address, u32 size, bool write, const u64 *at) {
    struct transfer t = {address, MIN(size, 0x7ffff000u), 0, false};
    OWNED(file) struct file *f = descriptor_use(fd);
    if (!f)
        return -EBADF;
    int result = write ? file_write(f, &t, at) : file_read(f, &t, at);
    if (result == -EPIPE && write)
        signal_send(current, SIGPIPE);
    return result;
}

int sys_read(u32 fd, u32 to, u32 size) {
    return transfer(fd, to, size, false, NULL);
}

int sys_write(u32 fd, u32 from, u32 size) {
    return transfer(fd, from, size, true, NULL);
}

/* Several pieces of memory, one after the other. */
static int vector(u32 fd, u32 list, u32 count, const u64 *at, bool write) {
    int total = 0;
    u64 place = at ? *at : 0;
    if (count > 1024)
        return -EINVAL;
    for (u32 i = 0; i < count; i++) {
        u32 part[2];
        if (copy_from_user(part, list + 8 * i, 8))
            return total ? total : -EFAULT;
        int n = part[1] ? transfer(fd, part[0], part[1], write, at ? &place : NULL) : 0;
        if (n < 0)
            return total ? total : n;
        total += n;
        place += (u32)n;
        if ((u32)n < part[1])
            break;
    }
    return total;
}

int sys_vector(u32 fd, u32 list, u32 count, bool write) {
    return vector(fd, list, count, NULL, write);
}

int sys_vector_at(u32 fd, u32 list, u32 count, u32 low, u32 high, bool write) {
    u64 at = (u64)high << 32 | low;
    return high >> 31 ? -EINVAL : vector(fd, list, count, &at, write);
}

/* pread and pwrite: not where the file stands, but at a place. */
int sys_transfer_at(u32 fd, u32 address, u32 size, u32 low, u32 high, bool write) {
    u64 at = (u64)high << 32 | low;
    return high >> 31 ? -EINVAL : transfer(fd, address, size, write, &at);
}

static int seek(struct file *f, i64 offset, u32 whence, u64 *result) {
    if (!f)
        return -EBADF;
    if (!f->ops->seekable)
        return -ESPIPE;
    u32 size = S_ISBLK(f->inode->mode) ? 0 : f->inode->size;
    if (S_ISBLK(f->inode->mode) && disk_sectors(f->inode->device & 0xff) < 1u << 22)
        size = disk_sectors(f->inode->device & 0xff) * SECTOR;
    enum { SEEK_DATA = 3, SEEK_HOLE = 4 }; /* as if there were no holes but the one behind the end */
    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        if (offset < 0 || offset >= (i64)size)
            return -ENXIO;
        offset = whence == SEEK_HOLE ? (i64)size : offset;
        whence = 0;
    }
    i64 base = whence == 0 ? 0 : whence == 1 ? (i64)f->offset : (i64)size;
    if (whence > 2 || base + offset < 0)
        return -EINVAL;
    *result = f->offset = (u64)(base + offset);
    return 0;
}

/* With this answer C libraries write zeros themselves, which every file system can do. */
int sys_fallocate(u32 fd) {
    return descriptor_file(fd) ? -EOPNOTSUPP : -EBADF;
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

int sys_ioctl(u32 fd, u32 command, u32 argument) {
    OWNED(file) struct file *f = descriptor_use(fd);
    if (!f)
        return -EBADF;
    return f->ops->ioctl ? f->ops->ioctl(f, command, argument) : -ENOTTY;
}

/* --- size ----------------------------------------------------------------------------------- */

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
    if (!f)
        return -EBADF;
    return f->inode && (f->flags & O_ACCMODE) != O_RDONLY ? resize(f->inode, low, high) : -EINVAL;
}

int sys_truncate64(u32 path, u32 low, u32 high) {
    OWNED(inode) struct inode *i = NULL;
    int error = user_find(AT_FDCWD, path, 0, &i);
    return error ? error : resize(i, low, high);
}

/* --- from file to file ---------------------------------------------------------------------- */

/* By the page, without a stop in the program. */
static int send(struct file *to, struct file *from, u64 *at, u32 size) {
    OWNED(memory) char *buffer = allocate(PAGE);
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
    return done ? (int)done : result;
}

int sys_sendfile64(u32 out, u32 in, u32 offset_at, u32 size) {
    OWNED(file) struct file *from = descriptor_use(in), *to = descriptor_use(out);
    u64 at;
    if (!from || !to)
        return -EBADF;
    if (!from->ops->seekable)
        return -EINVAL;
    if (offset_at && copy_from_user(&at, offset_at, 8))
        return -EFAULT;
    int result = send(to, from, offset_at ? &at : NULL, size);
    return result >= 0 && offset_at && copy_to_user(offset_at, &at, 8) ? -EFAULT : result;
}

int sys_sendfile(u32 out, u32 in, u32 offset_at, u32 size) {
    return offset_at ? -EINVAL : sys_sendfile64(out, in, 0, size);
}

/* --- directories ---------------------------------------------------------------------------- */

/* An entry as the program wants it; its size. The new layout has 64-bit numbers, and the type in front. */
static u32 make_record(u8 *record, const struct entry *e, u32 position, bool new) {
    u32 length = strlen(e->name) + 1, head = new ? 19 : 10;
    u32 size = new ? ALIGN_UP(head + length, 8) : ALIGN_UP(head + length + 1, 4);
    memset(record, 0, size);
    memcpy(record, &e->inode, 4);
    memcpy(record + (new ? 8 : 4), &position, 4);
    memcpy(record + (new ? 16 : 8), &size, 2);
    record[new ? 18 : size - 1] = (u8)e->type;
    memcpy(record + head, e->name, length);
    return size;
}

int sys_getdents(u32 fd, u32 to, u32 size, bool new) {
    OWNED(file) struct file *f = descriptor_use(fd);
    OWNED(memory) struct entry *e = allocate(sizeof(*e));
    u8 record[24 + NAME_SIZE];
    if (!f || !e)
        return f ? -ENOMEM : -EBADF;
    if (!f->inode || !is_directory(f->inode))
        return -ENOTDIR;
    for (u32 done = 0;;) {
        u32 position = (u32)f->offset;
        int more = f->inode->ops->list(f->inode, &position, e);
        if (more <= 0)
            return more ? more : (int)done;
        u32 n = make_record(record, e, position, new);
        if (done + n > size)
            return done ? (int)done : -EINVAL;
        if (copy_to_user(to + done, record, n))
            return -EFAULT;
        done += n;
        f->offset = position;
    }
}
