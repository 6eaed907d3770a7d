/*
 * cowfs: operations and commits. Each operation runs under the file system's lock and changes memory
 * only; a commit, under the same lock, makes the state in memory the state on the disk. So it sees
 * each operation whole.
 *
 * Kept: all blocks are on the disk before the superblock that leads to them is written.
 */
#include "cowfs.h"

u32 super_checksum(const struct superblock *s) {
    u32 sum = 0x811c9dc5; /* FNV-1a */
    const u8 *p = (const u8 *)s;
    for (u32 i = 0; i < offsetof(struct superblock, checksum); i++)
        sum = (sum ^ p[i]) * 0x01000193;
    return sum;
}

static int write_super(struct cowfs *fs) {
    OWNED(memory) u8 *sector = allocate_zeroed(SECTOR);
    if (!sector)
        return -ENOMEM;
    fs->super.generation++;
    fs->super.checksum = super_checksum(&fs->super);
    memcpy(sector, &fs->super, sizeof(fs->super));
    return disk_write(fs->drive, fs->super.generation % 2 * BLOCK_SECTORS, 1, sector);
}

int cow_commit(struct cowfs *fs) {
    if (!fs->changed || fs->mount->read_only)
        return 0;
    int error = buffer_write_all(fs->drive);
    if (!error)
        error = disk_flush(fs->drive);
    if (!error)
        error = write_super(fs);
    if (!error)
        error = disk_flush(fs->drive);
    if (error)
        return error;
    memcpy(fs->committed, fs->used, fs->super.blocks / 8 + 1);
    fs->free = count_free(fs);
    fs->changed = false;
    return 0;
}

/* Begin an operation. One that takes space leaves a reserve for those that give some back. */
int cow_begin(struct cowfs *fs, bool takes_space, struct sleep_lock **held) {
    *held = lock(&fs->lock);
    if (fs->free < 2 * RESERVE && fs->changed)
        cow_commit(fs); /* frees what only the last commit still held */
    return fs->free >= (takes_space ? RESERVE : RESERVE / 3) ? 0 : -ENOSPC;
}
