/* Blocks of a disk in memory: see buffer.c. */
#pragma once
#include "../include/files.h"

enum { BLOCK = 4096, BLOCK_SECTORS = BLOCK / SECTOR };

struct buffer {
    u32 drive, block, used;
    u16 pins;
    bool valid, dirty;
    u8 *data;
};

struct buffer *buffer_get(u32 drive, u32 block, bool fresh);
void buffer_put(struct buffer *b);
static inline void owned_buffer(struct buffer **b) {
    buffer_put(*b);
}
int buffer_write(struct buffer *b);
void buffer_forget(u32 drive, u32 block);
int buffer_write_all(u32 drive);
void buffer_drop_all(u32 drive);
