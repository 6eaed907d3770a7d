/*
 * cowfs: mounting. The free blocks are not stored: they are those that no file has, and a walk over
 * all inodes finds out. The walk also finds damage: a block that is not on the disk, or that two
 * files have. A damaged disk can still be read, but is not written.
 */
#include "cowfs.h"

static bool good(const struct superblock *s, u32 disk_blocks) {
    return s->magic == MAGIC && s->version == VERSION && s->checksum == super_checksum(s) &&
           s->blocks > FIRST_BLOCK && s->blocks <= MIN(disk_blocks, (u32)MOST_BLOCKS) &&
           s->table.size % INODE_SIZE == 0;
}

/* The newer of two good superblocks. 1: both places are blank. */
static int read_super(struct cowfs *fs, u32 disk_blocks) {
    OWNED(memory) u8 *sector = allocate(SECTOR);
    bool blank = true, found = false;
    int error = sector ? 0 : -ENOMEM;
    for (u32 place = 0; place < 2 && !error; place++) {
        struct superblock s;
        error = disk_read(fs->drive, place * BLOCK_SECTORS, 1, sector);
        for (u32 i = 0; i < SECTOR && !error; i++)
            blank &= sector[i] == 0;
        memcpy(&s, sector, sizeof(s));
        if (!error && good(&s, disk_blocks) && (!found || s.generation > fs->super.generation)) {
            fs->super = s;
            found = true;
        }
    }
    return error ? error : found ? 0 : blank ? 1 : -EINVAL;
}

/* --- the walk ------------------------------------------------------------------------------- */

static bool mark(struct cowfs *fs, u32 block, u32 number) {
    bool bad = block < FIRST_BLOCK || block >= fs->super.blocks;
    if (bad || bit(fs->used, block)) {
        print("cowfs: inode %u has block %u, which %s\n", number, block,
              bad ? "is not on the disk" : "another one has too");
        return false;
    }
    set_bit(fs->used, block, true);
    return true;
}

/* Whether all is well below a pointer, `depth` levels above the data. */
static bool mark_tree(struct cowfs *fs, u32 block, u32 depth, u32 number) {
    if (!block)
        return true;
    if (!mark(fs, block, number))
        return false;
    if (!depth)
        return true;
    OWNED(buffer) struct buffer *b = buffer_get(fs->drive, block, false);
    bool fine = b != NULL;
    for (u32 i = 0; b && i < POINTERS; i++)
        fine &= mark_tree(fs, ((u32 *)b->data)[i], depth - 1, number);
    return fine;
}

static bool mark_inode(struct cowfs *fs, const struct disk_inode *d, u32 number) {
    bool fine = true;
    for (u32 i = 0; i < DIRECT; i++)
        fine &= mark_tree(fs, d->direct[i], 0, number);
    return mark_tree(fs, d->indirect, 1, number) & mark_tree(fs, d->twice_indirect, 2, number) & fine;
}

static bool walk(struct cowfs *fs) {
    bool fine = mark_inode(fs, &fs->super.table, 0);
    u32 count = fs->super.table.size / INODE_SIZE;
    for (u32 first = 0; first < count; first += INODES_PER_BLOCK) {
        OWNED(buffer) struct buffer *b = NULL;
        if (block_to_read(fs, &fs->super.table, first / INODES_PER_BLOCK, &b) || !b)
            return false;
        const struct disk_inode *d = (void *)b->data;
        for (u32 i = 0; i < INODES_PER_BLOCK && first + i < count; i++)
            if (d[i].mode && d[i].links) /* without a name: it was open when the power went */
                fine &= mark_inode(fs, &d[i], first + i);
    }
    return fine;
}

/* Inodes that were removed but still open when the last commit was made are free now. */
static void clear_nameless(struct cowfs *fs) {
    static const struct disk_inode free_inode;
    for (u32 n = ROOT_NUMBER + 1; n < fs->super.table.size / INODE_SIZE; n++) {
        struct disk_inode d;
        if (cow_fetch(fs, n, &d))
            return;
        if (d.mode && !d.links)
            cow_put(fs, n, &free_inode);
    }
}

/* --- mount and umount ----------------------------------------------------------------------- */

