/*
 * cowfs: inodes, directories and contents. Each operation runs under the file system's lock and
 * changes memory only; so a commit, which takes the lock too, sees each of them whole.
 */
#include "cowfs.h"

static struct cowfs *fs_of(struct inode *i) {
    return i->mount->data;
}

static struct cow_inode *cow(struct inode *i) {
    return (struct cow_inode *)i;
}

/* Begin an operation. One that takes space leaves a reserve for those that give some back. */
static int begin(struct cowfs *fs, bool takes_space) {
    lock(&fs->lock);
    if (fs->free < 2 * RESERVE && fs->changed)
        commit(fs); /* frees what only the last commit still held */
    if (fs->free >= (takes_space ? RESERVE : RESERVE / 3))
        return 0;
    unlock(&fs->lock);
    return -ENOSPC;
}

static int end(struct cowfs *fs, int error) {
    unlock(&fs->lock);
    return error;
}

/* --- inodes --------------------------------------------------------------------------------- */

int inode_store(struct cowfs *fs, u32 number, const struct disk_inode *d) {
    int error;
    struct buffer *b = block_to_write(fs, &fs->super.table, number / INODES_PER_BLOCK, &error);
    if (!b)
        return error;
    memcpy(b->data + number % INODES_PER_BLOCK * INODE_SIZE, d, INODE_SIZE);
    buffer_put(b);
    fs->super.table.size = MAX(fs->super.table.size, (number + 1) * INODE_SIZE);
    return 0;
}

/* What programs see, to what is stored. */
static int store(struct inode *i) {
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
    return inode_store(fs_of(i), i->number, d);
}

static int fetch(struct cowfs *fs, u32 number, struct disk_inode *d) {
    int error;
    if (!number || number >= fs->super.table.size / INODE_SIZE)
        return -EUCLEAN;
    struct buffer *b = block_to_read(fs, &fs->super.table, number / INODES_PER_BLOCK, &error);
    if (!b)
        return error ? error : -EUCLEAN;
    memcpy(d, b->data + number % INODES_PER_BLOCK * INODE_SIZE, INODE_SIZE);
    buffer_put(b);
    return 0;
}

static struct inode *enter(struct cowfs *fs, u32 number, const struct disk_inode *d) {
    struct cow_inode *c = allocate_zeroed(sizeof(*c));
    if (!c)
        return NULL;
    c->stored = *d;
    c->inode = (struct inode){
        .ops = &cowfs_ops, .mount = fs->mount, .users = 1, .number = number, .mode = d->mode, .links = d->links,
        .uid = d->uid, .gid = d->gid, .size = d->size, .mtime = d->mtime, .ctime = d->ctime, .atime = d->mtime,
        .device = S_ISDIR(d->mode) ? 0 : d->device,
    };
    c->next = fs->inodes;
    fs->inodes = c;
    return &c->inode;
}

/* The inode in memory, read if need be. */
int inode_load(struct cowfs *fs, u32 number, struct inode **found) {
    struct disk_inode d;
    for (struct cow_inode *c = fs->inodes; c; c = c->next)
        if (c->inode.number == number) {
            *found = inode_use(&c->inode);
            return 0;
        }
    int error = fetch(fs, number, &d);
    if (!error && (!d.mode || !d.links || d.size > 0x7fffffff)) {
        print("cowfs: inode %u is damaged\n", number);
        error = -EUCLEAN;
    }
    if (error)
        return error;
    *found = enter(fs, number, &d);
    return *found ? 0 : -ENOMEM;
}

static int free_number(struct cowfs *fs, u32 *number) {
    u32 count = fs->super.table.size / INODE_SIZE;
    for (u32 n = MAX(fs->free_inode, (u32)ROOT_NUMBER + 1); n < count; n++) {
        struct disk_inode d;
        int error = fetch(fs, n, &d);
        if (error)
            return error;
        if (!d.mode) {
            *number = n;
            fs->free_inode = n + 1;
            return 0;
        }
    }
    *number = fs->free_inode = count;
    fs->free_inode++;
    return 0;
}

