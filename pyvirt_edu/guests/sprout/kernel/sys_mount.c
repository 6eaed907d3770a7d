/* System calls on the tree of names as a whole: the current directory, mount and umount, sync. */
#include "../include/files.h"

/* --- where a process stands ----------------------------------------------------------------- */

/* Takes the reference over. */
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
    int error = user_find(AT_FDCWD, path, 0, &i);
    return error ? error : enter_directory(i);
}

int sys_fchdir(u32 fd) {
    struct file *f = descriptor_file(fd);
    return f && f->inode ? enter_directory(inode_use(f->inode)) : -EBADF;
}

int sys_getcwd(u32 to, u32 size) {
    OWNED(memory) char *path = allocate(PATH_SIZE);
    int length = path ? path_of(current->cwd, path, PATH_SIZE) : -ENOMEM;
    if (length < 0)
        return length;
    if ((u32)length > size)
        return -ERANGE;
    return copy_to_user(to, path, (u32)length) ? -EFAULT : length;
}

/* To where it is already, and nowhere else. */
int sys_chroot(u32 path) {
    OWNED(inode) struct inode *i = NULL;
    int error = user_find(AT_FDCWD, path, 0, &i);
    return error ? error : i == root_inode ? 0 : -EPERM;
}

/* --- mount and umount ----------------------------------------------------------------------- */

static int mount_ramfs(const char *source, const char *target, struct inode *on) {
    struct inode *root = ramfs_tree("ramfs", source, target);
    return root ? mount_attach(root->mount, on) : -ENOMEM;
}

static int mount_disk(const char *source, const char *target, bool read_only, struct inode *on) {
    OWNED(inode) struct inode *device = NULL;
    int error = path_find(current->cwd, source, true, &device);
    if (error)
        return error;
    return S_ISBLK(device->mode) ? cowfs_mount(source, device, on, target, read_only) : -EINVAL;
}

static int mount_type(const char *type, const char *source, const char *target, bool read_only,
                      struct inode *on) {
    if (!is_directory(on))
        return -ENOTDIR;
    if (on == on->mount->root)
        return -EBUSY;
    if (!strcmp(type, "ramfs") || !strcmp(type, "tmpfs"))
        return mount_ramfs(source, target, on);
    if (!strcmp(type, "cowfs"))
        return mount_disk(source, target, read_only, on);
    return !strcmp(type, "proc") || !strcmp(type, "devtmpfs") || !strcmp(type, "sysfs") ? -EBUSY : -ENODEV;
}

int sys_mount(u32 source_at, u32 target_at, u32 type_at, u32 flags) {
    char source[64], target[64], type[16];
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
    error = mount_type(type, source, target, flags & MS_RDONLY, on);
    if (error)
        inode_drop(on); /* else the mount has it now */
    return error;
}

int sys_umount(u32 path) {
    struct inode *i;
    int error = user_find(AT_FDCWD, path, 0, &i);
    if (error)
        return error;
    struct mount *m = i->mount;
    bool root = i == m->root;
    inode_drop(i); /* else our own look at it would keep it busy */
    if (!root || !m->covered)
        return -EINVAL;
    error = m->leave ? m->leave(m) : -EBUSY;
    if (!error)
        mount_detach(m);
    return error;
}

/* --- to the disk ---------------------------------------------------------------------------- */

int sys_sync(void) {
    sync_all();
    return 0;
}

/* cowfs commits whole: one file is written by writing all. */
int sys_fsync(u32 fd) {
    struct file *f = descriptor_file(fd);
    if (!f || !f->inode)
        return f ? -EINVAL : -EBADF;
    if (S_ISBLK(f->inode->mode))
        return disk_flush(f->inode->device & 0xff);
    struct mount *m = f->inode->mount;
    return m->sync ? m->sync(m) : 0;
}
