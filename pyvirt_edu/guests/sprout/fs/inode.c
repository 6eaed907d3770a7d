/*
 * Inodes and mounts: the part that all file systems share. An inode in memory stands for a stored
 * object; its `ops` lead to the file system that keeps it.
 *
 * Kept: an inode is in memory as long as somebody refers to it (`users`); the last one to drop it
 * calls the file system's forget().
 */
#include "../include/files.h"

struct mount *mounts;
struct inode *root_inode;

struct inode *inode_new(struct mount *m, const struct inode_ops *ops, u32 number, u32 mode) {
    struct inode *i = allocate_zeroed(sizeof(*i));
    if (!i)
        return NULL;
    i->ops = ops;
    i->mount = m;
    i->number = number;
    i->mode = mode;
    i->links = i->users = 1;
    i->atime = i->mtime = i->ctime = now_seconds();
    return i;
}

struct inode *inode_use(struct inode *i) {
    i->users++;
    return i;
}

void inode_drop(struct inode *i) {
    if (!i)
        return;
    if (!i->users)
        panic("inode %u of %s is dropped twice", i->number, i->mount->type);
    if (--i->users == 0)
        i->ops->forget(i);
}

bool is_directory(struct inode *i) {
    return S_ISDIR(i->mode);
}

bool is_device(struct inode *i) {
    return S_ISCHR(i->mode) || S_ISBLK(i->mode);
}

u32 now_seconds(void) {
    return boot_time + (ticks - 1) / HZ;
}

int inode_read(struct inode *i, void *to, u32 size, u32 offset) {
    struct transfer t = {(u32)to, size, 0, true};
    int error = i->ops->read(i, &t, offset);
    return error < 0 ? error : (int)t.done;
}

int fill_entry(struct entry *e, u32 inode, u32 type, const char *name) {
    e->inode = inode;
    e->type = type;
    copy_string(e->name, name, NAME_SIZE);
    return 1;
}

struct mount *mount_new(const char *type, const char *source, const char *target) {
    static u32 number;
    struct mount *m = allocate_zeroed(sizeof(*m));
    if (!m)
        return NULL;
    m->type = type;
    m->number = ++number;
    copy_string(m->source, source, sizeof(m->source));
    copy_string(m->target, target, sizeof(m->target));
    return m;
}

/* Takes over the reference to `on`; NULL: the root. */
int mount_attach(struct mount *m, struct inode *on) {
    if (on && (on->covered_by || on == root_inode))
        return -EBUSY;
    m->covered = on;
    if (on)
        on->covered_by = m;
    else
        root_inode = m->root;
    struct mount **link = &mounts;
    while (*link)
        link = &(*link)->next;
    *link = m;
    return 0;
}

/* The opposite; the file system has left already. */
void mount_detach(struct mount *m) {
    struct mount **link = &mounts;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    m->covered->covered_by = NULL;
    inode_drop(m->covered);
    release(m);
}

int sync_all(void) {
    int result = 0;
    for (struct mount *m = mounts; m; m = m->next)
        if (m->sync) {
            int error = m->sync(m);
            result = result ? result : error;
        }
    return result;
}
