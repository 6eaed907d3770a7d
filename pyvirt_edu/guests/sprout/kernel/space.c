/*
 * The memory of a program: a list of areas, filled page by page when they are touched.
 *
 * fork copies no page. Parent and child share all frames, read-only; whoever writes first gets a
 * copy (page_fault.c). There is no mark "copy on write" in an entry: the area says what the program
 * may do, the entry what it may do without the kernel looking.
 *
 * Kept: an entry is writable only if its area is, and its frame has no other owner or the area is
 * shared. Areas do not overlap and lie below USER_END.
 */
#include "../include/files.h"

struct space *space_new(void) {
    struct space *s = allocate_zeroed(sizeof(*s));
    if (!s)
        return NULL;
    s->users = 1;
    s->root = page_root_new();
    if (!s->root) {
        release(s);
        return NULL;
    }
    return s;
}

struct space *space_use(struct space *s) {
    s->users++;
    return s;
}

/* --- areas ---------------------------------------------------------------------------------- */

struct area *space_area(struct space *s, u32 address) {
    for (struct area *a = s->areas; a && a->start <= address; a = a->next)
        if (address < a->end)
            return a;
    return NULL;
}

bool space_is_free(struct space *s, u32 start, u32 size) {
    if (start < USER_START || start > USER_END || size > USER_END - start)
        return false;
    for (struct area *a = s->areas; a; a = a->next)
        if (a->start < start + size && start < a->end)
            return false;
    return true;
}

static void insert(struct space *s, struct area *new) {
    struct area **link = &s->areas;
    while (*link && (*link)->start < new->start)
        link = &(*link)->next;
    new->next = *link;
    *link = new;
}

static struct area *copy_area(const struct area *a) {
    struct area *new = allocate(sizeof(*new));
    if (!new)
        return NULL;
    *new = *a;
    if (new->inode)
        inode_use(new->inode);
    return new;
}

static void drop_area(struct area *a) {
    inode_drop(a->inode);
    release(a);
}

/* Make `at` a border between two areas. */
static int split(struct space *s, u32 at) {
    struct area *a = space_area(s, at);
    if (!a || a->start == at)
        return 0;
    struct area *upper = copy_area(a);
    if (!upper)
        return -ENOMEM;
    upper->start = at;
    upper->offset += at - a->start;
    a->end = at;
    a->next = upper;
    return 0;
}

void space_drop_pages(struct space *s, u32 start, u32 end) {
    pte *e;
    for (u32 at = start; (e = page_next(s->root, &at, end)); at += PAGE) {
        u32 frame = *e & PTE_FRAME;
        mmu_set(e, 0);
        space_refresh(s, at);
        frame_release(frame);
        s->resident--;
    }
}

int space_map(struct space *s, u32 start, u32 size, u32 prot, bool shared, struct inode *inode, u32 offset) {
    struct area a = {start, start + size, prot, shared, false, inode, offset, NULL};
    struct area *new = copy_area(&a);
    if (!new)
        return -ENOMEM;
    insert(s, new);
    return 0;
}

int space_unmap(struct space *s, u32 start, u32 size) {
    u32 end = start + size;
    if (split(s, start) || split(s, end))
        return -ENOMEM;
    for (struct area **link = &s->areas; *link;) {
        struct area *a = *link;
        if (a->start >= start && a->end <= end) {
            space_drop_pages(s, a->start, a->end);
            *link = a->next;
            drop_area(a);
        } else {
            link = &a->next;
        }
    }
    return 0;
}

static void protect_pages(struct space *s, struct area *a) {
    pte *e;
    for (u32 at = a->start; (e = page_next(s->root, &at, a->end)); at += PAGE)
        space_set(s, a, e, at, *e & PTE_FRAME, false); /* the first write will look again */
}

