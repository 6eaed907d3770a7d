/*
 * System calls that take names. The older ones are the newer ones with the current directory.
 *
 * Who may do what is not looked at: every process is root's. Only executing asks for an x bit.
 */
#include "../include/files.h"

/* A path copied from the program, and the directory from which it counts. */
struct place {
    struct inode *start;
    char *path;
};

static void leave(struct place *p) {
    release(p->path);
    inode_drop(p->start);
    *p = (struct place){0};
}

static int enter(struct place *p, int dirfd, u32 path) {
    *p = (struct place){NULL, allocate(PATH_SIZE)};
    int error = p->path ? copy_string_from_user(p->path, path, PATH_SIZE) : -ENOMEM;
    if (error >= 0) {
        struct file *f = descriptor_file((u32)dirfd);
        error = 0;
        if (dirfd == AT_FDCWD || *p->path == '/')
            p->start = inode_use(current->cwd);
        else if (!f || !f->inode)
            error = -EBADF;
        else
            p->start = inode_use(f->inode);
    }
    if (error)
        leave(p);
    return error;
}

/* The inode that (dirfd, path) names. */
static int find(int dirfd, u32 path, u32 flags, struct inode **found) {
    struct place p;
    int error = enter(&p, dirfd, path);
    if (error)
        return error;
    if (!*p.path && flags & AT_EMPTY_PATH)
        *found = inode_use(p.start);
    else
        error = path_find(p.start, p.path, !(flags & AT_SYMLINK_NOFOLLOW), found);
    leave(&p);
    return error;
}

/* The directory where the last part of a path is or will be. Drop both. */
static int find_parent(int dirfd, u32 path, struct inode **dir, char **name) {
    struct place p;
    int error = enter(&p, dirfd, path);
    if (error)
        return error;
    *name = allocate(NAME_SIZE);
    error = *name ? path_parent(p.start, p.path, dir, *name) : -ENOMEM;
    leave(&p);
    if (!error && (*dir)->mount->read_only) {
        inode_drop(*dir);
        error = -EROFS;
    }
    if (error) {
        release(*name);
        *name = NULL;
    }
    return error;
}

/* --- open ----------------------------------------------------------------------------------- */

int sys_openat(int dirfd, u32 path, u32 flags, u32 mode) {
    struct place p;
    struct file *f;
    int error = enter(&p, dirfd, path);
    if (error)
        return error;
    error = file_open(p.start, p.path, flags, mode & 07777 & ~current->umask, &f);
    leave(&p);
    return error ? error : descriptor_new(f, 0, flags & O_CLOEXEC);
}

int sys_open(u32 path, u32 flags, u32 mode) {
    return sys_openat(AT_FDCWD, path, flags, mode);
}

