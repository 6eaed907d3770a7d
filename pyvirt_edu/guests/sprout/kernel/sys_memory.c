/*
 * System calls on memory. What is asked is checked here, and done in space.c.
 *
 * Kept: space.c is asked only for whole pages that lie in a program's part of the address space.
 */
#include "../include/files.h"

static bool range_good(u32 start, u32 size) {
    return start % PAGE == 0 && size && start >= USER_START && start < USER_END && PAGE_UP(size) >= size &&
           PAGE_UP(size) <= USER_END - start;
}

/* /dev/zero: to map it is to ask for memory. */
static bool is_zero(struct file *f) {
    return S_ISCHR(f->inode->mode) && f->inode->device == DEVICE_ZERO;
}

static int check_file(struct file *f, u32 flags, u32 prot) {
    if (!f)
        return -EBADF;
    if (!f->inode || (!S_ISREG(f->inode->mode) && !is_zero(f)))
        return -ENODEV;
    u32 access = f->flags & O_ACCMODE;
    bool changes = flags & MAP_SHARED && prot & PROT_WRITE && !is_zero(f);
    if (access == O_WRONLY || (changes && access != O_RDWR))
        return -EACCES;
    if (changes && !f->inode->ops->page) {
        static bool told;
        if (!told)
            complain("writable shared mappings of files on disk are not supported\n");
        told = true;
        return -ENODEV;
    }
    return 0;
}

int sys_mmap2(u32 start, u32 size, u32 prot, u32 flags, u32 fd, u32 page) {
    struct space *s = current->space;
    OWNED(inode) struct inode *inode = NULL;
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
    if (!size || !(flags & (MAP_SHARED | MAP_PRIVATE)))
        return -EINVAL;
    if (!(flags & MAP_ANONYMOUS)) {
        struct file *f = descriptor_file(fd);
        int error = check_file(f, flags, prot);
        if (error)
            return error;
        inode = is_zero(f) ? NULL : inode_use(f->inode);
    }
    if (size > USER_END || page > 0x7ffff)
        return -ENOMEM;
    size = PAGE_UP(size);
    if (fixed && !range_good(start, size))
        return -EINVAL;
    if (flags & MAP_FIXED_NOREPLACE && !space_is_free(s, start, size))
        return -EEXIST;
    if (!fixed)
        start = range_good(start, size) && space_is_free(s, start, size) ? start : space_find_room(s, size);
    if (!start)
        return -ENOMEM;
    if (flags & MAP_SHARED && !inode) {
        page = 0;
        if (!(inode = ramfs_nameless(size)))
            return -ENOMEM;
    }
    int error = flags & MAP_FIXED ? space_unmap(s, start, size) : 0;
    bool shared = flags & MAP_SHARED && inode->ops->page;
    if (!error)
        error = space_map(s, start, size, prot & 7, shared, inode, page * PAGE);
    return error ? error : (int)start;
}

int sys_old_mmap(u32 at) {
    u32 a[6];
    if (copy_from_user(a, at, sizeof(a)))
        return -EFAULT;
    return a[5] % PAGE ? -EINVAL : sys_mmap2(a[0], a[1], a[2], a[3], a[4], a[5] / PAGE);
}

int sys_munmap(u32 start, u32 size) {
    if (!range_good(start, size))
        return -EINVAL;
    return space_unmap(current->space, start, PAGE_UP(size));
}

int sys_mprotect(u32 start, u32 size, u32 prot) {
    if (!size)
        return start % PAGE ? -EINVAL : 0;
    if (!range_good(start, size) || prot & ~7u)
        return start % PAGE || prot & ~7u ? -EINVAL : -ENOMEM;
    return space_protect(current->space, start, PAGE_UP(size), prot);
}

/* Where the program says, instead of what is there. */
static u32 make_room(struct space *s, u32 start, u32 old, u32 to, u32 new) {
    bool apart = to + new <= start || start + old <= to;
    return range_good(to, new) && apart && !space_unmap(s, to, new) ? to : 0;
}

int sys_mremap(u32 start, u32 old_size, u32 new_size, u32 flags, u32 to) {
    struct space *s = current->space;
    u32 old = PAGE_UP(old_size), new = PAGE_UP(new_size);
    struct area *a = range_good(start, old_size) ? space_area(s, start) : NULL;
    bool fixed = flags & MREMAP_FIXED;
    if (!new_size || new < new_size || flags & ~(u32)(MREMAP_MAYMOVE | MREMAP_FIXED) || flags == MREMAP_FIXED)
        return -EINVAL;
    if (!a || a->end < start + old)
        return -EFAULT;
    if (fixed) {
        if (!make_room(s, start, old, to, new))
            return -EINVAL;
        int error = space_move(s, start, old, to, new);
        return error ? error : (int)to;
    }
    if (new <= old) {
        int error = new < old ? space_unmap(s, start + new, old - new) : 0;
        return error ? error : (int)start;
    }
    if (a->end == start + old && space_is_free(s, a->end, new - old)) {
        a->end += new - old;
        return (int)start;
    }
    to = flags & MREMAP_MAYMOVE ? space_find_room(s, new) : 0;
    if (!to)
        return -ENOMEM;
    int error = space_move(s, start, old, to, new);
    return error ? error : (int)to;
}

int sys_brk(u32 end) {
    return (int)space_set_heap(current->space, end);
}

int sys_madvise(u32 start, u32 size, u32 advice) {
    enum { DONTNEED = 4, LAST = 25, POISON = 100 };
    if (start % PAGE || (advice > LAST && advice != POISON))
        return -EINVAL;
    u32 end = advice == DONTNEED && range_good(start, size) ? start + PAGE_UP(size) : start;
    for (struct area *a = current->space->areas; a; a = a->next)
        if (!a->shared && a->start < end && start < a->end)
            space_drop_pages(current->space, MAX(start, a->start), MIN(end, a->end));
    return 0;
}