/* Nobody has it open: an inode without a name goes, with its blocks. */
static void forget(struct inode *i) {
    struct cowfs *fs = fs_of(i);
    if (!i->links && !i->mount->read_only) {
        static const struct disk_inode free_inode;
        lock(&fs->lock);
        if (fs->free < RESERVE)
            commit(fs);
        free_blocks(fs, &cow(i)->stored, 0);
        inode_store(fs, i->number, &free_inode);
        fs->free_inode = MIN(fs->free_inode, i->number);
        unlock(&fs->lock);
    }
    struct cow_inode **link = &fs->inodes;
    while (&(*link)->inode != i)
        link = &(*link)->next;
    *link = cow(i)->next;
    release(cow(i));
}

static void changed(struct inode *i) {
    struct cowfs *fs = fs_of(i);
    if (!begin(fs, false))
        end(fs, store(i));
}

/* --- directories ---------------------------------------------------------------------------- */

/* The place of a name, or of the first free entry (name NULL); -ENOENT: there is none. */
static int find_entry(struct inode *dir, const char *name, u32 *index, u32 *number) {
    struct cowfs *fs = fs_of(dir);
    u32 count = dir->size / ENTRY_SIZE;
    for (u32 at = 0; at < count; at += ENTRIES_PER_BLOCK) {
        int error;
        struct buffer *b = block_to_read(fs, &cow(dir)->stored, at / ENTRIES_PER_BLOCK, &error);
        if (error)
            return error;
        const struct disk_entry *e = b ? (void *)b->data : NULL;
        for (u32 i = 0; i < ENTRIES_PER_BLOCK && at + i < count; i++) {
            bool match = !b ? !name : name ? e[i].inode && !strncmp(e[i].name, name, COW_NAME) : !e[i].inode;
            if (!match)
                continue;
            *index = at + i;
            *number = b ? e[i].inode : 0;
            if (b)
                buffer_put(b);
            return 0;
        }
        if (b)
            buffer_put(b);
    }
    return -ENOENT;
}

static int write_entry(struct inode *dir, u32 index, const char *name, u32 number) {
    struct disk_entry e = {.inode = number};
    int error;
    if (number)
        copy_string(e.name, name, COW_NAME);
    struct buffer *b = block_to_write(fs_of(dir), &cow(dir)->stored, index / ENTRIES_PER_BLOCK, &error);
    if (!b)
        return error;
    memcpy(b->data + index % ENTRIES_PER_BLOCK * ENTRY_SIZE, &e, sizeof(e));
    buffer_put(b);
    dir->size = MAX(dir->size, (index + 1) * ENTRY_SIZE);
    dir->mtime = dir->ctime = now_seconds();
    return store(dir);
}

static int add_entry(struct inode *dir, const char *name, u32 number) {
    u32 index, unused;
    int error = find_entry(dir, NULL, &index, &unused);
    if (error == -ENOENT)
        index = dir->size / ENTRY_SIZE;
    else if (error)
        return error;
    return write_entry(dir, index, name, number);
}

static int lookup(struct inode *dir, const char *name, struct inode **found) {
    struct cowfs *fs = fs_of(dir);
    u32 index, number = cow(dir)->stored.device;
    lock(&fs->lock);
    int error = strcmp(name, "..") ? find_entry(dir, name, &index, &number) : 0;
    if (!error)
        error = inode_load(fs, number, found);
    return end(fs, error);
}

static int list(struct inode *dir, u32 *position, struct entry *e) {
    struct cowfs *fs = fs_of(dir);
    if (*position < 2) {
        e->inode = *position ? cow(dir)->stored.device : dir->number;
        e->type = DT_DIR;
        copy_string(e->name, *position ? ".." : ".", NAME_SIZE);
        ++*position;
        return 1;
    }
    lock(&fs->lock);
    for (u32 at = *position - 2; at < dir->size / ENTRY_SIZE; at++) {
        struct disk_inode d;
        int error;
        struct buffer *b = block_to_read(fs, &cow(dir)->stored, at / ENTRIES_PER_BLOCK, &error);
        if (error)
            return end(fs, error);
        if (!b)
            continue;
        struct disk_entry stored = ((struct disk_entry *)b->data)[at % ENTRIES_PER_BLOCK];
        buffer_put(b);
        if (!stored.inode)
            continue;
        stored.name[COW_NAME - 1] = 0;
        *position = at + 3;
        e->inode = stored.inode;
        e->type = fetch(fs, stored.inode, &d) ? 0 : d.mode >> 12 & 15;
        copy_string(e->name, stored.name, NAME_SIZE);
        return end(fs, 1);
    }
    return end(fs, 0);
}