int space_protect(struct space *s, u32 start, u32 size, u32 prot) {
    u32 end = start + size;
    for (u32 at = start; at < end;) {
        struct area *a = space_area(s, at);
        if (!a)
            return -ENOMEM;
        at = a->end;
    }
    if (split(s, start) || split(s, end))
        return -ENOMEM;
    for (struct area *a = s->areas; a; a = a->next)
        if (a->start >= start && a->end <= end && a->prot != prot) {
            a->prot = prot;
            protect_pages(s, a);
        }
    return 0;
}

u32 space_find_room(struct space *s, u32 size) {
    u32 at = USER_MMAP;
    for (struct area *a = s->areas; a; a = a->next) {
        if (a->end <= at)
            continue;
        if (a->start >= at && a->start - at >= size)
            break;
        at = a->end;
    }
    return size && at < USER_END && size <= USER_END - at ? at : 0;
}

/* --- copies --------------------------------------------------------------------------------- */

static int share_pages(struct space *from, struct space *to, struct area *a) {
    pte *e;
    for (u32 at = a->start; (e = page_next(from->root, &at, a->end)); at += PAGE) {
        pte *copy = page_entry(to->root, at, true);
        if (!copy)
            return -ENOMEM;
        if (!a->shared)
            mmu_set(e, *e & ~PTE_WRITE);
        frame_share(*e & PTE_FRAME);
        mmu_set(copy, *e);
        to->resident++;
    }
    return 0;
}

static int copy_areas(struct space *from, struct space *to) {
    struct area **link = &to->areas;
    for (struct area *a = from->areas; a; a = a->next) {
        struct area *copy = *link = copy_area(a);
        if (!copy)
            return -ENOMEM;
        copy->next = NULL;
        link = &copy->next;
        int error = share_pages(from, to, a);
        if (error)
            return error;
    }
    return 0;
}

struct space *space_fork(struct space *from) {
    struct space *s = space_new();
    if (!s)
        return NULL;
    s->heap_start = from->heap_start;
    s->heap_end = from->heap_end;
    int error = copy_areas(from, s);
    mmu_load(from->root); /* the parent's entries became read-only */
    if (!error)
        return s;
    space_release(s);
    return NULL;
}

void space_release(struct space *s) {
    if (!s || --s->users)
        return;
    while (s->areas) {
        struct area *a = s->areas;
        space_drop_pages(s, a->start, a->end);
        s->areas = a->next;
        drop_area(a);
    }
    page_root_free(s->root);
    release(s);
}

/* --- brk and mremap ------------------------------------------------------------------------- */

u32 space_set_heap(struct space *s, u32 end) {
    u32 old = PAGE_UP(s->heap_end), new = PAGE_UP(end);
    if (end < s->heap_start || end >= USER_END)
        return s->heap_end;
    if (new > old) {
        if (!space_is_free(s, old, new - old))
            return s->heap_end;
        struct area *a = old > s->heap_start ? space_area(s, old - 1) : NULL;
        if (a && a->heap)
            a->end = new;
        else if (space_map(s, old, new - old, PROT_READ | PROT_WRITE, false, NULL, 0))
            return s->heap_end;
        else
            space_area(s, old)->heap = true;
    } else if (new < old) {
        if (space_unmap(s, new, old - new))
            return s->heap_end;
    }
    s->heap_end = end;
    return end;
}

/* Move pages and their area elsewhere, where there is room. What is shared is a file's, and found again. */
int space_move(struct space *s, u32 old, u32 old_size, u32 new, u32 new_size) {
    struct area *a = space_area(s, old);
    int error = space_map(s, new, new_size, a->prot, a->shared, a->inode, a->offset + (old - a->start));
    if (error)
        return error;
    for (u32 at = 0; !a->shared && at < MIN(old_size, new_size); at += PAGE) {
        pte *from = page_entry(s->root, old + at, false);
        if (!from || !*from)
            continue;
        pte *to = page_entry(s->root, new + at, true);
        if (!to) {
            space_unmap(s, new, new_size);
            return -ENOMEM;
        }
        frame_share(*from & PTE_FRAME);
        mmu_set(to, *from & ~PTE_WRITE);
        s->resident++;
    }
    return space_unmap(s, old, old_size);
}
