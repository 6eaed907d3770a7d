/*
 * The boot loader's module to files: a cpio archive in the "newc" format. Each member is a header
 * of hexadecimal fields, a name, and contents, each padded to a multiple of 4 bytes.
 *
 * Kept: the archive is not believed: no field leads out of it.
 */
#include "../include/files.h"

enum { HEADER = 110, INODE = 0, MODE, UID, GID, LINKS, MTIME, SIZE, MAJOR, MINOR, RMAJOR, RMINOR, NAME_LENGTH };

static u32 field(const u8 *header, u32 index) {
    u32 value = 0;
    for (const u8 *p = header + 6 + 8 * index, *end = p + 8; p < end; p++) {
        u32 digit = *p <= '9' ? (u32)*p - '0' : (u32)(*p | 32) - 'a' + 10;
        value = value << 4 | (digit & 15);
    }
    return value;
}

static int ensure_directories(char *path) {
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct inode *dir, *made;
        char name[NAME_SIZE];
        *slash = 0;
        int error = path_find(NULL, path, true, &made);
        if (error == -ENOENT) {
            error = path_parent(NULL, path, &dir, name);
            if (!error) {
                error = dir->ops->create(dir, name, S_IFDIR | 0755, 0, &made);
                inode_drop(dir);
            }
        }
        *slash = '/';
        if (error)
            return error;
        inode_drop(made);
    }
    return 0;
}

static int unpack_member(const u8 *header, char *path, const u8 *contents, u32 size) {
    struct inode *dir, *i;
    char name[NAME_SIZE];
    int error = ensure_directories(path);
    if (!error)
        error = path_parent(NULL, path, &dir, name);
    if (error == -EEXIST || (!error && !strcmp(name, ".")))
        return 0; /* the root itself */
    if (error)
        return error;
    u32 device = field(header, RMAJOR) << 8 | field(header, RMINOR);
    error = dir->ops->create(dir, name, field(header, MODE), device, &i);
    inode_drop(dir);
    if (error)
        return error == -EEXIST ? 0 : error;
    struct transfer t = {(u32)contents, size, 0, true};
    if (S_ISREG(i->mode) || S_ISLNK(i->mode))
        error = i->ops->write(i, &t, 0);
    i->mtime = field(header, MTIME);
    i->uid = field(header, UID);
    i->gid = field(header, GID);
    inode_drop(i);
    return error;
}

/* The number of members, or an error. */
int cpio_unpack(const void *archive, u32 size) {
    const u8 *start = archive;
    int count = 0;
    for (u32 at = 0; at + HEADER <= size;) {
        const u8 *header = start + at;
        char path[NAME_SIZE];
        if (memcmp(header, "07070", 5))
            return -EINVAL;
        u32 length = field(header, NAME_LENGTH), bytes = field(header, SIZE);
        u32 contents = ALIGN_UP(at + HEADER + MIN(length, size), 4);
        if (!length || length > sizeof(path) || contents > size || bytes > size - contents)
            return -EINVAL;
        copy_string(path, (const char *)header + HEADER, length);
        if (!strcmp(path, "TRAILER!!!"))
            return count;
        int error = unpack_member(header, path, start + contents, bytes);
        if (error)
            return error;
        count++;
        at = ALIGN_UP(contents + bytes, 4);
    }
    return -EINVAL;
}