/* A blank disk gets an empty root directory. */
static int format(struct cowfs *fs, u32 disk_blocks) {
    struct disk_inode root = {.mode = S_IFDIR | 0755, .links = 2, .mtime = now_seconds(),
                              .ctime = now_seconds(), .device = ROOT_NUMBER};
    if (disk_blocks < FIRST_BLOCK + 2 * RESERVE)
        return -ENOSPC;
    print("cowfs: a blank disk, it is formatted\n");
    fs->super = (struct superblock){MAGIC, VERSION, .blocks = MIN(disk_blocks, (u32)MOST_BLOCKS)};
    fs->free = count_free(fs);
    int error = cow_put(fs, ROOT_NUMBER, &root);
    return error ? error : cow_commit(fs);
}

static int sync(struct mount *m) {
    struct cowfs *fs = m->data;
    OWNED(lock) struct sleep_lock *held = lock(&fs->lock);
    return cow_commit(fs);
}

static void usage(struct mount *m, struct statfs64 *s) {
    struct cowfs *fs = m->data;
    s->f_type = MAGIC;
    s->f_bsize = s->f_frsize = BLOCK;
    s->f_blocks = fs->super.blocks - FIRST_BLOCK;
    for (u32 b = FIRST_BLOCK; b < fs->super.blocks; b++)
        s->f_bfree += !bit(fs->used, b); /* what a commit would free counts as free */
    s->f_bavail = s->f_bfree > RESERVE ? s->f_bfree - RESERVE : 0;
    s->f_namelen = COW_NAME - 1;
}

static void dispose(struct cowfs *fs) {
    buffer_drop_all(fs->drive);
    release(fs->used);
    release(fs->committed);
    release(fs);
}

static bool in_use(struct cowfs *fs) {
    struct inode *root = fs->mount->root;
    return fs->inodes != (struct cow_inode *)root || fs->inodes->next || root->users > 1;
}

static int leave(struct mount *m) {
    struct cowfs *fs = m->data;
    int error = in_use(fs) ? -EBUSY : sync(m);
    if (error || in_use(fs)) /* somebody may have come while the disk worked */
        return error ? error : -EBUSY;
    inode_drop(m->root);
    dispose(fs);
    return 0;
}

static int start(struct cowfs *fs, u32 disk_blocks, bool read_only) {
    int error = read_super(fs, disk_blocks);
    if (error == 1)
        return read_only ? -EINVAL : format(fs, disk_blocks);
    if (error)
        return error;
    fs->mount->read_only = true; /* until it is found to be whole */
    bool fine = walk(fs);
    memcpy(fs->committed, fs->used, BLOCK);
    fs->free = count_free(fs);
    if (!fine)
        print("cowfs: the disk is damaged, it can only be read\n");
    if (fine && !read_only) {
        fs->mount->read_only = false;
        clear_nameless(fs);
    }
    return 0;
}

static bool mounted(u32 drive) {
    for (struct mount *m = mounts; m; m = m->next)
        if (m->sync == sync && ((struct cowfs *)m->data)->drive == drive)
            return true;
    return false;
}

/* The state in memory of a file system whose disk is not looked at yet. */
static struct cowfs *new_cowfs(struct mount *m, u32 drive) {
    struct cowfs *fs = allocate_zeroed(sizeof(*fs));
    if (!fs)
        return NULL;
    fs->mount = m;
    fs->drive = drive;
    fs->used = allocate_zeroed(BLOCK);
    fs->committed = allocate_zeroed(BLOCK);
    buffer_drop_all(drive);
    if (fs->used && fs->committed)
        return fs;
    dispose(fs);
    return NULL;
}

int cowfs_mount(const char *source, struct inode *device, struct inode *on, const char *target,
                bool read_only) {
    u32 drive = device->device & 0xff;
    if (mounted(drive))
        return -EBUSY;
    struct mount *m = mount_new("cowfs", source, target);
    struct cowfs *fs = m ? new_cowfs(m, drive) : NULL;
    if (!fs) {
        release(m);
        return -ENOMEM;
    }
    m->data = fs;
    m->sync = sync;
    m->usage = usage;
    m->leave = leave;
    int error = start(fs, disk_sectors(drive) / BLOCK_SECTORS, read_only);
    if (!error)
        error = cow_load(fs, ROOT_NUMBER, &m->root);
    if (!error && !is_directory(m->root))
        error = -EUCLEAN;
    if (!error)
        error = mount_attach(m, on);
    if (error) {
        dispose(fs);
        release(m);
    }
    return error;
}
