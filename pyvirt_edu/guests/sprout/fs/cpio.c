/*
 * The boot loader's module to files: a cpio archive in the "newc" format. Each member is a header
 * of hexadecimal fields, a name, and contents, each padded to a multiple of 4 bytes.
 *
 * Kept: the archive is not believed: no field leads out of it.
 */
#include "../include/files.h"

enum { HEADER = 110 };
enum { INODE, MODE, UID, GID, LINKS, MTIME, SIZE, MAJOR, MINOR, RMAJOR, RMINOR, NAME_LENGTH };

static u32 field(const u8 *header, u32 index) {
    u32 value = 0;
    for (const u8 *p = header + 6 + 8 * index, *end = p + 8; p < end; p++) {
        u32 digit = *p <= '9' ? (u32)*p - '0' : (u32)(*p | 32) - 'a' + 10;
        value = value << 4 | (digit & 15);
    }
    return value;
}

/* A new file; the directory that it is in is there. */
static int make(const char *path, u32 mode, u32 device, struct inode **made) {
    OWNED(inode) struct inode *dir = NULL;
    char name[NAME_SIZE];
    int error = path_parent(NULL, path, &dir, name);
    return error ? error : dir->ops->create(dir, name, mode, device, made);
}

static int make_directories(char *path) {
    for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        OWNED(inode) struct inode *dir = NULL;
        *slash = 0;
        int error = path_find(NULL, path, true, &dir);
        if (error == -ENOENT)
            error = make(path, S_IFDIR | 0755, 0, &dir);
        *slash = '/';
        if (error)
            return error;
    }
    return 0;
}

static int unpack_member(const u8 *header, char *path, const u8 *contents, u32 size) {
    OWNED(inode) struct inode *i = NULL;
    if (!strcmp(path, "."))
        return 0; /* the root itself */
    int error = make_directories(path);
    if (!error)
        error = make(path, field(header, MODE), field(header, RMAJOR) << 8 | field(header, RMINOR), &i);
    if (error)
        return error == -EEXIST ? 0 : error;
    struct transfer t = {(u32)contents, size, 0, true};
    if (S_ISREG(i->mode) || S_ISLNK(i->mode))
        error = i->ops->write(i, &t, 0);
    i->mtime = field(header, MTIME);
    i->uid = field(header, UID);
    i->gid = field(header, GID);
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
