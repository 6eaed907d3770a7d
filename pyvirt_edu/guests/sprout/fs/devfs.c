/* /dev, and what is behind the simple devices. A device's number is 100h times major plus minor. */
#include "../include/files.h"

static int read_null(struct file *f, struct transfer *t) {
    return 0;
}

static int write_null(struct file *f, struct transfer *t) {
    t->done = t->left;
    return 0;
}

static int write_full(struct file *f, struct transfer *t) {
    return -ENOSPC;
}

static int read_zero(struct file *f, struct transfer *t) {
    static const u8 zeros[512];
    while (t->left && !signal_waiting(current))
        if (give(t, zeros, MIN(t->left, sizeof(zeros))))
            return -EFAULT;
    return t->done || !t->left ? 0 : -ERESTART;
}

static int read_random(struct file *f, struct transfer *t) {
    while (t->left && !signal_waiting(current)) {
        u32 value = random32();
        if (give(t, &value, MIN(t->left, 4)))
            return -EFAULT;
    }
    return t->done || !t->left ? 0 : -ERESTART;
}

static int write_message(struct file *f, struct transfer *t) {
    char text[128];
    u32 n = MIN(t->left, sizeof(text));
    if (take(t, text, n))
        return -EFAULT;
    console_write(text, n);
    return 0;
}

/* A disk as one long file: whole sectors, and parts of them by reading and writing back. */
static int transfer_disk(struct file *f, struct transfer *t, bool write) {
    OWNED(memory) u8 *buffer = allocate(SECTOR);
    u32 drive = f->inode->device & 0xff;
    int error = buffer ? 0 : -ENOMEM;
    while (t->left && !error) {
        u32 sector = (u32)(f->offset / SECTOR), start = (u32)f->offset % SECTOR;
        u32 n = MIN(t->left, SECTOR - start);
        if (sector >= disk_sectors(drive))
            return write ? -ENOSPC : 0;
        if (!write || n < SECTOR)
            error = disk_read(drive, sector, 1, buffer);
        if (!error)
            error = write ? take(t, buffer + start, n) : give(t, buffer + start, n);
        if (!error && write)
            error = disk_write(drive, sector, 1, buffer);
        if (!error)
            f->offset += n;
    }
    return error;
}

static int read_disk(struct file *f, struct transfer *t) {
    return transfer_disk(f, t, false);
}

static int write_disk(struct file *f, struct transfer *t) {
    return transfer_disk(f, t, true);
}

static int disk_ioctl(struct file *f, u32 command, u32 argument) {
    u32 sectors = disk_sectors(f->inode->device & 0xff);
    u64 bytes = (u64)sectors * SECTOR;
    if (command == BLKGETSIZE)
        return copy_to_user(argument, &sectors, 4);
    if (command == (u32)BLKGETSIZE64)
        return copy_to_user(argument, &bytes, 8);
    return -ENOTTY;
}

static const struct file_ops null_ops = {.read = read_null, .write = write_null},
                             zero_ops = {.read = read_zero, .write = write_null},
                             full_ops = {.read = read_zero, .write = write_full},
                             random_ops = {.read = read_random, .write = write_null},
                             message_ops = {.read = read_null, .write = write_message},
                             disk_ops = {.read = read_disk, .write = write_disk, .ioctl = disk_ioctl,
                                         .seekable = true};

static const struct {
    const char *name;
    u32 number, mode;
    const struct file_ops *ops;
} devices[] = {
    {"null", DEVICE_NULL, S_IFCHR | 0666, &null_ops},
    {"zero", DEVICE_ZERO, S_IFCHR | 0666, &zero_ops},
    {"full", DEVICE_FULL, S_IFCHR | 0666, &full_ops},
    {"random", DEVICE_RANDOM, S_IFCHR | 0666, &random_ops},
    {"urandom", DEVICE_URANDOM, S_IFCHR | 0666, &random_ops},
    {"kmsg", DEVICE_KMSG, S_IFCHR | 0644, &message_ops},
    {"tty", DEVICE_TTY, S_IFCHR | 0666, &tty_ops},
    {"console", DEVICE_CONSOLE, S_IFCHR | 0600, &tty_ops},
    {"ttyS0", DEVICE_SERIAL, S_IFCHR | 0600, &tty_ops},
    {"stdin", DEVICE_DESCRIPTOR, S_IFCHR | 0666, NULL},
    {"stdout", DEVICE_DESCRIPTOR + 1, S_IFCHR | 0666, NULL},
    {"stderr", DEVICE_DESCRIPTOR + 2, S_IFCHR | 0666, NULL},
    {"hda", DEVICE_DISK, S_IFBLK | 0600, &disk_ops},
    {"hdb", DEVICE_DISK + 1, S_IFBLK | 0600, &disk_ops},
};

const struct file_ops *device_ops(struct inode *i) {
    for (u32 n = 0; n < ARRAY_SIZE(devices); n++)
        if (devices[n].number == i->device && (devices[n].mode & S_IFMT) == (i->mode & S_IFMT))
            return devices[n].ops == &disk_ops && !disk_sectors(i->device & 0xff) ? NULL : devices[n].ops;
    return NULL;
}

/* A directory in the root that the archive may have brought already. */
int mount_root_directory(const char *name, struct mount *m) {
    struct inode *on;
    int error = root_inode->ops->lookup(root_inode, name, &on);
    if (error)
        error = root_inode->ops->create(root_inode, name, S_IFDIR | 0755, 0, &on);
    return error ? error : mount_attach(m, on);
}

static int make_device(struct inode *dir, const char *name, u32 mode, u32 number) {
    OWNED(inode) struct inode *made = NULL;
    return dir->ops->create(dir, name, mode, number, &made);
}

/* /dev/fd/N, for what a process has open: as many names as anybody has used. */
static int make_descriptors(struct inode *root) {
    enum { NAMES = 64 };
    OWNED(inode) struct inode *dir = NULL;
    int error = root->ops->create(root, "fd", S_IFDIR | 0755, 0, &dir);
    for (u32 i = 0; i < NAMES && !error; i++) {
        char name[4];
        format_text(name, sizeof(name), "%u", i);
        error = make_device(dir, name, S_IFCHR | 0666, DEVICE_DESCRIPTOR + i);
    }
    return error;
}

int devfs_start(void) {
    OWNED(inode) struct inode *shm = NULL;
    struct inode *root = ramfs_tree("devfs", "devfs", "/dev");
    int error = root ? make_descriptors(root) : -ENOMEM;
    if (!error)
        error = root->ops->create(root, "shm", S_IFDIR | 01777, 0, &shm); /* C libraries' shared memory */
    for (u32 i = 0; i < ARRAY_SIZE(devices) && !error; i++)
        if (devices[i].ops != &disk_ops || disk_sectors(devices[i].number & 0xff))
            error = make_device(root, devices[i].name, devices[i].mode, devices[i].number);
    return error ? error : mount_root_directory("dev", root->mount);
}
