/*
 * Open files. A file is an inode, or something like a pipe, with a position and a mode of access;
 * descriptors are a process's numbers for files. After fork and dup several descriptors lead to one
 * file, and move its position together.
 *
 * Kept: a file lives as long as a descriptor (or a call under way) refers to it. Reads and writes
 * that share a position, and writes of one inode, do not overlap.
 */
#include "../include/files.h"

struct file *file_new(const struct file_ops *ops, struct inode *inode, u32 flags) {
    struct file *f = allocate_zeroed(sizeof(*f));
    if (!f)
        return NULL;
    f->ops = ops;
    f->inode = inode;
    f->flags = flags;
    f->users = 1;
    return f;
}

struct file *file_use(struct file *f) {
    f->users++;
    return f;
}

void file_drop(struct file *f) {
    if (--f->users)
        return;
    if (f->ops->close)
        f->ops->close(f);
    inode_drop(f->inode);
    release(f);
}

/* --- files of inodes ------------------------------------------------------------------------ */

static int inode_read(struct file *f, struct transfer *t) {
    if (is_directory(f->inode))
        return -EISDIR;
    if (f->offset >= f->inode->size)
        return 0;
    int error = f->inode->ops->read(f->inode, t, (u32)f->offset);
    f->offset += t->done;
    return error;
}

static int inode_write(struct file *f, struct transfer *t) {
    lock(&f->inode->writing);
    if (f->flags & O_APPEND)
        f->offset = f->inode->size;
    int error = f->offset + t->left > 0x7fffffff ? -EFBIG : f->inode->ops->write(f->inode, t, (u32)f->offset);
    f->offset += t->done;
    if (t->done)
        f->inode->mtime = f->inode->ctime = now_seconds();
    unlock(&f->inode->writing);
    return error;
}

const struct file_ops inode_file_ops = {.read = inode_read, .write = inode_write, .seekable = true};

static int open_inode(struct inode *i, u32 flags, struct file **opened) {
    u32 access = flags & O_ACCMODE;
    if (is_directory(i) && access != O_RDONLY)
        return -EISDIR;
    if (flags & O_DIRECTORY && !is_directory(i))
        return -ENOTDIR;
    if (S_ISLNK(i->mode) && !(flags & O_PATH))
        return -ELOOP;
    if (access != O_RDONLY && i->mount->read_only && S_ISREG(i->mode))
        return -EROFS;
    const struct file_ops *ops = &inode_file_ops;
    if (S_ISCHR(i->mode) || S_ISBLK(i->mode))
        ops = device_ops(i);
    if (!ops)
        return -ENXIO;
    if (flags & O_TRUNC && S_ISREG(i->mode) && access != O_RDONLY) {
        int error = i->ops->resize(i, 0);
        if (error)
            return error;
        i->mtime = i->ctime = now_seconds();
    }
    *opened = file_new(ops, i, flags & ~(u32)(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC));
    if (!*opened)
        return -ENOMEM;
    int error = S_ISFIFO(i->mode) && !(flags & O_PATH) ? fifo_open(*opened) : 0;
    if (error) {
        (*opened)->inode = NULL;
        (*opened)->ops = &inode_file_ops;
        file_drop(*opened);
    }
    return error;
}

/* The inode of an existing or new file. */
static int find_or_create(struct inode *start, const char *path, u32 flags, u32 mode, struct inode **found) {
    int error = path_find(start, path, !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL),
                          found);
    if (!error && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) {
        inode_drop(*found);
        return -EEXIST;
    }
    if (error != -ENOENT || !(flags & O_CREAT))
        return error;
    char *name = allocate(NAME_SIZE);
    struct inode *dir;
    error = name ? path_parent(start, path, &dir, name) : -ENOMEM;
    if (!error) {
        if (path[strlen(path) - 1] == '/')
            error = -EISDIR;
        else if (dir->mount->read_only)
            error = -EROFS;
        else if (!dir->ops->create)
            error = -EACCES;
        else
            error = dir->ops->create(dir, name, S_IFREG | (mode & 07777), 0, found);
        inode_drop(dir);
    }
    release(name);
    return error;
}

int file_open(struct inode *start, const char *path, u32 flags, u32 mode, struct file **opened) {
    struct inode *i;
    int error = find_or_create(start, path, flags, mode, &i);
    if (error)
        return error;
    if (S_ISCHR(i->mode) && i->device >> 8 == DEVICE_DESCRIPTOR >> 8) {
        *opened = descriptor_file(i->device & 0xff); /* /dev/fd/3: the same file once more */
        inode_drop(i);
        if (*opened)
            file_use(*opened);
        return *opened ? 0 : -ENXIO;
    }
    error = open_inode(i, flags, opened);
    if (error)
        inode_drop(i);
    return error;
}

typedef int mover(struct file *f, struct transfer *t);

/* At the file's position, or at `at`. What was transferred before an error counts more than it. */
static int move(struct file *f, struct transfer *t, mover *how, const u64 *at) {
    if (!how || (at && !f->ops->seekable))
        return how ? -ESPIPE : -EINVAL;
    if (!f->ops->seekable) {
        int error = how(f, t);
        return t->done ? (int)t->done : error;
    }
    lock(&f->moving);
    u64 before = f->offset;
    f->offset = at ? *at : before;
    int error = how(f, t);
    if (at)
        f->offset = before;
    unlock(&f->moving);
    return t->done ? (int)t->done : error;
}

int file_read(struct file *f, struct transfer *t, const u64 *at) {
    if ((f->flags & O_ACCMODE) == O_WRONLY || f->flags & O_PATH)
        return -EBADF;
    return move(f, t, f->ops->read, at);
}

int file_write(struct file *f, struct transfer *t, const u64 *at) {
    if ((f->flags & O_ACCMODE) == O_RDONLY || f->flags & O_PATH)
        return -EBADF;
    return move(f, t, f->ops->write, at);
}

/* --- descriptors ---------------------------------------------------------------------------- */

int descriptor_new(struct file *f, u32 from, bool close_on_exec) {
    for (u32 fd = from; fd < FILES; fd++)
        if (!current->files[fd]) {
            current->files[fd] = f;
            current->close_on_exec &= ~(1ull << fd);
            current->close_on_exec |= (u64)close_on_exec << fd;
            return (int)fd;
        }
    file_drop(f);
    return -EMFILE;
}

struct file *descriptor_file(u32 fd) {
    return fd < FILES ? current->files[fd] : NULL;
}
