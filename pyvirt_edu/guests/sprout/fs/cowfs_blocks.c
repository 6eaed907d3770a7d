/* cowfs: blocks, and the way from a file to them. See cowfs.h for the rule they keep. */
#include "cowfs.h"

bool bit(const u8 *map, u32 n) {
    return map[n / 8] >> n % 8 & 1;
}

void set_bit(u8 *map, u32 n, bool value) {
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

static int get(struct cowfs *fs, u32 block, bool fresh, struct buffer **b) {
    if (block < FIRST_BLOCK || block >= fs->super.blocks) {
        print("cowfs: block %u is not on the disk\n", block);
        return -EUCLEAN;
    }
    *b = buffer_get(fs->drive, block, fresh);
    return *b ? 0 : -EIO;
}

/* A fresh block, with what *slot points to in it; *slot points to the fresh one afterwards. */
static int copy_block(struct cowfs *fs, u32 *slot, struct buffer **b) {
    OWNED(buffer) struct buffer *from = NULL;
    int error = *slot ? get(fs, *slot, false, &from) : 0;
    if (error)
        return error;
    u32 new = new_block(fs);
    if (!new)
        return -ENOSPC;
    error = get(fs, new, true, b);
    if (error) {
        free_block(fs, new);
        return error;
    }
    if (from) {
        memcpy((*b)->data, from->data, BLOCK);
        free_block(fs, *slot);
    }
    *slot = new;
    return 0;
}

/*
 * The block that *slot points to, to be changed: a fresh one in its place, if it is part of the
 * last commit. *slot itself must be in a block that may be changed.
 */
static int make_fresh(struct cowfs *fs, u32 *slot, struct buffer **b) {
    bool fresh = *slot && !bit(fs->committed, *slot);
    int error = fresh ? get(fs, *slot, false, b) : copy_block(fs, slot, b);
    if (!error)
        (*b)->dirty = fs->changed = true;
    return error;
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
    *block = *first_slot((struct disk_inode *)d, index, depth);
    for (u32 i = 0; i < depth && *block; i++) {
        OWNED(buffer) struct buffer *b = NULL;
        int error = get(fs, *block, false, &b);
        if (error)
            return error;
        *block = ((u32 *)b->data)[steps[i]];
    }
    return 0;
}

int block_to_read(struct cowfs *fs, const struct disk_inode *d, u32 index, struct buffer **b) {
    u32 block;
    int error = block_of(fs, d, index, &block);
    return error || !block ? error : get(fs, block, false, b);
}

int block_to_write(struct cowfs *fs, struct disk_inode *d, u32 index, struct buffer **b) {
    u32 steps[2], depth = way(index, steps);
    int error = make_fresh(fs, first_slot(d, index, depth), b);
    for (u32 i = 0; i < depth && !error; i++) {
        OWNED(buffer) struct buffer *above = *b;
        *b = NULL;
        error = make_fresh(fs, &((u32 *)above->data)[steps[i]], b);
    }
    return error;
}

/* Blocks below a pointer, `depth` levels above the data, from the one numbered `from` on. */
static void free_tree(struct cowfs *fs, u32 *slot, u32 depth, u32 from) {
    struct buffer *b = NULL;
    if (!*slot || *slot < FIRST_BLOCK || *slot >= fs->super.blocks)
        return;
    if (depth && (from ? make_fresh(fs, slot, &b) : get(fs, *slot, false, &b)))
        b = NULL; /* it cannot be read: what is below it is lost until the next mount */
    u32 each = depth == 2 ? POINTERS : 1;
    for (u32 i = b ? from / each : POINTERS; i < POINTERS; i++) {
        u32 pointer = ((u32 *)b->data)[i], part = i == from / each ? from % each : 0;
        free_tree(fs, &pointer, depth - 1, part);
        if (from)
            ((u32 *)b->data)[i] = pointer;
    }
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
