/* cowfs: what is in files. A block that was never written is a hole, and reads as zeros. */
#include "cowfs.h"

static int read_part(struct inode *i, u32 offset, u8 *data, u32 size) {
    OWNED(lock) struct sleep_lock *held = lock(&fs_of(i)->lock);
    OWNED(buffer) struct buffer *b = NULL;
    int error = block_to_read(fs_of(i), &cow(i)->stored, offset / BLOCK, &b);
    if (b)
        memcpy(data, b->data + offset % BLOCK, size);
    else
        memset(data, 0, size);
    return error;
}

/* Copies, so that the lock is free again when the reader's memory is touched: that may need us. */
int cow_read(struct inode *i, struct transfer *t, u32 offset) {
    OWNED(memory) u8 *data = allocate(BLOCK);
    int error = data ? 0 : -ENOMEM;
    while (!error && t->left && offset < i->size) {
        u32 n = MIN(MIN(t->left, i->size - offset), BLOCK - offset % BLOCK);
        error = read_part(i, offset, data, n);
        if (!error)
            error = give(t, data, n);
        offset += n;
    }
    return error;
}

static int write_part(struct inode *i, u32 offset, const u8 *data, u32 size) {
    OWNED(lock) struct sleep_lock *held = NULL;
    OWNED(buffer) struct buffer *b = NULL;
    int error = cow_begin(fs_of(i), true, &held);
    if (!error)
        error = block_to_write(fs_of(i), &cow(i)->stored, offset / BLOCK, &b);
    if (error)
        return error;
    memcpy(b->data + offset % BLOCK, data, size);
    i->size = MAX(i->size, offset + size);
    i->mtime = i->ctime = now_seconds();
    return cow_store(i);
}

/* Block by block; each is an operation of its own. */
int cow_write(struct inode *i, struct transfer *t, u32 offset) {
    OWNED(memory) u8 *data = allocate(BLOCK);
    int error = data ? 0 : -ENOMEM;
    while (!error && t->left) {
        u32 n = MIN(t->left, BLOCK - offset % BLOCK);
        error = take(t, data, n);
        if (error)
            break;
        error = write_part(i, offset, data, n);
        t->done -= error ? n : 0; /* taken, but not kept */
        offset += n;
    }
    return error;
}

/* Zeros behind the end of the file, in its last block: a later growth must find them. */
static int clear_rest(struct inode *i, u32 size) {
    OWNED(buffer) struct buffer *b = NULL;
    u32 block = 0;
    int error = size % BLOCK ? block_of(fs_of(i), &cow(i)->stored, size / BLOCK, &block) : 0;
    if (!error && block)
        error = block_to_write(fs_of(i), &cow(i)->stored, size / BLOCK, &b);
    if (b)
        memset(b->data + size % BLOCK, 0, BLOCK - size % BLOCK);
    return error;
}

int cow_resize(struct inode *i, u32 size) {
    OWNED(lock) struct sleep_lock *held = NULL;
    int error = cow_begin(fs_of(i), false, &held);
    if (!error && size < i->size) {
        free_blocks(fs_of(i), &cow(i)->stored, (size + BLOCK - 1) / BLOCK);
        error = clear_rest(i, size);
    }
    if (error)
        return error;
    i->size = size;
    return cow_store(i);
}
