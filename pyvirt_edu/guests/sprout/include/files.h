/* Files: inodes (what is stored), files (what is open), and how data reaches whoever asked. */
#pragma once
#include "process.h"

#define NAME_SIZE 256
#define PATH_SIZE 4096

/*
 * Where a read puts its data and a write takes it from: a program's memory or the kernel's.
 */
struct transfer {
    u32 address, left, done;
    bool kernel;
};
int give(struct transfer *t, const void *data, u32 size);   /* to whoever reads; 0 or -EFAULT */
int take(struct transfer *t, void *data, u32 size);         /* from whoever writes */

struct inode;
struct mount;

struct entry {
    u32 inode;
    u32 type;       /* DT_ */
    char name[NAME_SIZE];
};

struct inode_ops {
    int (*lookup)(struct inode *dir, const char *name, struct inode **found);
    int (*create)(struct inode *dir, const char *name, u32 mode, u32 device, struct inode **made);
    int (*link)(struct inode *dir, const char *name, struct inode *target);
    int (*unlink)(struct inode *dir, const char *name, struct inode *target);
    int (*rename)(struct inode *from, const char *old, struct inode *to, const char *name,
                  struct inode *moved, struct inode *replaced);
    int (*list)(struct inode *dir, u32 *position, struct entry *e); /* 1: one more, 0: the end */
    int (*read)(struct inode *i, struct transfer *t, u32 offset);
    int (*write)(struct inode *i, struct transfer *t, u32 offset);
    int (*resize)(struct inode *i, u32 size);
    /* A frame to map, with one owner more; 0: none. The file may be made to have it, to be written to. */
    u32 (*page)(struct inode *i, u32 index, bool make);
    void (*changed)(struct inode *i);           /* mode, owner or times */
    void (*forget)(struct inode *i);            /* nobody refers to it any more */
};

struct inode {
    const struct inode_ops *ops;
    struct mount *mount;
    struct mount *covered_by;   /* a file system is mounted on it */
    u32 users;                  /* references in memory */
    u32 number, mode, links, uid, gid, device, size, blocks;
    u32 atime, mtime, ctime;
    void *data;                 /* the file system's own */
    struct inode *parent;       /* directories of the file systems in RAM */
    struct pipe *pipe;          /* named pipes */
    struct unix_socket *socket; /* bound to this name */
    struct sleep_lock writing;  /* one write after the other */
};

struct mount {
    const char *type;
    char source[32], target[64];
    u32 number;
    bool read_only;
    struct inode *root, *covered;
    void *data;
    int (*sync)(struct mount *m);
    void (*usage)(struct mount *m, struct statfs64 *s);
    int (*leave)(struct mount *m);      /* umount: 0, or why not */
    struct mount *next;
};
extern struct mount *mounts;
extern struct inode *root_inode;

struct file_ops {
    int (*read)(struct file *f, struct transfer *t);
    int (*write)(struct file *f, struct transfer *t);
    int (*poll)(struct file *f);        /* POLL bits that hold now; NULL: always ready */
    int (*ioctl)(struct file *f, u32 command, u32 argument);
    void (*close)(struct file *f);
    bool seekable;
};

struct file {
    const struct file_ops *ops;
    u32 users, flags;
    u64 offset;
    struct sleep_lock moving;   /* while a call moves the offset */
    struct inode *inode;
    void *data;
};

/* fs/inode.c */
struct inode *inode_new(struct mount *m, const struct inode_ops *ops, u32 number, u32 mode);
struct inode *inode_use(struct inode *i);
void inode_drop(struct inode *i);
static inline void owned_inode(struct inode **i) {
    inode_drop(*i);
}
int fill_entry(struct entry *e, u32 inode, u32 type, const char *name);     /* 1, as list() */
struct mount *mount_new(const char *type, const char *source, const char *target);
int mount_attach(struct mount *m, struct inode *on);
void mount_detach(struct mount *m);
int sync_all(void);
u32 now_seconds(void);
bool is_directory(struct inode *i);
bool is_device(struct inode *i);
int inode_read(struct inode *i, void *to, u32 size, u32 offset);    /* into the kernel; how much */

