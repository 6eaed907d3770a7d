/*
 * The file system in RAM, where the root comes from. A file is pages, found through a directory of
 * up to 1024 tables of 1024 pages, as in a page table; a directory is a list of names.
 *
 * A page can be mapped into programs as it is (ramfs_page): that is why exec and fork of a program
 * in RAM copy nothing.
 *
 * Kept: an inode is freed when it has no name (links == 0) and no user; each name counts a link,
 * and so does each ".." of a subdirectory. While data moves to or from a program, which may sleep,
 * the page has an owner more: another process may shorten the file.
 */
#include "../include/files.h"

struct name {
    struct name *next;
    struct inode *inode;
    u32 place;      /* of names in a directory, in order; what is removed leaves a gap */
    u32 hash;       /* of the text: most names are told apart by it */
    char text[];
};

enum { TABLE = 1024, FIRST_PLACE = 2 /* after "." and ".." */ };

static u32 last_number;

static u32 hash_of(const char *text) { /* FNV-1a */
    u32 hash = 2166136261u;
    while (*text)
        hash = (hash ^ (u8)*text++) * 16777619u;
    return hash;
}

static struct name **find(struct inode *dir, const char *name) {
    struct name **link = (struct name **)&dir->data;
    u32 hash = hash_of(name);
    while (*link && ((*link)->hash != hash || strcmp((*link)->text, name)))
        link = &(*link)->next;
    return link;
}

static int lookup(struct inode *dir, const char *name, struct inode **found) {
    if (!strcmp(name, "..")) {
        *found = inode_use(dir->parent);
        return 0;
    }
    struct name *n = *find(dir, name);
    if (!n)
        return -ENOENT;
    *found = inode_use(n->inode);
    return 0;
}

/* New names go to the end: directories list in the order of creation. */
static int add_name(struct inode *dir, const char *text, struct inode *i) {
    struct name **link = (struct name **)&dir->data;
    u32 place = FIRST_PLACE, hash = hash_of(text);
    for (; *link; link = &(*link)->next) {
        if ((*link)->hash == hash && !strcmp((*link)->text, text))
            return -EEXIST;
        place = (*link)->place + 1;
    }
    struct name *n = allocate(sizeof(*n) + strlen(text) + 1);
    if (!n)
        return -ENOMEM;
    *n = (struct name){.inode = i, .place = place, .hash = hash};
    copy_string(n->text, text, strlen(text) + 1);
    *link = n;
    dir->size += 32;
    dir->mtime = dir->ctime = now_seconds();
    return 0;
}

static void remove_name(struct inode *dir, const char *text) {
    struct name **link = find(dir, text), *n = *link;
    *link = n->next;
    release(n);
    dir->size -= 32;
    dir->mtime = dir->ctime = now_seconds();
}

static int create(struct inode *dir, const char *name, u32 mode, u32 device, struct inode **made) {
    if (!dir->links)
        return -ENOENT;
    struct inode *i = inode_new(dir->mount, &ramfs_ops, ++last_number, mode);
    if (!i)
        return -ENOMEM;
    int error = add_name(dir, name, i);
    if (error) {
        i->links = 0;
        inode_drop(i);
        return error;
    }
    i->device = device;
    i->parent = dir;
    if (is_directory(i)) {
        i->links = 2;
        dir->links++;
    }
    *made = i;
    return 0;
}

static int link(struct inode *dir, const char *name, struct inode *target) {
    int error = dir->links ? add_name(dir, name, target) : -ENOENT;
    if (!error)
        target->links++;
    return error;
}

static int unlink(struct inode *dir, const char *name, struct inode *target) {
    if (is_directory(target)) {
        if (target->data)
            return -ENOTEMPTY;
        target->links = 0;
        target->parent = target->mount->root; /* for those who still stand in it */
        dir->links--;
    } else {
        target->links--;
    }
    remove_name(dir, name);
    target->ctime = now_seconds();
    return 0;
}

static int rename(struct inode *from, const char *old, struct inode *to, const char *name,
                  struct inode *moved, struct inode *replaced) {
    int error = !to->links ? -ENOENT : replaced ? unlink(to, name, replaced) : 0;
    if (!error)
        error = add_name(to, name, moved);
    if (error)
        return error;
    remove_name(from, old);
    if (is_directory(moved) && from != to) {
        from->links--;
        to->links++;
        moved->parent = to;
    }
    return 0;
}

static u32 entry_type(struct inode *i) {
    return (i->mode & S_IFMT) >> 12; /* DT_ values are the mode's upper bits */
}

static int list(struct inode *dir, u32 *position, struct entry *e) {
    u32 at = *position;
    *position = at + 1;
    if (at < FIRST_PLACE)
        return fill_entry(e, at ? dir->parent->number : dir->number, DT_DIR, at ? ".." : ".");
    struct name *n = dir->data;
    while (n && n->place < at)
        n = n->next;
    if (!n)
        return 0;
    *position = n->place + 1;
    return fill_entry(e, n->inode->number, entry_type(n->inode), n->text);
}

