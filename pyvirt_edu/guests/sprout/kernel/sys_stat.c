/* System calls that tell what is known of a file, and change it: stat, chmod, chown, utimes ... */
#include "../include/files.h"

/* --- stat ----------------------------------------------------------------------------------- */

static u32 blocks_of(struct inode *i) {
    return i->blocks || S_ISDIR(i->mode) || i->ops == &ramfs_ops ? i->blocks : (i->size + 511) / 512;
}

static int give_stat64(struct inode *i, u32 to) {
    struct stat64 s = {
        .st_dev = i->mount->number, .st_ino32 = i->number, .st_ino = i->number, .st_mode = i->mode,
        .st_nlink = i->links, .st_uid = i->uid, .st_gid = i->gid, .st_rdev = i->device, .st_size = i->size,
        .st_blksize = PAGE, .st_blocks = blocks_of(i), .st_atime = i->atime, .st_mtime = i->mtime,
        .st_ctime = i->ctime,
    };
    return copy_to_user(to, &s, sizeof(s));
}

static int give_stat_old(struct inode *i, u32 to) {
    struct stat_old s = {
        .st_dev = i->mount->number, .st_ino = i->number, .st_mode = (u16)i->mode, .st_nlink = (u16)i->links,
        .st_uid = (u16)i->uid, .st_gid = (u16)i->gid, .st_rdev = i->device, .st_size = i->size,
        .st_blksize = PAGE, .st_blocks = blocks_of(i), .st_atime = i->atime, .st_mtime = i->mtime,
        .st_ctime = i->ctime,
    };
    return copy_to_user(to, &s, sizeof(s));
}

static int give_statx(struct inode *i, u32 to) {
    struct statx s = {
        .stx_mask = 0x7ff, .stx_blksize = PAGE, .stx_nlink = i->links, .stx_uid = i->uid, .stx_gid = i->gid,
        .stx_mode = (u16)i->mode, .stx_ino = i->number, .stx_size = i->size, .stx_blocks = blocks_of(i),
        .stx_atime = {i->atime}, .stx_ctime = {i->ctime}, .stx_mtime = {i->mtime},
        .stx_rdev_major = i->device >> 8, .stx_rdev_minor = i->device & 0xff,
        .stx_dev_minor = i->mount->number,
    };
    return copy_to_user(to, &s, sizeof(s));
}

static int give_stat(enum stat_layout layout, struct inode *i, u32 to) {
    static int (*const givers[])(struct inode *i, u32 to) = {
        [STAT_OLD] = give_stat_old, [STAT_64] = give_stat64, [STAT_X] = give_statx,
    };
    return givers[layout](i, to);
}

int sys_fstat(enum stat_layout layout, u32 fd, u32 to) {
    /* a pipe or a socket has no inode: this one answers for it */
    static struct inode nowhere = {.mode = S_IFIFO | 0600, .links = 1, .number = 1};
    struct file *f = descriptor_file(fd);
    if (!f)
        return -EBADF;
    nowhere.mount = root_inode->mount;
    nowhere.ops = root_inode->ops;
    return give_stat(layout, f->inode ? f->inode : &nowhere, to);
}

int sys_stat(enum stat_layout layout, int dirfd, u32 path, u32 to, u32 flags) {
    OWNED(inode) struct inode *i = NULL;
    char first = 0;
    bool empty = flags & AT_EMPTY_PATH && (!path || (!copy_from_user(&first, path, 1) && !first));
    if (empty && dirfd != AT_FDCWD)
        return sys_fstat(layout, (u32)dirfd, to);
    int error = user_find(dirfd, path, flags, &i);
    return error ? error : give_stat(layout, i, to);
}

int sys_readlinkat(int dirfd, u32 path, u32 to, u32 size) {
    OWNED(inode) struct inode *i = NULL;
    int error = (int)size <= 0 ? -EINVAL : user_find(dirfd, path, AT_SYMLINK_NOFOLLOW, &i);
    if (error)
        return error;
    struct transfer t = {to, size, 0, false};
    error = S_ISLNK(i->mode) ? i->ops->read(i, &t, 0) : -EINVAL;
    return error ? error : (int)t.done;
}

