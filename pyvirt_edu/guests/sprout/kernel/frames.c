/*
 * RAM by the page. A frame is a page of physical memory; copy-on-write and files let several
 * owners share one, so each has a count of its owners.
 *
 * Kept: a frame is in the free list exactly if its count is 0, and its contents belong to nobody
 * then. Frames that are no RAM, and those the kernel was loaded into, count one owner for ever.
 */
#include "../include/kernel.h"
#include "../include/multiboot.h"

#define RESERVE 64 /* frames that programs leave to the kernel */

static struct frame *frames;
static u32 first_free; /* number of a frame; 0 ends the list: frame 0 is never free */
u32 frames_total, frames_free, ram_end;

extern char kernel_end[];

struct frame *frame_of(u32 physical) {
    return &frames[physical / PAGE];
}

static void add_range(u64 start, u64 length, u32 limit) {
    u64 end = start + length;
    if (start >= DIRECT_MAP_SIZE)
        return;
    u32 last = (u32)MIN(end, (u64)DIRECT_MAP_SIZE);
    for (u32 at = PAGE_UP((u32)start); at + PAGE <= last; at += PAGE)
        if (at >= limit) {
            frame_of(at)->owners = 1;
            frames_total++;
            frame_release(at);
        }
}

static u32 end_of_ram(const struct multiboot_info *info) {
    u32 end = 0;
    for (u32 at = info->map; at < info->map + info->map_size;) {
        const struct multiboot_range *r = to_virtual(at);
        if (r->type == 1 && r->start < DIRECT_MAP_SIZE)
            end = MAX(end, (u32)MIN(r->start + r->length, (u64)DIRECT_MAP_SIZE));
        at += r->size + 4;
    }
    return end;
}

/* The kernel and the modules come first in RAM; the table follows them, free frames follow that. */
void frames_start(u32 multiboot_info) {
    const struct multiboot_info *info = to_virtual(multiboot_info);
    u32 used = to_physical(kernel_end), ram = ram_end = end_of_ram(info);
    if (!(info->flags & INFO_MAP) || !ram)
        panic("the boot loader gave no memory map");
    const struct multiboot_module *m = to_virtual(info->modules);
    for (u32 i = 0; info->flags & INFO_MODULES && i < info->module_count; i++)
        used = MAX(used, m[i].end);
    frames = to_virtual(PAGE_UP(used));
    u32 size = ram / PAGE * sizeof(struct frame);
    if (PAGE_UP(used) + size + RESERVE * PAGE > ram)
        panic("%u KiB of memory are too few for the modules", ram / 1024);
    for (u32 i = 0; i < ram / PAGE; i++)
        frames[i] = (struct frame){.owners = 1};

    for (u32 at = info->map; at < info->map + info->map_size;) {
        const struct multiboot_range *r = to_virtual(at);
        if (r->type == 1)
            add_range(r->start, r->length, PAGE_UP(used) + PAGE_UP(size));
        at += r->size + 4;
    }
}

u32 frame_allocate(void) {
    u32 number = first_free;
    if (!number)
        return 0;
    first_free = frames[number].next;
    frames[number].owners = 1;
    frames_free--;
    return number * PAGE;
}

u32 frame_allocate_user(void) {
    return frames_free > RESERVE ? frame_allocate() : 0;
}

void frame_share(u32 physical) {
    frame_of(physical)->owners++;
}

void frame_release(u32 physical) {
    struct frame *f = frame_of(physical);
    if (!f->owners)
        panic("frame %08x is released twice", physical);
    if (--f->owners)
        return;
    f->next = first_free;
    first_free = physical / PAGE;
    frames_free++;
}
