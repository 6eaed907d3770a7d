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

/* The next part of a path into `name`; the rest of it, NULL if there is no part left. */
static const char *next_part(const char *path, char *name, int *error) {
    u32 n = 0;
    while (*path == '/')
        path++;
    if (!*path)
        return NULL;
    for (; *path && *path != '/'; path++)
        if (n < NAME_SIZE - 1)
            name[n++] = *path;
        else
            *error = -ENAMETOOLONG;
    name[n] = 0;
    return path;
}

static bool is_last(const char *rest) {
    while (*rest == '/')
        rest++;
    return !*rest;
}

static int walk(struct inode *start, const char *path, bool follow, bool parent, char *last, int depth,
                struct inode **found);

/* Where a link in `dir` leads. Drops `link`. */
static int follow_link(struct inode *dir, struct inode *link, int depth, struct inode **found) {
    char *target = allocate(PATH_SIZE);
    int n = target ? readlink_inode(link, target, PATH_SIZE - 1) : -ENOMEM;
    inode_drop(link);
    if (n >= 0) {
        target[n] = 0;
        n = depth >= MOST_LINKS ? -ELOOP : n ? walk(dir, target, true, false, NULL, depth + 1, found) : -ENOENT;
    }
    release(target);
    return n;
}

/* All of a path, or with `parent` all but its last part, which is copied to `last`. */
static int walk(struct inode *start, const char *path, bool follow, bool parent, char *last, int depth,
                struct inode **found) {
    char *name = allocate(NAME_SIZE);
    struct inode *at = inode_use(*path == '/' || !start ? root_inode : start), *next;
    int error = name ? 0 : -ENOMEM;
    if (!*path)
        error = -ENOENT;
    while (!error && (path = next_part(path, name, &error))) {
        if (error)
            break;
        if (parent && is_last(path)) {
            if (!is_directory(at))
                error = -ENOTDIR;
            copy_string(last, name, NAME_SIZE);
            parent = false;
            break;
        }
        error = step(at, name, &next);
        if (error)
            break;
        if (S_ISLNK(next->mode) && (follow || !is_last(path) || *path == '/'))
            error = follow_link(at, next, depth, &next);
        if (error)
            break;
        inode_drop(at);
        at = next;
        if (*path == '/' && !is_directory(at))
            error = -ENOTDIR;
    }
    if (!error && parent)
        error = -EEXIST; /* "/" has no name in any directory */
    release(name);
    if (error)
        inode_drop(at);
    else
        *found = at;
    return error;
}

int path_find(struct inode *start, const char *path, bool follow, struct inode **found) {
    return walk(start, path, follow, false, NULL, 0, found);
}

/* The directory that has, or could have, the path's last part, and that part. */
int path_parent(struct inode *start, const char *path, struct inode **dir, char *name) {
    return walk(start, path, true, true, name, 0, dir);
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

/* An absolute path, found from the end: which name has this directory in its parent? */
int path_of(struct inode *dir, char *to, u32 size) {
    struct entry *e = allocate(sizeof(*e));
    u32 at = size - 1;
    int error = e ? 0 : -ENOMEM;
    to[at] = 0;
    dir = inode_use(dir);
    while (!error && dir != root_inode) {
        struct inode *parent;
        error = step(dir, "..", &parent);
        if (error)
            break;
        error = name_of(parent, dir, e);
        u32 length = error ? 0 : strlen(e->name);
        if (!error && length + 1 > at)
            error = -ERANGE;
        if (!error) {
            at -= length;
            memcpy(to + at, e->name, length);
            to[--at] = '/';
        }
        inode_drop(dir);
        dir = parent;
    }
    inode_drop(dir);
    release(e);
    if (error)
        return error;
    if (at == size - 1)
        to[--at] = '/';
    memmove(to, to + at, size - at);
    return (int)(size - at);
}