static int create(struct inode *dir, const char *name, u32 mode, u32 device, struct inode **made) {
    struct cowfs *fs = fs_of(dir);
    struct disk_inode d = {.mode = mode, .links = S_ISDIR(mode) ? 2 : 1, .mtime = now_seconds(),
                           .ctime = now_seconds(), .device = S_ISDIR(mode) ? dir->number : device};
    u32 index, number;
    if (strlen(name) >= COW_NAME)
        return -ENAMETOOLONG;
    int error = begin(fs, true);
    if (error)
        return error;
    error = !dir->links ? -ENOENT : find_entry(dir, name, &index, &number);
    error = error == -ENOENT && dir->links ? 0 : error ? error : -EEXIST;
    if (!error)
        error = free_number(fs, &number);
    if (!error)
        error = inode_store(fs, number, &d);
    if (!error && !(*made = enter(fs, number, &d)))
        error = -ENOMEM;
    if (error)
        return end(fs, error);
    dir->links += S_ISDIR(mode) != 0;
    error = add_entry(dir, name, number);
    dir->links -= error && S_ISDIR(mode);
    end(fs, error);
    if (error) {
        (*made)->links = 0;
        inode_drop(*made);
    }
    return error;
}

static int link(struct inode *dir, const char *name, struct inode *target) {
    struct cowfs *fs = fs_of(dir);
    u32 index, number;
    if (strlen(name) >= COW_NAME)
        return -ENAMETOOLONG;
    int error = begin(fs, true);
    if (error)
        return error;
    error = find_entry(dir, name, &index, &number);
    error = error == -ENOENT && dir->links && target->links ? 0 : error ? error : -EEXIST;
    if (!error)
        error = add_entry(dir, name, target->number);
    if (!error) {
        target->links++;
        target->ctime = now_seconds();
        error = store(target);
    }
    return end(fs, error);
}

static int is_empty(struct inode *dir) {
    for (u32 at = 0; at < dir->size / ENTRY_SIZE; at++) {
        int error;
        struct buffer *b = block_to_read(fs_of(dir), &cow(dir)->stored, at / ENTRIES_PER_BLOCK, &error);
        bool used = b && ((struct disk_entry *)b->data)[at % ENTRIES_PER_BLOCK].inode;
        if (b)
            buffer_put(b);
        if (error || used)
            return error ? error : -ENOTEMPTY;
    }
    return 0;
}

/* The entry of a file that was looked up before: since then it may have gone. */
static int find_again(struct inode *dir, const char *name, struct inode *target, u32 *index) {
    u32 number;
    int error = find_entry(dir, name, index, &number);
    return error ? error : number == target->number ? 0 : -ENOENT;
}

static int remove_entry(struct inode *dir, const char *name, struct inode *target) {
    u32 index;
    int error = find_again(dir, name, target, &index);
    if (!error && is_directory(target))
        error = is_empty(target);
    if (!error && is_directory(target)) {
        dir->links--;
        cow(target)->stored.device = ROOT_NUMBER; /* for those who still stand in it */
    }
    if (!error)
        error = write_entry(dir, index, NULL, 0);
    if (!error) {
        target->links = is_directory(target) ? 0 : target->links - 1;
        target->ctime = now_seconds();
        error = store(target);
    }
    return error;
}

static int unlink(struct inode *dir, const char *name, struct inode *target) {
    struct cowfs *fs = fs_of(dir);
    int error = begin(fs, false);
    return error ? error : end(fs, remove_entry(dir, name, target));
}

