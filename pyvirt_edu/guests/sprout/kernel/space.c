/*
 * The memory of a program: a list of areas, filled page by page when they are touched.
 *
 * fork copies no page. Parent and child share all frames, read-only; whoever writes first gets a
 * copy (space_fault). There is no mark "copy on write" in an entry: the area says what the program
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

static void refresh(struct space *s, u32 address) {
    if (current && s == current->space)
        mmu_flush(address);
}

static u32 bits_of(const struct area *a, bool write) {
    return PTE_PRESENT | (a->prot ? PTE_USER : 0) | (write && a->prot & PROT_WRITE ? PTE_WRITE : 0);
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
    if (a->inode)
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

static void drop_pages(struct space *s, u32 start, u32 end) {
    pte *e;
    for (u32 at = start; (e = page_next(s->root, &at, end)); at += PAGE) {
        u32 frame = *e & PTE_FRAME;
        mmu_set(e, 0);
        refresh(s, at);
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
    /* a page that is to be shared with children must be there before they are */
    for (u32 at = start; shared && at < start + size; at += PAGE) {
        int error = space_fault(s, at, FAULT_WRITE | FAULT_USER);
        if (error < 0) {
            space_unmap(s, start, size);
            return error;
        }
    }
    return 0;
}

int space_unmap(struct space *s, u32 start, u32 size) {
    u32 end = start + size;
    if (split(s, start) || split(s, end))
        return -ENOMEM;
    for (struct area **link = &s->areas; *link;) {
        struct area *a = *link;
        if (a->start >= start && a->end <= end) {
            drop_pages(s, a->start, a->end);
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
    for (u32 at = a->start; (e = page_next(s->root, &at, a->end)); at += PAGE) {
        mmu_set(e, (*e & PTE_FRAME) | bits_of(a, false)); /* the first write will look again */
        refresh(s, at);
    }
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

struct space *space_fork(struct space *from) {
    struct space *s = space_new();
    int error = s ? 0 : -ENOMEM;
    struct area **link = s ? &s->areas : NULL;
    for (struct area *a = from->areas; a && !error; a = a->next) {
        *link = copy_area(a);
        if (*link) {
            (*link)->next = NULL;
            link = &(*link)->next;
            error = share_pages(from, s, a);
        } else {
            error = -ENOMEM;
        }
    }
    mmu_load(current->space->root); /* the parent's entries became read-only */
    if (s && error) {
        space_release(s);
        return NULL;
    }
    if (s) {
        s->heap_start = from->heap_start;
        s->heap_end = from->heap_end;
    }
    return s;
}

void space_release(struct space *s) {
    if (!s || --s->users)
        return;
    while (s->areas) {
        struct area *a = s->areas;
        drop_pages(s, a->start, a->end);
        s->areas = a->next;
        drop_area(a);
    }
    page_root_free(s->root);
    release(s);
}

/* --- page faults ---------------------------------------------------------------------------- */

/* A page of the file, to share if the file system has it in RAM, else a copy; 0: no memory. */
static int page_of_file(struct area *a, u32 address, u32 *frame) {
    u32 offset = a->offset + (PAGE_DOWN(address) - a->start);
    *frame = a->inode->ops->page ? a->inode->ops->page(a->inode, offset / PAGE) : 0;
    if (*frame)
        return 0;
    *frame = frame_allocate_user();
    if (!*frame)
        return -ENOMEM;
    memset(to_virtual(*frame), 0, PAGE);
    struct transfer t = {(u32)to_virtual(*frame), PAGE, 0, true};
    int error = offset < a->inode->size ? a->inode->ops->read(a->inode, &t, offset) : 0;
    if (error < 0)
        frame_release(*frame);
    return error < 0 ? error : 0;
}

static int fetch(struct area *a, u32 address, u32 *frame) {
    if (a->inode)
        return page_of_file(a, address, frame);
    *frame = frame_allocate_user();
    if (!*frame)
        return -ENOMEM;
    memset(to_virtual(*frame), 0, PAGE);
    return 0;
}

/* The frame for somebody who writes: the only owner keeps it, others get a copy. */
static int own(struct area *a, u32 *frame) {
    if (a->shared || frame_of(*frame)->owners == 1)
        return 0;
    u32 copy = frame_allocate_user();
    if (!copy)
        return -ENOMEM;
    memcpy(to_virtual(copy), to_virtual(*frame), PAGE);
    frame_release(*frame);
    *frame = copy;
    return 0;
}

/* A program touched a page that its entry does not allow: 0 if it may try again. */
int space_fault(struct space *s, u32 address, u32 why) {
    struct area *a = space_area(s, address);
    if (!a || !a->prot || (why & FAULT_WRITE && !(a->prot & PROT_WRITE)))
        return -EFAULT;
    pte *e = page_entry(s->root, address, true);
    if (!e)
        return -ENOMEM;
    u32 frame = *e & PTE_FRAME;
    int error = 0;
    if (!frame) {
        error = fetch(a, address, &frame); /* may sleep */
        if (error)
            return error;
        if (*e) { /* somebody else who shares the space was faster */
            frame_release(frame);
            return 0;
        }
        s->resident++;
    }
    if (why & FAULT_WRITE)
        error = own(a, &frame);
    mmu_set(e, frame | bits_of(a, why & FAULT_WRITE && !error));
    refresh(s, PAGE_DOWN(address));
    return error;
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

/* Move pages and their area elsewhere, where there is room. */
int space_move(struct space *s, u32 old, u32 old_size, u32 new, u32 new_size) {
    struct area *a = space_area(s, old);
    int error = space_map(s, new, new_size, a->prot, false, a->inode, a->offset + (old - a->start));
    if (error)
        return error;
    for (u32 at = 0; at < MIN(old_size, new_size); at += PAGE) {
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
