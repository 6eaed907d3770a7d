/*
 * cowfs, the file system on disk: what is stored, and what its files share.
 *
 * Kept, and why a power cut harms nothing: no block that the last commit can reach is ever written
 * again. A change goes to a fresh block; so its pointer changes, which goes to a fresh block too, up
 * to the superblock. A commit writes all fresh blocks, waits until they are on the disk, and then
 * writes one sector: the superblock, into the older of its two places. Whoever reads the disk
 * finds the state before that sector, or the one after it, whole.
 *
 * It is copy-on-write as in fork, with blocks for pages and the inode table for the page table.
 */
#pragma once
#include "buffer.h"

enum { MAGIC = 0x46574f43, VERSION = 1, FIRST_BLOCK = 2, MOST_BLOCKS = BLOCK * 8, ROOT_NUMBER = 1 };
enum { DIRECT = 6, POINTERS = BLOCK / 4, INODE_SIZE = 64, INODES_PER_BLOCK = BLOCK / INODE_SIZE };
enum { COW_NAME = 60, ENTRY_SIZE = 64, ENTRIES_PER_BLOCK = BLOCK / ENTRY_SIZE, RESERVE = 24 };

struct disk_inode {
    u32 mode; /* 0: free */
    u32 links, uid, gid, size, mtime, ctime;
    u32 device; /* of a directory: the number of the one above */
    u32 direct[DIRECT], indirect, twice_indirect;
};
_Static_assert(sizeof(struct disk_inode) == INODE_SIZE, "disk_inode");

struct disk_entry {
    u32 inode; /* 0: free */
    char name[COW_NAME];
};

struct superblock { /* one sector, at the start of blocks 0 and 1 */
    u32 magic, version, generation, blocks;
    struct disk_inode table; /* the inodes, as a file */
    u32 checksum;
};

struct cowfs {
    struct mount *mount;
    u32 drive;
    struct superblock super;
    struct sleep_lock lock; /* one operation, or one commit, at a time */
    struct cow_inode *inodes;
    u8 *used;       /* bit maps of blocks: reachable now ... */
    u8 *committed;  /* ... and reachable from the superblock on the disk */
    u32 free, free_inode, last_block;
    bool changed;
};

struct cow_inode {
    struct inode inode;
    struct disk_inode stored;
    struct cow_inode *next;
};

static inline struct cowfs *fs_of(struct inode *i) {
    return i->mount->data;
}

static inline struct cow_inode *cow(struct inode *i) {
    return (struct cow_inode *)i;
}

/* fs/cowfs_blocks.c: blocks come pinned, and NULL where a file has a hole */
bool bit(const u8 *map, u32 n);
void set_bit(u8 *map, u32 n, bool value);
u32 count_free(struct cowfs *fs);
int block_of(struct cowfs *fs, const struct disk_inode *d, u32 index, u32 *block);
int block_to_read(struct cowfs *fs, const struct disk_inode *d, u32 index, struct buffer **b);
int block_to_write(struct cowfs *fs, struct disk_inode *d, u32 index, struct buffer **b);
void free_blocks(struct cowfs *fs, struct disk_inode *d, u32 from);

/* fs/cowfs_commit.c */
int cow_commit(struct cowfs *fs);
u32 super_checksum(const struct superblock *s);
int cow_begin(struct cowfs *fs, bool takes_space, struct sleep_lock **held);

/* fs/cowfs_inode.c */
extern const struct inode_ops cowfs_ops;
int cow_load(struct cowfs *fs, u32 number, struct inode **found);
int cow_fetch(struct cowfs *fs, u32 number, struct disk_inode *d);
int cow_put(struct cowfs *fs, u32 number, const struct disk_inode *d);
int cow_store(struct inode *i);
int cow_new(struct cowfs *fs, const struct disk_inode *d, struct inode **made);
/* fs/cowfs_directory.c */
int cow_lookup(struct inode *dir, const char *name, struct inode **found);
int cow_list(struct inode *dir, u32 *position, struct entry *e);
int cow_create(struct inode *dir, const char *name, u32 mode, u32 device, struct inode **made);
int cow_link(struct inode *dir, const char *name, struct inode *target);
int cow_unlink(struct inode *dir, const char *name, struct inode *target);
int cow_rename(struct inode *from, const char *old, struct inode *to, const char *name, struct inode *moved,
               struct inode *replaced);
/* fs/cowfs_file.c */
int cow_read(struct inode *i, struct transfer *t, u32 offset);
int cow_write(struct inode *i, struct transfer *t, u32 offset);
int cow_resize(struct inode *i, u32 size);
