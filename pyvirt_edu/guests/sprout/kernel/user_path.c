/*
 * Paths as programs give them: the address of a text, and a descriptor of the directory from which
 * it counts (AT_FDCWD: the current one). All system calls that take names come through here.
 *
 * Kept: what these functions give is the caller's, after an error too; so all callers hold it OWNED.
 */
#include "../include/files.h"

int user_text(u32 at, char **text) {
    *text = allocate(PATH_SIZE);
    return *text ? copy_string_from_user(*text, at, PATH_SIZE) : -ENOMEM;
}

/* The path, and where the walk along it begins. */
int user_place(int dirfd, u32 at, char **path, struct inode **start) {
    int length = user_text(at, path);
    if (length < 0)
        return length;
    bool current_directory = dirfd == AT_FDCWD || **path == '/';
    struct file *f = descriptor_file((u32)dirfd);
    if (!current_directory && !(f && f->inode))
        return -EBADF;
    *start = inode_use(current_directory ? current->cwd : f->inode);
    return 0;
}

int user_find(int dirfd, u32 at, u32 flags, struct inode **found) {
    OWNED(memory) char *path = NULL;
    OWNED(inode) struct inode *start = NULL;
    int error = user_place(dirfd, at, &path, &start);
    if (error)
        return error;
    if (*path || !(flags & AT_EMPTY_PATH))
        return path_find(start, path, !(flags & AT_SYMLINK_NOFOLLOW), found);
    *found = inode_use(start);
    return 0;
}

/* The directory where the path's last part is or will be, in order to change it; and that part. */
int user_parent(int dirfd, u32 at, struct inode **dir, char **name) {
    OWNED(memory) char *path = NULL;
    OWNED(inode) struct inode *start = NULL;
    int error = user_place(dirfd, at, &path, &start);
    if (error)
        return error;
    *name = allocate(NAME_SIZE);
    error = *name ? path_parent(start, path, dir, *name) : -ENOMEM;
    if (error)
        return error;
    OWNED(inode) struct inode *there = NULL;
    bool slash = path[strlen(path) - 1] == '/';
    if (slash && !(*dir)->ops->lookup(*dir, *name, &there) && !is_directory(there))
        return -ENOTDIR;
    return (*dir)->mount->read_only ? -EROFS : 0;
}
