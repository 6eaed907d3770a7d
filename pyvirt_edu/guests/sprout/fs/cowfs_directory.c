/* cowfs: directories, files of entries with 64 bytes each: a name and the inode's number. */
#include "cowfs.h"

/* --- entries -------------------------------------------------------------------------------- */

static int read_entry(struct inode *dir, u32 index, struct disk_entry *e) {
    OWNED(buffer) struct buffer *b = NULL;
    int error = block_to_read(fs_of(dir), &cow(dir)->stored, index / ENTRIES_PER_BLOCK, &b);
    *e = b ? ((struct disk_entry *)b->data)[index % ENTRIES_PER_BLOCK] : (struct disk_entry){0};
    e->name[COW_NAME - 1] = 0;
    return error;
}

static int write_entry(struct inode *dir, u32 index, const char *name, u32 number) {
    OWNED(buffer) struct buffer *b = NULL;
    struct disk_entry e = {.inode = number};
    copy_string(e.name, name, COW_NAME);
    int error = block_to_write(fs_of(dir), &cow(dir)->stored, index / ENTRIES_PER_BLOCK, &b);
    if (error)
        return error;
    memcpy(b->data + index % ENTRIES_PER_BLOCK * ENTRY_SIZE, &e, sizeof(e));
    dir->size = MAX(dir->size, (index + 1) * ENTRY_SIZE);
    dir->mtime = dir->ctime = now_seconds();
    return cow_store(dir);
}

/* The place of a name, or of the first free entry (name NULL); -ENOENT: there is none. */
static int find_entry(struct inode *dir, const char *name, u32 *index, u32 *number) {
    static const struct disk_entry hole; /* only on a damaged disk has a directory one */
    u32 count = dir->size / ENTRY_SIZE;
    for (u32 at = 0; at < count; at += ENTRIES_PER_BLOCK) {
        OWNED(buffer) struct buffer *b = NULL;
        int error = block_to_read(fs_of(dir), &cow(dir)->stored, at / ENTRIES_PER_BLOCK, &b);
        if (error)
            return error;
        for (u32 i = 0; i < ENTRIES_PER_BLOCK && at + i < count; i++) {
            const struct disk_entry *e = b ? &((struct disk_entry *)b->data)[i] : &hole;
            if (name ? !e->inode || strncmp(e->name, name, COW_NAME) : e->inode)
                continue;
            *index = at + i;
            *number = e->inode;
            return 0;
        }
    }
    return -ENOENT;
}

static int add_entry(struct inode *dir, const char *name, u32 number) {
    u32 index, none;
    int error = find_entry(dir, NULL, &index, &none);
    if (error == -ENOENT)
        index = dir->size / ENTRY_SIZE;
    return error && error != -ENOENT ? error : write_entry(dir, index, name, number);
}

static int check_new(struct inode *dir, const char *name) {
    u32 index, number;
    if (strlen(name) >= COW_NAME)
        return -ENAMETOOLONG;
    int error = dir->links ? find_entry(dir, name, &index, &number) : 0;
    return !dir->links ? -ENOENT : !error ? -EEXIST : error == -ENOENT ? 0 : error;
}

/* The entry of a file that was looked up before: since then it may have gone. */
static int find_again(struct inode *dir, const char *name, struct inode *target, u32 *index) {
    u32 number;
    int error = find_entry(dir, name, index, &number);
    return error ? error : number == target->number ? 0 : -ENOENT;
}

/* --- looking -------------------------------------------------------------------------------- */

int cow_lookup(struct inode *dir, const char *name, struct inode **found) {
    OWNED(lock) struct sleep_lock *held = lock(&fs_of(dir)->lock);
    u32 index, number = cow(dir)->stored.device;
    int error = strcmp(name, "..") ? find_entry(dir, name, &index, &number) : 0;
    return error ? error : cow_load(fs_of(dir), number, found);
}

