/* cowfs: inodes, which lie in a table that is itself a file, 64 bytes each. */
#include "cowfs.h"

/* --- in the table --------------------------------------------------------------------------- */

int cow_fetch(struct cowfs *fs, u32 number, struct disk_inode *d) {
    OWNED(buffer) struct buffer *b = NULL;
    if (!number || number >= fs->super.table.size / INODE_SIZE)
        return -EUCLEAN;
    int error = block_to_read(fs, &fs->super.table, number / INODES_PER_BLOCK, &b);
    if (error || !b)
        return error ? error : -EUCLEAN;
    memcpy(d, b->data + number % INODES_PER_BLOCK * INODE_SIZE, INODE_SIZE);
    return 0;
}

int cow_put(struct cowfs *fs, u32 number, const struct disk_inode *d) {
    OWNED(buffer) struct buffer *b = NULL;
    int error = block_to_write(fs, &fs->super.table, number / INODES_PER_BLOCK, &b);
    if (error)
        return error;
    memcpy(b->data + number % INODES_PER_BLOCK * INODE_SIZE, d, INODE_SIZE);
    fs->super.table.size = MAX(fs->super.table.size, (number + 1) * INODE_SIZE);
    return 0;
}

static int free_number(struct cowfs *fs, u32 *number) {
    u32 count = fs->super.table.size / INODE_SIZE, n = MAX(fs->free_inode, (u32)ROOT_NUMBER + 1);
    for (; n < count; n++) {
        struct disk_inode d;
        int error = cow_fetch(fs, n, &d);
        if (error)
            return error;
        if (!d.mode)
            break;
    }
    *number = n;
    fs->free_inode = n + 1;
    return 0;
}

/* --- in memory ------------------------------------------------------------------------------ */

/* What programs see, to what is stored. */
int cow_store(struct inode *i) {
    struct disk_inode *d = &cow(i)->stored;
    d->mode = i->mode;
    d->links = i->links;
    d->uid = i->uid;
    d->gid = i->gid;
    d->size = i->size;
    d->mtime = i->mtime;
    d->ctime = i->ctime;
    if (!is_directory(i))
        d->device = i->device;
    return cow_put(fs_of(i), i->number, d);
}

static struct inode *enter(struct cowfs *fs, u32 number, const struct disk_inode *d) {
    struct cow_inode *c = allocate_zeroed(sizeof(*c));
    if (!c)
        return NULL;
    c->stored = *d;
    c->inode = (struct inode){
        .ops = &cowfs_ops, .mount = fs->mount, .users = 1, .number = number, .mode = d->mode,
        .links = d->links, .uid = d->uid, .gid = d->gid, .size = d->size,
        .mtime = d->mtime, .ctime = d->ctime, .atime = d->mtime, /* who reads is not noted */
        .device = S_ISDIR(d->mode) ? 0 : d->device,
    };
    c->next = fs->inodes;
    fs->inodes = c;
    return &c->inode;
}

/* The inode in memory, read if need be. */
int cow_load(struct cowfs *fs, u32 number, struct inode **found) {
    struct disk_inode d;
    for (struct cow_inode *c = fs->inodes; c; c = c->next)
        if (c->inode.number == number) {
            *found = inode_use(&c->inode);
            return 0;
        }
    int error = cow_fetch(fs, number, &d);
    if (!error && (!d.mode || !d.links || d.size > 0x7fffffff)) {
        print("cowfs: inode %u is damaged\n", number);
        error = -EUCLEAN;
    }
    if (error)
        return error;
    *found = enter(fs, number, &d);
    return *found ? 0 : -ENOMEM;
}

/* One more; it has no name yet. */
int cow_new(struct cowfs *fs, const struct disk_inode *d, struct inode **made) {
    u32 number;
    int error = free_number(fs, &number);
    if (!error)
        error = cow_put(fs, number, d);
    if (error)
        return error;
    *made = enter(fs, number, d);
    return *made ? 0 : -ENOMEM;
}

/* Its blocks and its place are free. */
static void remove(struct cowfs *fs, struct inode *i) {
    static const struct disk_inode free_inode;
    OWNED(lock) struct sleep_lock *held = lock(&fs->lock);
    if (fs->free < RESERVE)
        cow_commit(fs);
    free_blocks(fs, &cow(i)->stored, 0);
    cow_put(fs, i->number, &free_inode);
    fs->free_inode = MIN(fs->free_inode, i->number);
}

/* Nobody has it open: an inode without a name goes. */
static void forget(struct inode *i) {
    struct cowfs *fs = fs_of(i);
    if (!i->links && !i->mount->read_only)
        remove(fs, i);
    struct cow_inode **link = &fs->inodes;
    while (&(*link)->inode != i)
        link = &(*link)->next;
    *link = cow(i)->next;
    release(cow(i));
}

static void changed(struct inode *i) {
    OWNED(lock) struct sleep_lock *held = NULL;
    if (!cow_begin(fs_of(i), false, &held))
        cow_store(i);
}

const struct inode_ops cowfs_ops = {
    .lookup = cow_lookup, .create = cow_create, .link = cow_link, .unlink = cow_unlink, .rename = cow_rename,
    .list = cow_list, .read = cow_read, .write = cow_write, .resize = cow_resize, .changed = changed,
    .forget = forget,
};
