/*
 * Blocks of a disk in memory. A block that is in use is pinned; others make room, the one that was
 * used longest ago first, and are written back if they changed.
 *
 * Kept: a block of a disk is in at most one buffer.
 */
#include "buffer.h"

enum { BUFFERS = 64 };

static struct buffer buffers[BUFFERS];
static u32 now;

int buffer_write(struct buffer *b) {
    int error = b->dirty ? disk_write(b->drive, b->block * BLOCK_SECTORS, BLOCK_SECTORS, b->data) : 0;
    if (!error)
        b->dirty = false;
    return error;
}

static struct buffer *find(u32 drive, u32 block) {
    for (u32 i = 0; i < BUFFERS; i++)
        if (buffers[i].valid && buffers[i].drive == drive && buffers[i].block == block)
            return &buffers[i];
    return NULL;
}

static struct buffer *make_room(void) {
    struct buffer *oldest = NULL;
    for (u32 i = 0; i < BUFFERS; i++) {
        struct buffer *b = &buffers[i];
        if (!b->pins && (!oldest || !b->valid || (oldest->valid && b->used < oldest->used)))
            oldest = b;
    }
    if (!oldest || buffer_write(oldest))
        return NULL;
    oldest->valid = false;
    if (!oldest->data)
        oldest->data = allocate(BLOCK);
    return oldest->data ? oldest : NULL;
}

/* The block, pinned; NULL: it cannot be read, or there is no room. With `fresh` it is all zeros. */
struct buffer *buffer_get(u32 drive, u32 block, bool fresh) {
    struct buffer *b = find(drive, block);
    if (!b) {
        b = make_room();
        if (!b || (!fresh && disk_read(drive, block * BLOCK_SECTORS, BLOCK_SECTORS, b->data)))
            return NULL;
        *b = (struct buffer){.drive = drive, .block = block, .valid = true, .data = b->data};
    }
    if (fresh)
        memset(b->data, 0, BLOCK);
    b->used = ++now;
    b->pins++;
    return b;
}

void buffer_put(struct buffer *b) {
    if (b)
        b->pins--;
}

/* What is in the block does not matter any more. */
void buffer_forget(u32 drive, u32 block) {
    struct buffer *b = find(drive, block);
    if (b && !b->pins)
        b->valid = b->dirty = false;
}

int buffer_write_all(u32 drive) {
    for (u32 i = 0; i < BUFFERS; i++)
        if (buffers[i].valid && buffers[i].drive == drive) {
            int error = buffer_write(&buffers[i]);
            if (error)
                return error;
        }
    return 0;
}

void buffer_drop_all(u32 drive) {
    for (u32 i = 0; i < BUFFERS; i++)
        if (buffers[i].valid && buffers[i].drive == drive)
            buffers[i].valid = buffers[i].dirty = false;
}