/* --- contents ------------------------------------------------------------------------------- */

/* The place that holds page `index`'s frame; NULL if its table is missing (and cannot be made). */
static u32 *page_slot(struct inode *i, u32 index, bool make) {
    if (!i->data && !(make && (i->data = allocate_zeroed(PAGE))))
        return NULL;
    u32 **directory = i->data, **table = &directory[index / TABLE];
    if (!*table && !(make && (*table = allocate_zeroed(PAGE))))
        return NULL;
    return &(*table)[index % TABLE];
}

/* The frame of a page; a hole may be filled. 0: there is none. */
static u32 page_frame(struct inode *i, u32 index, bool make) {
    u32 *slot = page_slot(i, index, make);
    if (slot && !*slot && make && (*slot = frame_allocate_user())) {
        memset(to_virtual(*slot), 0, PAGE);
        i->blocks += PAGE / SECTOR;
    }
    return slot ? *slot : 0;
}

static int read(struct inode *i, struct transfer *t, u32 offset) {
    static const u8 zeros[PAGE];
    while (t->left && offset < i->size) {
        u32 frame = page_frame(i, offset / PAGE, false);
        u32 n = MIN(MIN(t->left, i->size - offset), PAGE - offset % PAGE);
        if (frame)
            frame_share(frame);
        int error = give(t, (frame ? to_virtual(frame) : zeros) + offset % PAGE, n);
        if (frame)
            frame_release(frame);
        if (error)
            return error;
        offset += n;
    }
    return 0;
}

static int write(struct inode *i, struct transfer *t, u32 offset) {
    while (t->left) {
        u32 frame = page_frame(i, offset / PAGE, true);
        u32 n = MIN(t->left, PAGE - offset % PAGE);
        if (!frame)
            return -ENOSPC;
        frame_share(frame);
        int error = take(t, (u8 *)to_virtual(frame) + offset % PAGE, n);
        frame_release(frame);
        if (error)
            return error;
        offset += n;
        i->size = MAX(i->size, offset);
    }
    return 0;
}

static int resize(struct inode *i, u32 size) {
    for (u32 index = (size + PAGE - 1) / PAGE; index < (i->size + PAGE - 1) / PAGE; index++) {
        u32 *slot = page_slot(i, index, false);
        if (slot && *slot) {
            frame_release(*slot);
            *slot = 0;
            i->blocks -= PAGE / SECTOR;
        }
    }
    u32 *last = size % PAGE ? page_slot(i, size / PAGE, false) : NULL;
    if (size < i->size && last && *last)
        memset((u8 *)to_virtual(*last) + size % PAGE, 0, PAGE - size % PAGE);
    i->size = size;
    return 0;
}

static u32 page(struct inode *i, u32 index, bool make) {
    u32 frame = index < (i->size + PAGE - 1) / PAGE ? page_frame(i, index, make) : 0;
    if (frame)
        frame_share(frame);
    return frame;
}

static void forget(struct inode *i) {
    if (i->links)
        return; /* it has a name: it stays */
    if (S_ISREG(i->mode) || S_ISLNK(i->mode)) {
        resize(i, 0);
        u32 **directory = i->data;
        for (u32 n = 0; directory && n < TABLE; n++)
            release(directory[n]);
        release(directory);
    }
    release(i);
}

const struct inode_ops ramfs_ops = {
    .lookup = lookup, .create = create, .link = link, .unlink = unlink, .rename = rename, .list = list,
    .read = read, .write = write, .resize = resize, .page = page, .forget = forget,
};

static void usage(struct mount *m, struct statfs64 *s) {
    s->f_type = 0x858458f6;
    s->f_bsize = s->f_frsize = PAGE;
    s->f_blocks = frames_total;
    s->f_bfree = s->f_bavail = frames_free;
    s->f_namelen = NAME_SIZE - 1;
}

/* A file without a name: memory that processes share. It goes with its last user. */
struct inode *ramfs_nameless(u32 size) {
    struct inode *i = inode_new(root_inode->mount, &ramfs_ops, ++last_number, S_IFREG | 0600);
    if (!i)
        return NULL;
    i->links = 0;
    i->size = size;
    return i;
}

struct inode *ramfs_tree(const char *type, const char *source, const char *target) {
    struct mount *m = mount_new(type, source, target);
    struct inode *i = m ? inode_new(m, &ramfs_ops, ++last_number, S_IFDIR | 0755) : NULL;
    if (!i)
        return NULL;
    m->root = i;
    m->usage = usage;
    i->parent = i;
    i->links = 2;
    return i;
}

int ramfs_start(void) {
    struct inode *root = ramfs_tree("ramfs", "ramfs", "/");
    return root ? mount_attach(root->mount, NULL) : -ENOMEM;
}