/* Positions: ".", "..", the entries. */
int cow_list(struct inode *dir, u32 *position, struct entry *e) {
    OWNED(lock) struct sleep_lock *held = lock(&fs_of(dir)->lock);
    struct disk_inode d;
    while (*position < 2 + dir->size / ENTRY_SIZE) {
        struct disk_entry stored;
        u32 at = (*position)++;
        if (at < 2)
            return fill_entry(e, at ? cow(dir)->stored.device : dir->number, DT_DIR, at ? ".." : ".");
        int error = read_entry(dir, at - 2, &stored);
        if (error)
            return error;
        if (stored.inode) {
            u32 type = cow_fetch(fs_of(dir), stored.inode, &d) ? 0 : d.mode >> 12 & 15;
            return fill_entry(e, stored.inode, type, stored.name);
        }
    }
    return 0;
}

/* --- changes -------------------------------------------------------------------------------- */

static int create(struct inode *dir, const char *name, const struct disk_inode *d, struct inode **made) {
    int error = check_new(dir, name);
    if (!error)
        error = cow_new(fs_of(dir), d, made);
    if (error)
        return error;
    dir->links += is_directory(*made); /* its ".." */
    error = add_entry(dir, name, (*made)->number);
    if (error) {
        dir->links -= is_directory(*made);
        (*made)->links = 0; /* so that it goes */
    }
    return error;
}

int cow_create(struct inode *dir, const char *name, u32 mode, u32 device, struct inode **made) {
    OWNED(inode) struct inode *new = NULL; /* given back after the lock, which that may need */
    OWNED(lock) struct sleep_lock *held = NULL;
    struct disk_inode d = {.mode = mode, .links = S_ISDIR(mode) ? 2 : 1, .mtime = now_seconds(),
                           .ctime = now_seconds(), .device = S_ISDIR(mode) ? dir->number : device};
    int error = cow_begin(fs_of(dir), true, &held);
    if (!error)
        error = create(dir, name, &d, &new);
    if (!error)
        *made = inode_use(new);
    return error;
}

int cow_link(struct inode *dir, const char *name, struct inode *target) {
    OWNED(lock) struct sleep_lock *held = NULL;
    int error = cow_begin(fs_of(dir), true, &held);
    if (!error)
        error = target->links ? check_new(dir, name) : -ENOENT;
    if (!error)
        error = add_entry(dir, name, target->number);
    if (error)
        return error;
    target->links++;
    target->ctime = now_seconds();
    return cow_store(target);
}

static int check_empty(struct inode *dir) {
    struct disk_entry e = {0};
    int error = 0;
    for (u32 at = 0; at < dir->size / ENTRY_SIZE && !error && !e.inode; at++)
        error = read_entry(dir, at, &e);
    return error ? error : e.inode ? -ENOTEMPTY : 0;
}

static int remove(struct inode *dir, const char *name, struct inode *target) {
    u32 index;
    int error = find_again(dir, name, target, &index);
    if (!error && is_directory(target))
        error = check_empty(target);
    if (error)
        return error;
    if (is_directory(target)) {
        dir->links--;
        cow(target)->stored.device = ROOT_NUMBER; /* for those who still stand in it */
    }
    error = write_entry(dir, index, "", 0);
    if (error)
        return error;
    target->links = is_directory(target) ? 0 : target->links - 1;
    target->ctime = now_seconds();
    return cow_store(target);
}

int cow_unlink(struct inode *dir, const char *name, struct inode *target) {
    OWNED(lock) struct sleep_lock *held = NULL;
    int error = cow_begin(fs_of(dir), false, &held);
    return error ? error : remove(dir, name, target);
}

int cow_rename(struct inode *from, const char *old, struct inode *to, const char *name, struct inode *moved,
               struct inode *replaced) {
    OWNED(lock) struct sleep_lock *held = NULL;
    u32 index;
    int error = cow_begin(fs_of(from), true, &held);
    if (!error)
        error = find_again(from, old, moved, &index);
    if (!error)
        error = replaced ? remove(to, name, replaced) : check_new(to, name);
    if (!error)
        error = write_entry(from, index, "", 0);
    if (!error && is_directory(moved) && from != to) {
        from->links--;
        to->links++;
        cow(moved)->stored.device = to->number;
        error = cow_store(from);
    }
    if (!error)
        error = add_entry(to, name, moved->number);
    return error ? error : cow_store(moved);
}
