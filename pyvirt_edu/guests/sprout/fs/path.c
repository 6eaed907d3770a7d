/*
 * Names to inodes: a walk from directory to directory, across mounts and through symbolic links.
 *
 * Kept: the walk holds one reference, to where it stands, and its result is that reference.
 */
#include "../include/files.h"

enum { MOST_LINKS = 8 };

/* Up to whatever is mounted here. */
static struct inode *cross_down(struct inode *i) {
    while (i->covered_by) {
        struct inode *root = inode_use(i->covered_by->root);
        inode_drop(i);
        i = root;
    }
    return i;
}

static int step(struct inode *dir, const char *name, struct inode **found) {
    if (!is_directory(dir))
        return -ENOTDIR;
    if (!strcmp(name, ".")) {
        *found = inode_use(dir);
        return 0;
    }
    if (!strcmp(name, "..")) {
        if (dir == root_inode) {
            *found = inode_use(dir);
            return 0;
        }
        while (dir == dir->mount->root && dir->mount->covered)
            dir = dir->mount->covered;
    }
    int error = dir->ops->lookup(dir, name, found);
    if (!error)
        *found = cross_down(*found);
    return error;
}

/* The next part of a path into `name`; the rest of it, NULL: the part is too long. */
static const char *next_part(const char *path, char *name) {
    for (u32 n = 0; n < NAME_SIZE; n++, path++) {
        name[n] = *path == '/' ? 0 : *path;
        if (!name[n])
            return path;
    }
    return NULL;
}

static const char *skip_slashes(const char *path) {
    while (*path == '/')
        path++;
    return path;
}

static int walk(struct inode *start, const char *path, bool follow, char *last, int depth,
                struct inode **found);

/* Where a link in `dir` leads. */
static int follow_link(struct inode *dir, struct inode *link, int depth, struct inode **found) {
    OWNED(memory) char *target = allocate(PATH_SIZE);
    int length = target ? inode_read(link, target, PATH_SIZE - 1, 0) : -ENOMEM;
    if (length < 0)
        return length;
    target[length] = 0;
    return depth < MOST_LINKS ? walk(dir, target, true, NULL, depth + 1, found) : -ELOOP;
}

/* One part further: *at is exchanged for what `name` leads to. */
static int advance(struct inode **at, const char *name, bool follow, int depth) {
    OWNED(inode) struct inode *here = *at, *next = NULL;
    *at = NULL;
    int error = step(here, name, &next);
    if (!error && S_ISLNK(next->mode) && follow)
        return follow_link(here, next, depth, at);
    if (!error)
        *at = inode_use(next);
    return error;
}

/* All of a path, or with `last` all but its last part, which is copied there. */
static int walk(struct inode *start, const char *path, bool follow, char *last, int depth,
                struct inode **found) {
    OWNED(memory) char *name = allocate(NAME_SIZE);
    OWNED(inode) struct inode *at = inode_use(*path == '/' || !start ? root_inode : start);
    if (!name || !*path)
        return name ? -ENOENT : -ENOMEM;
    for (path = skip_slashes(path); *path;) {
        path = next_part(path, name);
        if (!path)
            return -ENAMETOOLONG;
        bool slash = *path == '/';
        path = skip_slashes(path);
        if (last && !*path) {
            if (!is_directory(at))
                return -ENOTDIR;
            copy_string(last, name, NAME_SIZE);
            *found = inode_use(at);
            return 0;
        }
        int error = advance(&at, name, follow || slash, depth);
        if (error)
            return error;
        if (slash && !is_directory(at))
            return -ENOTDIR;
    }
    if (last)
        return -EEXIST; /* "/" has no name in any directory */
    *found = inode_use(at);
    return 0;
}

int path_find(struct inode *start, const char *path, bool follow, struct inode **found) {
    return walk(start, path, follow, NULL, 0, found);
}

/* The directory that has, or could have, the path's last part, and that part. */
int path_parent(struct inode *start, const char *path, struct inode **dir, char *name) {
    return walk(start, path, true, name, 0, dir);
}

/* The name of a directory in the one above it. */
static int name_of(struct inode *parent, struct inode *dir, struct entry *e) {
    struct inode *stored = dir;
    while (stored == stored->mount->root && stored->mount->covered)
        stored = stored->mount->covered;
    u32 position = 0;
    int more;
    while ((more = parent->ops->list(parent, &position, e)) == 1)
        if (e->inode == stored->number && strcmp(e->name, ".") && strcmp(e->name, ".."))
            return 0;
    return more < 0 ? more : -ENOENT;
}

/* Put a name and a slash in front of the text that begins at `at`. */
static int put_in_front(char *to, u32 *at, const char *name) {
    u32 length = strlen(name);
    if (length + 1 > *at)
        return -ERANGE;
    *at -= length + 1;
    to[*at] = '/';
    memcpy(to + *at + 1, name, length);
    return 0;
}

/* An absolute path, found from the end: which name has this directory in its parent? Its size. */
int path_of(struct inode *dir, char *to, u32 size) {
    OWNED(memory) struct entry *e = allocate(sizeof(*e));
    OWNED(inode) struct inode *here = inode_use(dir);
    u32 at = size - 1;
    if (!e)
        return -ENOMEM;
    to[at] = 0;
    while (here != root_inode) {
        OWNED(inode) struct inode *below = here;
        here = NULL;
        int error = step(below, "..", &here);
        if (!error)
            error = name_of(here, below, e);
        if (!error)
            error = put_in_front(to, &at, e->name);
        if (error)
            return error;
    }
    if (at == size - 1)
        to[--at] = '/';
    memmove(to, to + at, size - at);
    return (int)(size - at);
}