static int rename(struct inode *from, const char *old, struct inode *to, const char *name, struct inode *moved,
                  struct inode *replaced) {
    struct cowfs *fs = fs_of(from);
    u32 index, other, number;
    if (strlen(name) >= COW_NAME)
        return -ENAMETOOLONG;
    int error = begin(fs, true);
    if (error)
        return error;
    error = to->links ? find_again(from, old, moved, &index) : -ENOENT;
    if (!error && !replaced && !find_entry(to, name, &other, &number))
        error = -EEXIST; /* it came meanwhile */
    if (!error && replaced)
        error = remove_entry(to, name, replaced);
    if (!error)
        error = write_entry(from, index, NULL, 0);
    if (!error && is_directory(moved) && from != to) {
        from->links--;
        to->links++;
        cow(moved)->stored.device = to->number;
        error = store(from);
    }
    if (!error)
        error = add_entry(to, name, moved->number);
    if (!error)
        error = store(moved);
    return end(fs, error);
}

/* --- contents ------------------------------------------------------------------------------- */

/* Copies, so that the lock is free again when the reader's memory is touched: that may need us. */
static int read(struct inode *i, struct transfer *t, u32 offset) {
    struct cowfs *fs = fs_of(i);
    u8 *data = allocate(BLOCK);
    int error = data ? 0 : -ENOMEM;
    while (!error && t->left && offset < i->size) {
        u32 n = MIN(MIN(t->left, i->size - offset), BLOCK - offset % BLOCK);
        lock(&fs->lock);
        struct buffer *b = block_to_read(fs, &cow(i)->stored, offset / BLOCK, &error);
        if (b) {
            memcpy(data, b->data + offset % BLOCK, n);
            buffer_put(b);
        } else {
            memset(data, 0, n);
        }
        unlock(&fs->lock);
        if (!error)
            error = give(t, data, n);
        offset += n;
    }
    release(data);
    return error;
}

/* Block by block; each is an operation of its own. */
static int write(struct inode *i, struct transfer *t, u32 offset) {
    struct cowfs *fs = fs_of(i);
    u8 *data = allocate(BLOCK);
    int error = data ? 0 : -ENOMEM;
    while (!error && t->left) {
        u32 n = MIN(t->left, BLOCK - offset % BLOCK);
        error = take(t, data, n);
        if (error)
            break;
        error = begin(fs, true);
        if (error) {
            t->done -= n; /* taken, but not kept */
            break;
        }
        struct buffer *b = block_to_write(fs, &cow(i)->stored, offset / BLOCK, &error);
        if (b) {
            memcpy(b->data + offset % BLOCK, data, n);
            buffer_put(b);
            offset += n;
            i->size = MAX(i->size, offset);
            i->mtime = i->ctime = now_seconds();
            error = store(i);
        }
        t->done -= error ? n : 0;
        end(fs, error);
    }
    release(data);
    return error;
}

static int resize(struct inode *i, u32 size) {
    struct cowfs *fs = fs_of(i);
    int error = begin(fs, false);
    if (error)
        return error;
    if (size < i->size) {
        u32 block;
        free_blocks(fs, &cow(i)->stored, (size + BLOCK - 1) / BLOCK);
        error = size % BLOCK ? block_of(fs, &cow(i)->stored, size / BLOCK, &block) : 0;
        if (!error && size % BLOCK && block) { /* a later growth must find zeros there */
            struct buffer *b = block_to_write(fs, &cow(i)->stored, size / BLOCK, &error);
            if (b) {
                memset(b->data + size % BLOCK, 0, BLOCK - size % BLOCK);
                buffer_put(b);
            }
        }
    }
    if (!error) {
        i->size = size;
        error = store(i);
    }
    return end(fs, error);
}

const struct inode_ops cowfs_ops = {
    .lookup = lookup, .create = create, .link = link, .unlink = unlink, .rename = rename, .list = list,
    .read = read, .write = write, .resize = resize, .changed = changed, .forget = forget,
};
