/*
 * System calls that make and remove names: open, mkdir, link, unlink, rename and their like.
 *
 * Who may do what is not looked at: every process is root's. Only executing asks for an x bit.
 */
#include "../include/files.h"

int sys_openat(int dirfd, u32 at, u32 flags, u32 mode) {
    OWNED(memory) char *path = NULL;
    OWNED(inode) struct inode *start = NULL;
    struct file *f;
    int error = user_place(dirfd, at, &path, &start);
    if (!error)
        error = file_open(start, path, flags, mode & 07777 & ~current->umask, &f);
    return error ? error : descriptor_new(f, 0, flags & O_CLOEXEC);
}

int sys_umask(u32 mask) {
    u32 old = current->umask;
    current->umask = mask & 0777;
    return (int)old;
}

/* --- new names ------------------------------------------------------------------------------ */

static int make(int dirfd, u32 path, u32 mode, u32 device, struct inode **made) {
    OWNED(memory) char *name = NULL;
    OWNED(inode) struct inode *dir = NULL;
    int error = user_parent(dirfd, path, &dir, &name);
    if (error)
        return error;
    return dir->ops->create ? dir->ops->create(dir, name, mode, device, made) : -EPERM;
}

int sys_mknodat(int dirfd, u32 path, u32 mode, u32 device) {
    OWNED(inode) struct inode *made = NULL;
    u32 type = mode & S_IFMT ? mode & S_IFMT : (u32)S_IFREG;
    if (type == S_IFDIR || type == S_IFLNK)
        return -EINVAL;
    return make(dirfd, path, type | (mode & 07777 & ~current->umask), device, &made);
}

int sys_mkdirat(int dirfd, u32 path, u32 mode) {
    OWNED(inode) struct inode *made = NULL;
    return make(dirfd, path, S_IFDIR | (mode & 07777 & ~current->umask), 0, &made);
}

int sys_symlinkat(u32 target, int dirfd, u32 path) {
    OWNED(memory) char *text = NULL;
    OWNED(inode) struct inode *made = NULL;
    int length = user_text(target, &text);
    if (length <= 0)
        return length ? length : -ENOENT;
    int error = make(dirfd, path, S_IFLNK | 0777, 0, &made);
    struct transfer t = {(u32)text, (u32)length, 0, true};
    return error ? error : made->ops->write(made, &t, 0);
}

int sys_linkat(int old_dirfd, u32 old, int dirfd, u32 path, u32 flags) {
    OWNED(memory) char *name = NULL;
    OWNED(inode) struct inode *target = NULL, *dir = NULL;
    u32 how = flags & AT_SYMLINK_FOLLOW ? flags : flags | AT_SYMLINK_NOFOLLOW;
    int error = user_find(old_dirfd, old, how, &target);
    if (error)
        return error;
    error = is_directory(target) ? -EPERM : user_parent(dirfd, path, &dir, &name);
    if (error)
        return error;
    if (dir->mount != target->mount)
        return -EXDEV;
    return dir->ops->link ? dir->ops->link(dir, name, target) : -EPERM;
}

/* --- old ones ------------------------------------------------------------------------------- */

static bool is_dot(const char *name) {
    return !strcmp(name, ".") || !strcmp(name, "..");
}

int sys_unlinkat(int dirfd, u32 path, u32 flags) {
    bool directory = flags & AT_REMOVEDIR;
    OWNED(memory) char *name = NULL;
    OWNED(inode) struct inode *dir = NULL, *target = NULL;
    int error = user_parent(dirfd, path, &dir, &name);
    if (error)
        return error;
    if (is_dot(name))
        return directory ? -EINVAL : -EISDIR;
    error = dir->ops->lookup(dir, name, &target);
    if (error)
        return error;
    if (directory != is_directory(target))
        return directory ? -ENOTDIR : -EISDIR;
    return target->covered_by || !dir->ops->unlink ? -EBUSY : dir->ops->unlink(dir, name, target);
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
    if (replaced && is_directory(replaced) != is_directory(moved))
        return is_directory(moved) ? -ENOTDIR : -EISDIR;
    int below = is_directory(moved) ? lies_below(to, moved) : 0;
    if (below)
        return below < 0 ? below : -EINVAL;
    return from->ops->rename(from, old, to, name, moved, replaced);
}

int sys_renameat2(int old_dirfd, u32 old_path, int dirfd, u32 path, u32 flags) {
    enum { NO_REPLACE = 1 };
    OWNED(memory) char *old = NULL, *name = NULL;
    OWNED(inode) struct inode *from = NULL, *to = NULL, *moved = NULL, *replaced = NULL;
    int error = flags & ~(u32)NO_REPLACE ? -EINVAL : user_parent(old_dirfd, old_path, &from, &old);
    if (!error)
        error = user_parent(dirfd, path, &to, &name);
    if (!error)
        error = is_dot(old) || is_dot(name) ? -EBUSY : from->ops->lookup(from, old, &moved);
    if (error)
        return error;
    error = to->ops->lookup(to, name, &replaced);
    if (!error && flags & NO_REPLACE)
        return -EEXIST;
    return error && error != -ENOENT ? error : rename_checked(from, old, to, name, moved, replaced);
}