int sys_creat(u32 path, u32 mode) {
    return sys_openat(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

/* --- new names and old ones ----------------------------------------------------------------- */

static int make(int dirfd, u32 path, u32 mode, u32 device, struct inode **made) {
    struct inode *dir;
    char *name;
    int error = find_parent(dirfd, path, &dir, &name);
    if (error)
        return error;
    error = dir->ops->create ? dir->ops->create(dir, name, mode, device, made) : -EPERM;
    inode_drop(dir);
    release(name);
    return error;
}

int sys_mknodat(int dirfd, u32 path, u32 mode, u32 device) {
    struct inode *i;
    u32 type = mode & S_IFMT ? mode & S_IFMT : (u32)S_IFREG;
    if (type == S_IFDIR || type == S_IFLNK)
        return -EINVAL;
    int error = make(dirfd, path, type | (mode & 07777 & ~current->umask), device, &i);
    if (!error)
        inode_drop(i);
    return error;
}

int sys_mknod(u32 path, u32 mode, u32 device) {
    return sys_mknodat(AT_FDCWD, path, mode, device);
}

int sys_mkdirat(int dirfd, u32 path, u32 mode) {
    struct inode *i;
    int error = make(dirfd, path, S_IFDIR | (mode & 07777 & ~current->umask), 0, &i);
    if (!error)
        inode_drop(i);
    return error;
}

int sys_mkdir(u32 path, u32 mode) {
    return sys_mkdirat(AT_FDCWD, path, mode);
}

int sys_symlinkat(u32 target, int dirfd, u32 path) {
    struct inode *i;
    char *text = allocate(PATH_SIZE);
    int n = text ? copy_string_from_user(text, target, PATH_SIZE) : -ENOMEM;
    int error = n < 0 ? n : n == 0 ? -ENOENT : make(dirfd, path, S_IFLNK | 0777, 0, &i);
    if (!error) {
        struct transfer t = {(u32)text, (u32)n, 0, true};
        error = i->ops->write(i, &t, 0);
        inode_drop(i);
    }
    release(text);
    return error;
}

int sys_symlink(u32 target, u32 path) {
    return sys_symlinkat(target, AT_FDCWD, path);
}

int sys_linkat(int old_dirfd, u32 old, int dirfd, u32 path, u32 flags) {
    struct inode *target, *dir;
    char *name;
    u32 how = flags & AT_SYMLINK_FOLLOW ? flags : flags | AT_SYMLINK_NOFOLLOW;
    int error = find(old_dirfd, old, how, &target);
    if (error)
        return error;
    error = is_directory(target) ? -EPERM : find_parent(dirfd, path, &dir, &name);
    if (!error) {
        error = dir->mount != target->mount ? -EXDEV : dir->ops->link ? dir->ops->link(dir, name, target) : -EPERM;
        inode_drop(dir);
        release(name);
    }
    inode_drop(target);
    return error;
}

int sys_link(u32 old, u32 path) {
    return sys_linkat(AT_FDCWD, old, AT_FDCWD, path, 0);
}

static bool is_dot(const char *name) {
    return !strcmp(name, ".") || !strcmp(name, "..");
}

static int remove(int dirfd, u32 path, bool directory) {
    struct inode *dir, *target = NULL;
    char *name;
    int error = find_parent(dirfd, path, &dir, &name);
    if (error)
        return error;
    error = is_dot(name) ? (directory ? -EINVAL : -EISDIR) : dir->ops->lookup(dir, name, &target);
    if (error)
        target = NULL;
    else if (directory && !is_directory(target))
        error = -ENOTDIR;
    else if (!directory && is_directory(target))
        error = -EISDIR;
    else if (target->covered_by || !dir->ops->unlink)
        error = -EBUSY;
    else
        error = dir->ops->unlink(dir, name, target);
    inode_drop(target);
    inode_drop(dir);
    release(name);
    return error;
}

int sys_unlinkat(int dirfd, u32 path, u32 flags) {
    return remove(dirfd, path, flags & AT_REMOVEDIR);
}

int sys_unlink(u32 path) {
    return remove(AT_FDCWD, path, false);
}

int sys_rmdir(u32 path) {
    return remove(AT_FDCWD, path, true);
}

/* Whether `dir` is `above` or lies below it. */
static int lies_below(struct inode *dir, struct inode *above) {
    dir = inode_use(dir);
    while (dir != above && dir != dir->mount->root) {
        struct inode *parent;
        int error = dir->ops->lookup(dir, "..", &parent);
        inode_drop(dir);
        if (error)
            return error;
        dir = parent;
    }
    int result = dir == above;
    inode_drop(dir);
    return result;
}

/* Names `old` and `name` in two directories; `moved` exists, `replaced` may be NULL. */
static int rename_checked(struct inode *from, const char *old, struct inode *to, const char *name,
                          struct inode *moved, struct inode *replaced) {
    if (from->mount != to->mount)
        return -EXDEV;
    if (!from->ops->rename)
        return -EPERM;
    if (moved == replaced)
        return 0;
    if (moved->covered_by || (replaced && replaced->covered_by))
        return -EBUSY;
    if (replaced && is_directory(replaced) && !is_directory(moved))
        return -EISDIR;
    if (replaced && !is_directory(replaced) && is_directory(moved))
        return -ENOTDIR;
    int below = is_directory(moved) ? lies_below(to, moved) : 0;
    if (below)
        return below < 0 ? below : -EINVAL;
    return from->ops->rename(from, old, to, name, moved, replaced);
}

int sys_renameat2(int old_dirfd, u32 old_path, int dirfd, u32 path, u32 flags) {
    struct inode *from = NULL, *to = NULL, *moved = NULL, *replaced = NULL;
    char *old = NULL, *name = NULL;
    int error = flags & ~1u ? -EINVAL : find_parent(old_dirfd, old_path, &from, &old);
    if (!error)
        error = find_parent(dirfd, path, &to, &name);
    if (!error && (is_dot(old) || is_dot(name)))
        error = -EBUSY;
    if (!error)
        error = from->ops->lookup(from, old, &moved);
    if (!error) {
        int missing = to->ops->lookup(to, name, &replaced);
        if (missing)
            replaced = NULL;
        error = missing == -ENOENT ? 0 : missing;
        if (!error && replaced && flags & 1)
            error = -EEXIST; /* RENAME_NOREPLACE */
        if (!error)
            error = rename_checked(from, old, to, name, moved, replaced);
    } else {
        moved = NULL;
    }
    inode_drop(moved);
    inode_drop(replaced);
    inode_drop(from);
    inode_drop(to);
    release(old);
    release(name);
    return error;
}

int sys_renameat(int old_dirfd, u32 old, int dirfd, u32 path) {
    return sys_renameat2(old_dirfd, old, dirfd, path, 0);
}

int sys_rename(u32 old, u32 path) {
    return sys_renameat2(AT_FDCWD, old, AT_FDCWD, path, 0);
}

/* --- what is known of a file ---------------------------------------------------------------- */

static u32 blocks_of(struct inode *i) {
    return i->blocks ? i->blocks : S_ISDIR(i->mode) ? 0 : i->ops == &ramfs_ops ? 0 : (i->size + 511) / 512;
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

static int give_old_stat(struct inode *i, u32 to) {
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
        .stx_rdev_major = i->device >> 8, .stx_rdev_minor = i->device & 0xff, .stx_dev_minor = i->mount->number,
    };
    return copy_to_user(to, &s, sizeof(s));
}

typedef int giver(struct inode *i, u32 to);

static int stat_path(int dirfd, u32 path, u32 flags, u32 to, giver *give) {
    struct inode *i;
    int error = find(dirfd, path, flags, &i);
    if (error)
        return error;
    error = give(i, to);
    inode_drop(i);
    return error;
}

/* A pipe or a socket has no inode: it gets one for the answer. */
static int stat_file(u32 fd, u32 to, giver *give) {
    static struct inode nowhere = {.mode = S_IFIFO | 0600, .links = 1, .number = 1};
    struct file *f = descriptor_file(fd);
    if (!f)
        return -EBADF;
    nowhere.mount = mounts;
    nowhere.ops = root_inode->ops;
    return give(f->inode ? f->inode : &nowhere, to);
}

int sys_stat64(u32 path, u32 to) {
    return stat_path(AT_FDCWD, path, 0, to, give_stat64);
}

int sys_lstat64(u32 path, u32 to) {
    return stat_path(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, to, give_stat64);
}

int sys_fstat64(u32 fd, u32 to) {
    return stat_file(fd, to, give_stat64);
}

static bool is_fd(u32 path, u32 flags) {
    char c = 1;
    return flags & AT_EMPTY_PATH && (!path || (!copy_from_user(&c, path, 1) && !c));
}

int sys_fstatat64(int dirfd, u32 path, u32 to, u32 flags) {
    if (is_fd(path, flags) && dirfd != AT_FDCWD)
        return stat_file((u32)dirfd, to, give_stat64);
    return stat_path(dirfd, path, flags, to, give_stat64);
}

int sys_statx(int dirfd, u32 path, u32 flags, u32 mask, u32 to) {
    (void)mask;
    if (is_fd(path, flags) && dirfd != AT_FDCWD)
        return stat_file((u32)dirfd, to, give_statx);
    return stat_path(dirfd, path, flags, to, give_statx);
}

int sys_old_stat(u32 path, u32 to) {
    return stat_path(AT_FDCWD, path, 0, to, give_old_stat);
}

int sys_old_lstat(u32 path, u32 to) {
    return stat_path(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, to, give_old_stat);
}

int sys_old_fstat(u32 fd, u32 to) {
    return stat_file(fd, to, give_old_stat);
}

int sys_readlinkat(int dirfd, u32 path, u32 to, u32 size) {
    struct inode *i;
    int error = (int)size <= 0 ? -EINVAL : find(dirfd, path, AT_SYMLINK_NOFOLLOW, &i);
    if (error)
        return error;
    struct transfer t = {to, size, 0, false};
    error = S_ISLNK(i->mode) ? i->ops->read(i, &t, 0) : -EINVAL;
    inode_drop(i);
    return error ? error : (int)t.done;
}

int sys_readlink(u32 path, u32 to, u32 size) {
    return sys_readlinkat(AT_FDCWD, path, to, size);
}

int sys_faccessat(int dirfd, u32 path, u32 how) {
    struct inode *i;
    int error = find(dirfd, path, 0, &i);
    if (error)
        return error;
    if (how & 1 && S_ISREG(i->mode) && !(i->mode & 0111))
        error = -EACCES;
    if (how & 2 && i->mount->read_only)
        error = -EROFS;
    inode_drop(i);
    return error;
}

int sys_access(u32 path, u32 how) {
    return sys_faccessat(AT_FDCWD, path, how);
}

/* --- changing it ---------------------------------------------------------------------------- */

static int changed(struct inode *i) {
    i->ctime = now_seconds();
    if (i->ops->changed)
        i->ops->changed(i);
    return 0;
}

static int change_mode(struct inode *i, u32 mode) {
    if (i->mount->read_only)
        return -EROFS;
    i->mode = (i->mode & S_IFMT) | (mode & 07777);
    return changed(i);
}

static int change_owner(struct inode *i, u32 uid, u32 gid) {
    if (i->mount->read_only)
        return -EROFS;
    i->uid = uid == -1u ? i->uid : uid;
    i->gid = gid == -1u ? i->gid : gid;
    return changed(i);
}

int sys_fchmodat(int dirfd, u32 path, u32 mode) {
    struct inode *i;
    int error = find(dirfd, path, 0, &i);
    if (error)
        return error;
    error = change_mode(i, mode);
    inode_drop(i);
    return error;
}

int sys_chmod(u32 path, u32 mode) {
    return sys_fchmodat(AT_FDCWD, path, mode);
}

int sys_fchmod(u32 fd, u32 mode) {
    struct file *f = descriptor_file(fd);
    return !f ? -EBADF : f->inode ? change_mode(f->inode, mode) : 0;
}

int sys_fchownat(int dirfd, u32 path, u32 uid, u32 gid, u32 flags) {
    struct inode *i;
    int error = find(dirfd, path, flags, &i);
    if (error)
        return error;
    error = change_owner(i, uid, gid);
    inode_drop(i);
    return error;
}

int sys_chown(u32 path, u32 uid, u32 gid) {
    return sys_fchownat(AT_FDCWD, path, uid, gid, 0);
}

int sys_lchown(u32 path, u32 uid, u32 gid) {
    return sys_fchownat(AT_FDCWD, path, uid, gid, AT_SYMLINK_NOFOLLOW);
}

int sys_fchown(u32 fd, u32 uid, u32 gid) {
    struct file *f = descriptor_file(fd);
    return !f ? -EBADF : f->inode ? change_owner(f->inode, uid, gid) : 0;
}

/* Access and modification time; nanoseconds may say "now" or "leave it". */
enum { TIME_NOW = 0x3fffffff, TIME_OMIT = 0x3ffffffe };

static int set_times(int dirfd, u32 path, u32 flags, u32 atime, u32 atime_ns, u32 mtime, u32 mtime_ns) {
    struct inode *i;
    int error = 0;
    if (path) {
        error = find(dirfd, path, flags, &i);
    } else {
        struct file *f = descriptor_file((u32)dirfd);
        if (!f || !f->inode)
            return -EBADF;
        i = inode_use(f->inode);
    }
    if (error)
        return error;
    if (i->mount->read_only)
        error = -EROFS;
    if (!error && atime_ns != TIME_OMIT)
        i->atime = atime_ns == TIME_NOW ? now_seconds() : atime;
    if (!error && mtime_ns != TIME_OMIT)
        i->mtime = mtime_ns == TIME_NOW ? now_seconds() : mtime;
    if (!error)
        changed(i);
    inode_drop(i);
    return error;
}

int sys_utime(u32 path, u32 times) {
    u32 t[2];
    if (!times)
        return set_times(AT_FDCWD, path, 0, 0, TIME_NOW, 0, TIME_NOW);
    return copy_from_user(t, times, 8) ? -EFAULT : set_times(AT_FDCWD, path, 0, t[0], 0, t[1], 0);
}

int sys_utimes(u32 path, u32 times) {
    u32 t[4];
    if (!times)
        return set_times(AT_FDCWD, path, 0, 0, TIME_NOW, 0, TIME_NOW);
    return copy_from_user(t, times, 16) ? -EFAULT : set_times(AT_FDCWD, path, 0, t[0], 0, t[2], 0);
}

int sys_utimensat(int dirfd, u32 path, u32 times, u32 flags) {
    struct timespec32 t[2] = {{0, TIME_NOW}, {0, TIME_NOW}};
    if (times && copy_from_user(t, times, sizeof(t)))
        return -EFAULT;
    return set_times(dirfd, path, flags, (u32)t[0].seconds, (u32)t[0].nanoseconds, (u32)t[1].seconds,
                     (u32)t[1].nanoseconds);
}

int sys_utimensat64(int dirfd, u32 path, u32 times, u32 flags) {
    struct timespec64 t[2] = {{0, TIME_NOW, 0}, {0, TIME_NOW, 0}};
    if (times && copy_from_user(t, times, sizeof(t)))
        return -EFAULT;
    return set_times(dirfd, path, flags, (u32)t[0].seconds, (u32)t[0].nanoseconds, (u32)t[1].seconds,
                     (u32)t[1].nanoseconds);
}

/* --- directories and mounts ----------------------------------------------------------------- */

static int enter_directory(struct inode *i) {
    if (!is_directory(i)) {
        inode_drop(i);
        return -ENOTDIR;
    }
    inode_drop(current->cwd);
    current->cwd = i;
    return 0;
}

int sys_chdir(u32 path) {
    struct inode *i;
    int error = find(AT_FDCWD, path, 0, &i);
    return error ? error : enter_directory(i);
}

int sys_fchdir(u32 fd) {
    struct file *f = descriptor_file(fd);
    if (!f || !f->inode)
        return -EBADF;
    return enter_directory(inode_use(f->inode));
}

int sys_getcwd(u32 to, u32 size) {
    char *path = allocate(PATH_SIZE);
    int n = path ? path_of(current->cwd, path, PATH_SIZE) : -ENOMEM;
    if (n > 0 && (u32)n > size)
        n = -ERANGE;
    if (n > 0 && copy_to_user(to, path, (u32)n))
        n = -EFAULT;
    release(path);
    return n;
}

int sys_umask(u32 mask) {
    u32 old = current->umask;
    current->umask = mask & 0777;
    return (int)old;
}

static int mount_at(const char *source, const char *target, const char *type, bool read_only, struct inode *on) {
    struct inode *device;
    struct mount *m;
    if (!strcmp(type, "ramfs") || !strcmp(type, "tmpfs")) {
        struct inode *root = ramfs_tree("ramfs");
        if (!root)
            return -ENOMEM;
        m = root->mount;
        copy_string(m->source, source, sizeof(m->source));
        copy_string(m->target, target, sizeof(m->target));
        int error = mount_attach(m, on);
        return error;
    }
    if (strcmp(type, "cowfs"))
        return !strcmp(type, "proc") || !strcmp(type, "devtmpfs") || !strcmp(type, "sysfs") ? -EBUSY : -ENODEV;
    int error = path_find(current->cwd, source, true, &device);
    if (error)
        return error;
    error = S_ISBLK(device->mode) ? cowfs_mount(source, device, on, target, read_only) : -EINVAL;
    inode_drop(device);
    return error;
}

int sys_mount(u32 source_at, u32 target_at, u32 type_at, u32 flags) {
    char source[64], target[64], type[16] = "";
    struct inode *on;
    if (flags & MS_REMOUNT)
        return 0;
    if (copy_string_from_user(source, source_at, sizeof(source)) < 0 ||
        copy_string_from_user(target, target_at, sizeof(target)) < 0 ||
        copy_string_from_user(type, type_at, sizeof(type)) < 0)
        return -EFAULT;
    int error = path_find(current->cwd, target, true, &on);
    if (error)
        return error;
    error = !is_directory(on) ? -ENOTDIR : on == on->mount->root ? -EBUSY
            : mount_at(source, target, type, flags & MS_RDONLY, on);
    if (error)
        inode_drop(on);
    return error;
}

int sys_umount2(u32 path) {
    struct inode *i;
    int error = find(AT_FDCWD, path, 0, &i);
    if (error)
        return error;
    struct mount *m = i->mount;
    bool root = i == m->root;
    inode_drop(i);
    if (!root || !m->covered)
        return -EINVAL;
    error = m->leave ? m->leave(m) : -EBUSY;
    if (error)
        return error;
    m->covered->covered_by = NULL;
    inode_drop(m->covered);
    for (struct mount **link = &mounts; *link; link = &(*link)->next)
        if (*link == m) {
            *link = m->next;
            break;
        }
    release(m);
    return 0;
}

int sys_umount(u32 path) {
    return sys_umount2(path);
}

int sys_chroot(u32 path) {
    struct inode *i;
    int error = find(AT_FDCWD, path, 0, &i);
    if (error)
        return error;
    bool same = i == root_inode;
    inode_drop(i);
    return same ? 0 : -EPERM;
}

static int give_statfs(struct mount *m, u32 to) {
    struct statfs64 s = {.f_bsize = PAGE, .f_frsize = PAGE, .f_namelen = NAME_SIZE - 1};
    if (m->usage)
        m->usage(m, &s);
    return copy_to_user(to, &s, sizeof(s));
}

int sys_statfs64(u32 path, u32 size, u32 to) {
    struct inode *i;
    int error = size != sizeof(struct statfs64) ? -EINVAL : find(AT_FDCWD, path, 0, &i);
    if (error)
        return error;
    error = give_statfs(i->mount, to);
    inode_drop(i);
    return error;
}

int sys_fstatfs64(u32 fd, u32 size, u32 to) {
    struct file *f = descriptor_file(fd);
    if (!f)
        return -EBADF;
    return size != sizeof(struct statfs64) || !f->inode ? -EINVAL : give_statfs(f->inode->mount, to);
}
