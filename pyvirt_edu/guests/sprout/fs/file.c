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
    if (!f || --f->users)
        return;
    locks_drop_file(f);
    if (f->ops->close)
        f->ops->close(f);
    inode_drop(f->inode);
    release(f);
}

/* --- files of inodes ------------------------------------------------------------------------ */

static int read_inode(struct file *f, struct transfer *t) {
    if (is_directory(f->inode))
        return -EISDIR;
    if (f->offset >= f->inode->size)
        return 0;
    int error = f->inode->ops->read(f->inode, t, (u32)f->offset);
    f->offset += t->done;
    return error;
}

static int write_inode(struct file *f, struct transfer *t) {
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

const struct file_ops inode_file_ops = {.read = read_inode, .write = write_inode, .seekable = true};

/* What an inode of this kind does when it is open; NULL: the device is not there. */
static const struct file_ops *ops_of(struct inode *i) {
    return is_device(i) ? device_ops(i) : &inode_file_ops;
}

static int may_open(struct inode *i, u32 flags) {
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (is_directory(i) && writes)
        return -EISDIR;
    if (!is_directory(i) && flags & O_DIRECTORY)
        return -ENOTDIR;
    if (S_ISLNK(i->mode) && !(flags & O_PATH))
        return -ELOOP;
    if (S_ISSOCK(i->mode) && !(flags & O_PATH))
        return -ENXIO;
    if (writes && i->mount->read_only && S_ISREG(i->mode))
        return -EROFS;
    return ops_of(i) ? 0 : -ENXIO;
}

static int open_inode(struct inode *i, u32 flags, struct file **opened) {
    int error = may_open(i, flags);
    if (!error && flags & O_TRUNC && S_ISREG(i->mode) && (flags & O_ACCMODE) != O_RDONLY) {
        error = i->ops->resize(i, 0);
        if (!error)
            i->mtime = i->ctime = now_seconds();
    }
    if (error)
        return error;
    u32 kept = flags & ~(u32)(O_CREAT | O_EXCL | O_TRUNC | O_NOCTTY | O_CLOEXEC);
    OWNED(file) struct file *f = file_new(ops_of(i), i, kept);
    if (!f)
        return -ENOMEM;
    inode_use(i);
    error = S_ISFIFO(i->mode) && !(flags & O_PATH) ? fifo_open(f) : 0;
    if (!error)
        *opened = file_use(f);
    return error;
}

static int create(struct inode *start, const char *path, u32 mode, u32 depth, struct inode **made);

/* Where a link that leads to nothing leads to, a file may be made. */
static int create_behind(struct inode *dir, struct inode *link, u32 mode, u32 depth, struct inode **made) {
    enum { MOST_LINKS = 8 };
    OWNED(memory) char *target = allocate_zeroed(PATH_SIZE);
    int length = target ? inode_read(link, target, PATH_SIZE - 1, 0) : -ENOMEM;
    return length < 0 ? length : depth == MOST_LINKS ? -ELOOP : create(dir, target, mode, depth + 1, made);
}

static int create(struct inode *start, const char *path, u32 mode, u32 depth, struct inode **made) {
    OWNED(memory) char *name = allocate(NAME_SIZE);
    OWNED(inode) struct inode *dir = NULL, *link = NULL;
    int error = name ? path_parent(start, path, &dir, name) : -ENOMEM;
    if (error)
        return error;
    if (path[strlen(path) - 1] == '/')
        return -EISDIR;
    if (!dir->ops->lookup(dir, name, &link) && S_ISLNK(link->mode))
        return create_behind(dir, link, mode, depth, made);
    if (dir->mount->read_only)
        return -EROFS;
    return dir->ops->create ? dir->ops->create(dir, name, S_IFREG | (mode & 07777), 0, made) : -EACCES;
}

/* The inode of an existing or new file. */
static int find_or_create(struct inode *start, const char *path, u32 flags, u32 mode, struct inode **found) {
    bool must_be_new = flags & O_CREAT && flags & O_EXCL;
    int error = path_find(start, path, !(flags & O_NOFOLLOW) && !must_be_new, found);
    if (!error)
        return must_be_new ? -EEXIST : 0;
    return error == -ENOENT && flags & O_CREAT ? create(start, path, mode, 0, found) : error;
}

int file_open(struct inode *start, const char *path, u32 flags, u32 mode, struct file **opened) {
    OWNED(inode) struct inode *i = NULL;
    int error = find_or_create(start, path, flags, mode, &i);
    if (error)
        return error;
    if (S_ISCHR(i->mode) && i->device >> 8 == DEVICE_DESCRIPTOR >> 8) {
        *opened = descriptor_use(i->device & 0xff); /* /dev/fd/3: the same file once more */
        return *opened ? 0 : -ENXIO;
    }
    return open_inode(i, flags, opened);
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

void descriptor_mark(struct process *p, u32 fd, bool close_on_exec) {
    u32 *word = &p->close_on_exec[fd / 32], bit = 1u << fd % 32;
    *word = close_on_exec ? *word | bit : *word & ~bit;
}

void descriptor_set(struct process *p, u32 fd, struct file *f, bool close_on_exec) {
    for (; p->files_end <= fd; p->files_end++)
        p->files[p->files_end] = NULL;
    p->files[fd] = f;
    descriptor_mark(p, fd, close_on_exec);
}

u32 descriptor_limit(void) {
    return MIN(current->limits[LIMIT_FILES].now, FILES);
}

int descriptor_new(struct file *f, u32 from, bool close_on_exec) {
    u32 fd = from;
    while (fd < current->files_end && current->files[fd])
        fd++;
    if (fd < descriptor_limit()) {
        descriptor_set(current, fd, f, close_on_exec);
        return (int)fd;
    }
    file_drop(f);
    return -EMFILE;
}

struct file *descriptor_file(u32 fd) {
    return fd < current->files_end ? current->files[fd] : NULL;
}

struct file *descriptor_use(u32 fd) {
    struct file *f = descriptor_file(fd);
    return f ? file_use(f) : NULL;
}

void descriptor_close(struct process *p, u32 fd) {
    struct file *f = p->files[fd];
    p->files[fd] = NULL; /* first: what the file does at its end may sleep */
    while (p->files_end && !p->files[p->files_end - 1])
        p->files_end--;
    if (f)
        locks_drop_process(f->inode, p->pid);
    file_drop(f);
}