/* fs/path.c: names to inodes. A result has a reference that the caller drops. */
int path_find(struct inode *start, const char *path, bool follow, struct inode **found);
int path_parent(struct inode *start, const char *path, struct inode **dir, char *name);
int path_of(struct inode *dir, char *to, u32 size);

/* kernel/user_path.c: paths that programs give. The caller owns what it gets, also after an error */
int user_text(u32 at, char **text);                         /* its length */
int user_place(int dirfd, u32 at, char **path, struct inode **start);
int user_find(int dirfd, u32 at, u32 flags, struct inode **found);
int user_parent(int dirfd, u32 at, struct inode **dir, char **name);

/* kernel/sys_stat.c: the layouts in which programs may want it */
enum stat_layout { STAT_OLD, STAT_64, STAT_X };

/* fs/file.c */
extern const struct file_ops inode_file_ops;
struct file *file_new(const struct file_ops *ops, struct inode *inode, u32 flags);
struct file *file_use(struct file *f);
void file_drop(struct file *f);
static inline void owned_file(struct file **f) {
    file_drop(*f);
}
int file_open(struct inode *start, const char *path, u32 flags, u32 mode, struct file **opened);
int file_read(struct file *f, struct transfer *t, const u64 *at);   /* at NULL: where the file stands */
int file_write(struct file *f, struct transfer *t, const u64 *at);
int descriptor_new(struct file *f, u32 from, bool close_on_exec);   /* takes the reference over */
int descriptor_pair(struct file *one, struct file *other, u32 fds, bool close_on_exec);
void descriptor_set(struct process *p, u32 fd, struct file *f, bool close_on_exec);
void descriptor_mark(struct process *p, u32 fd, bool close_on_exec);
u32 descriptor_limit(void);                 /* all that are opened lie below */
struct file *descriptor_file(u32 fd);       /* NULL: there is none */
struct file *descriptor_use(u32 fd);        /* the same, with a reference that the caller drops */
void descriptor_close(struct process *p, u32 fd);

/* kernel/file_lock.c */
int file_lock_command(struct file *f, u32 command, u32 argument);  /* of fcntl's */
void locks_drop_process(struct inode *inode, int pid);
void locks_drop_file(struct file *f);

/* the file systems */
int ramfs_start(void);
int cpio_unpack(const void *archive, u32 size);
int devfs_start(void);
int mount_root_directory(const char *name, struct mount *m);  /* at /name, made if need be */
int procfs_start(void);
int cowfs_mount(const char *source, struct inode *device, struct inode *on, const char *target,
                bool read_only);
extern const struct inode_ops ramfs_ops;
struct inode *ramfs_nameless(u32 size);
struct inode *ramfs_tree(const char *type, const char *source, const char *target); /* its root */

/* devices: what an inode of type character or block device leads to */
enum { DEVICE_NULL = 0x103, DEVICE_ZERO = 0x105, DEVICE_FULL = 0x107, DEVICE_RANDOM = 0x108,
       DEVICE_URANDOM = 0x109, DEVICE_KMSG = 0x10b, DEVICE_TTY = 0x500, DEVICE_CONSOLE = 0x501,
       DEVICE_SERIAL = 0x440, DEVICE_DISK = 0x300, DEVICE_DESCRIPTOR = 0x600 /* to 63f: what is open */ };
const struct file_ops *device_ops(struct inode *i);
extern const struct file_ops tty_ops;

/* drivers/ide.c */
#define SECTOR 512
u32 disk_sectors(u32 drive);
int disk_read(u32 drive, u32 sector, u32 count, void *to);
int disk_write(u32 drive, u32 sector, u32 count, const void *from);
int disk_flush(u32 drive);

/* kernel/pipe.c */
int pipe_make(struct file **reader, struct file **writer, u32 flags);
int fifo_open(struct file *f);
int pipe_size(struct file *f);      /* how much it holds; -EBADF: not a pipe */

/* kernel/tty.c */
void tty_start(void);
void tty_input(char c);     /* a character arrived */