int sys_faccessat(int dirfd, u32 path, u32 how) {
    enum { TO_EXECUTE = 1, TO_WRITE = 2 };
    OWNED(inode) struct inode *i = NULL;
    int error = user_find(dirfd, path, 0, &i);
    if (error)
        return error;
    if (how & TO_WRITE && i->mount->read_only)
        return -EROFS;
    return how & TO_EXECUTE && S_ISREG(i->mode) && !(i->mode & 0111) ? -EACCES : 0;
}

static int give_statfs(struct mount *m, u32 size, u32 to) {
    struct statfs64 s = {.f_bsize = PAGE, .f_frsize = PAGE, .f_namelen = NAME_SIZE - 1};
    if (m->usage)
        m->usage(m, &s);
    return size == sizeof(s) ? copy_to_user(to, &s, sizeof(s)) : -EINVAL;
}

int sys_statfs64(u32 path, u32 size, u32 to) {
    OWNED(inode) struct inode *i = NULL;
    int error = user_find(AT_FDCWD, path, 0, &i);
    return error ? error : give_statfs(i->mount, size, to);
}

int sys_fstatfs64(u32 fd, u32 size, u32 to) {
    struct file *f = descriptor_file(fd);
    if (!f || !f->inode)
        return f ? -EINVAL : -EBADF;
    return give_statfs(f->inode->mount, size, to);
}

/* --- changes -------------------------------------------------------------------------------- */

/* The inode that is to change: by its path, or by a descriptor if `path` is 0. */
static int find_to_change(int dirfd, u32 path, u32 flags, struct inode **found) {
    if (path || dirfd == AT_FDCWD) {
        int error = user_find(dirfd, path, flags, found);
        if (error)
            return error;
    } else {
        struct file *f = descriptor_file((u32)dirfd);
        if (!f || !f->inode)
            return -EBADF;
        *found = inode_use(f->inode);
    }
    return (*found)->mount->read_only ? -EROFS : 0;
}

static int changed(struct inode *i) {
    i->ctime = now_seconds();
    if (i->ops->changed)
        i->ops->changed(i);
    return 0;
}

int sys_fchmodat(int dirfd, u32 path, u32 mode) {
    OWNED(inode) struct inode *i = NULL;
    int error = find_to_change(dirfd, path, 0, &i);
    if (error)
        return error;
    i->mode = (i->mode & S_IFMT) | (mode & 07777);
    return changed(i);
}

int sys_fchownat(int dirfd, u32 path, u32 uid, u32 gid, u32 flags) {
    OWNED(inode) struct inode *i = NULL;
    int error = find_to_change(dirfd, path, flags, &i);
    if (error)
        return error;
    i->uid = uid == -1u ? i->uid : uid;
    i->gid = gid == -1u ? i->gid : gid;
    return changed(i);
}

/* Access and modification time; in the nanoseconds may stand "now" or "leave it". */
enum { TIME_NOW = 0x3fffffff, TIME_OMIT = 0x3ffffffe };

static int set_times(int dirfd, u32 path, u32 flags, const struct timespec64 t[2]) {
    OWNED(inode) struct inode *i = NULL;
    int error = find_to_change(dirfd, path, flags, &i);
    if (error)
        return error;
    if (t[0].nanoseconds != TIME_OMIT)
        i->atime = t[0].nanoseconds == TIME_NOW ? now_seconds() : (u32)t[0].seconds;
    if (t[1].nanoseconds != TIME_OMIT)
        i->mtime = t[1].nanoseconds == TIME_NOW ? now_seconds() : (u32)t[1].seconds;
    return changed(i);
}

int sys_utimensat(int dirfd, u32 path, u32 times, u32 flags, enum time_layout layout) {
    struct timespec64 t[2] = {{0, TIME_NOW, 0}, {0, TIME_NOW, 0}};
    if (times && (time_from_user(times, layout, &t[0]) || time_from_user(times + layout, layout, &t[1])))
        return -EFAULT;
    return set_times(dirfd, path, flags, t);
}

/* utime and utimes: seconds, and in the second case microseconds that no file system here keeps. */
int sys_utimes(u32 path, u32 times, u32 size) {
    u32 atime, mtime;
    if (!times)
        return sys_utimensat(AT_FDCWD, path, 0, 0, TIME32);
    if (copy_from_user(&atime, times, 4) || copy_from_user(&mtime, times + size, 4))
        return -EFAULT;
    return set_times(AT_FDCWD, path, 0, (struct timespec64[]){{atime, 0, 0}, {mtime, 0, 0}});
}
