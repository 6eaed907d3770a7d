/* cowfs: blocks, the way from a file to them, and the commit. See cowfs.h for the rule they keep. */
#include "cowfs.h"

bool bit(const u8 *map, u32 n) {
    return map[n / 8] >> n % 8 & 1;
}

static void set_bit(u8 *map, u32 n, bool value) {
    map[n / 8] = (u8)((map[n / 8] & ~(1u << n % 8)) | (u32)value << n % 8);
}

u32 count_free(struct cowfs *fs) {
    u32 n = 0;
    for (u32 b = FIRST_BLOCK; b < fs->super.blocks; b++)
        n += !bit(fs->used, b) && !bit(fs->committed, b);
    return n;
}

/* The next free one after the one given out last. */
static u32 new_block(struct cowfs *fs) {
    u32 count = fs->super.blocks - FIRST_BLOCK;
    for (u32 i = 0; i < count; i++) {
        u32 b = FIRST_BLOCK + (fs->last_block + i) % count;
        if (!bit(fs->used, b) && !bit(fs->committed, b)) {
            fs->last_block = b - FIRST_BLOCK + 1;
            set_bit(fs->used, b, true);
            fs->free--;
            return b;
        }
    }
    return 0;
}

/* A block of the last commit stays as it is until the next one; a fresh one can be used again. */
static void free_block(struct cowfs *fs, u32 b) {
    set_bit(fs->used, b, false);
    if (!bit(fs->committed, b)) {
        buffer_forget(fs->drive, b);
        fs->free++;
    }
}

static struct buffer *get(struct cowfs *fs, u32 block, bool fresh, int *error) {
    if (block < FIRST_BLOCK || block >= fs->super.blocks) {
        print("cowfs: block %u is not on the disk\n", block);
        *error = -EUCLEAN;
        return NULL;
    }
    struct buffer *b = buffer_get(fs->drive, block, fresh);
    if (!b)
        *error = -EIO;
    return b;
}

/*
 * The block that *slot points to, to be changed: a fresh one in its place, if it is part of the
 * last commit. *slot itself must be in a block that may be changed.
 */
static struct buffer *make_fresh(struct cowfs *fs, u32 *slot, int *error) {
    u32 old = *slot;
    struct buffer *b;
    if (old && !bit(fs->committed, old)) {
        b = get(fs, old, false, error);
    } else {
        u32 new = new_block(fs);
        if (!new) {
            *error = -ENOSPC;
            return NULL;
        }
        b = get(fs, new, true, error);
        struct buffer *from = b && old ? get(fs, old, false, error) : NULL;
        if (!b || (old && !from)) {
            if (b)
                buffer_put(b);
            free_block(fs, new);
            return NULL;
        }
        if (from) {
            memcpy(b->data, from->data, BLOCK);
            buffer_put(from);
            free_block(fs, old);
        }
        *slot = new;
    }
    if (b)
        b->dirty = fs->changed = true;
    return b;
}

/* The way to block `index` of a file: which pointer of the inode, and then which in each block. */
static u32 way(u32 index, u32 steps[2]) {
    if (index < DIRECT)
        return 0;
    index -= DIRECT;
    if (index < POINTERS) {
        steps[0] = index;
        return 1;
    }
    index -= POINTERS;
    steps[0] = index / POINTERS;
    steps[1] = index % POINTERS;
    return 2;
}

static u32 *first_slot(struct disk_inode *d, u32 index, u32 depth) {
    return depth == 0 ? &d->direct[index] : depth == 1 ? &d->indirect : &d->twice_indirect;
}

/* Its number; 0: a hole. */
int block_of(struct cowfs *fs, const struct disk_inode *d, u32 index, u32 *block) {
    u32 steps[2], depth = way(index, steps);
    int error = 0;
    *block = *first_slot((struct disk_inode *)d, index, depth);
    for (u32 i = 0; i < depth && *block; i++) {
        struct buffer *b = get(fs, *block, false, &error);
        if (!b)
            return error;
        *block = ((u32 *)b->data)[steps[i]];
        buffer_put(b);
    }
    return 0;
}

/* NULL with *error 0: a hole. */
struct buffer *block_to_read(struct cowfs *fs, const struct disk_inode *d, u32 index, int *error) {
    u32 block;
    *error = block_of(fs, d, index, &block);
    return *error || !block ? NULL : get(fs, block, false, error);
}

struct buffer *block_to_write(struct cowfs *fs, struct disk_inode *d, u32 index, int *error) {
    u32 steps[2], depth = way(index, steps);
    *error = 0;
    struct buffer *b = make_fresh(fs, first_slot(d, index, depth), error);
    for (u32 i = 0; i < depth && b; i++) {
        struct buffer *next = make_fresh(fs, &((u32 *)b->data)[steps[i]], error);
        buffer_put(b);
        b = next;
    }
    return b;
}

/* Blocks below a pointer, `depth` levels above the data, from the one numbered `from` on. */
static void free_tree(struct cowfs *fs, u32 *slot, u32 depth, u32 from) {
    int error;
    if (!*slot || *slot < FIRST_BLOCK || *slot >= fs->super.blocks)
        return;
    struct buffer *b = !depth ? NULL : from ? make_fresh(fs, slot, &error) : get(fs, *slot, false, &error);
    u32 each = depth == 2 ? POINTERS : 1;
    for (u32 i = b ? from / each : POINTERS; i < POINTERS; i++) {
        u32 pointer = ((u32 *)b->data)[i], part = i == from / each ? from % each : 0;
        free_tree(fs, &pointer, depth - 1, part);
        if (from)
            ((u32 *)b->data)[i] = pointer;
    }
    if (b)
        buffer_put(b);
    if (!from) {
        free_block(fs, *slot);
        *slot = 0;
        fs->changed = true;
    }
}

/* Free all blocks of a file from the one numbered `from` on. */
void free_blocks(struct cowfs *fs, struct disk_inode *d, u32 from) {
    for (u32 i = from; i < DIRECT; i++)
        free_tree(fs, &d->direct[i], 0, 0);
    u32 once = from > DIRECT ? from - DIRECT : 0, twice = once > POINTERS ? once - POINTERS : 0;
    if (once < POINTERS)
        free_tree(fs, &d->indirect, 1, once);
    free_tree(fs, &d->twice_indirect, 2, twice);
}

/* Make the state in memory the state on the disk. */
int commit(struct cowfs *fs) {
    if (!fs->changed || fs->mount->read_only)
        return 0;
    u8 *sector = allocate_zeroed(SECTOR);
    int error = sector ? buffer_write_all(fs->drive) : -ENOMEM;
    if (!error)
        error = disk_flush(fs->drive);
    if (!error) {
        fs->super.generation++;
        fs->super.checksum = super_checksum(&fs->super);
        memcpy(sector, &fs->super, sizeof(fs->super));
        error = disk_write(fs->drive, fs->super.generation % 2 * BLOCK_SECTORS, 1, sector);
    }
    if (!error)
        error = disk_flush(fs->drive);
    release(sector);
    if (error)
        return error;
    memcpy(fs->committed, fs->used, fs->super.blocks / 8 + 1);
    fs->free = count_free(fs);
    fs->changed = false;
    return 0;
}
