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

/* The next range of usable RAM, as far as the kernel can map it; *at moves on. False: that was all. */
static bool next_range(const struct multiboot_info *info, u32 *at, u32 *start, u32 *end) {
    while (*at < info->map_size) {
        const struct multiboot_range *r = to_virtual(info->map + *at);
        *at += r->size + sizeof(r->size);
        *start = PAGE_UP((u32)MIN(r->start, DIRECT_MAP_SIZE));
        *end = PAGE_DOWN((u32)MIN(r->start + r->length, DIRECT_MAP_SIZE));
        if (r->type == MULTIBOOT_USABLE && *start < *end)
            return true;
    }
    return false;
}

/* The kernel and the modules come first in RAM; the table follows them, free frames follow that. */
void frames_start(u32 multiboot_info) {
    const struct multiboot_info *info = to_virtual(multiboot_info);
    const struct multiboot_module *m = to_virtual(info->modules);
    u32 used = to_physical(kernel_end), start, end;
    for (u32 at = 0; info->flags & INFO_MAP && next_range(info, &at, &start, &end);)
        ram_end = MAX(ram_end, end);
    if (!ram_end)
        panic("the boot loader gave no memory map");
    for (u32 i = 0; info->flags & INFO_MODULES && i < info->module_count; i++)
        used = MAX(used, m[i].end);
    frames = to_virtual(PAGE_UP(used));
    used = PAGE_UP(PAGE_UP(used) + ram_end / PAGE * sizeof(struct frame));
    if (used + RESERVE * PAGE > ram_end)
        panic("%u KiB of memory are too few for the modules", ram_end / 1024);

    for (u32 i = 0; i < ram_end / PAGE; i++)
        frames[i] = (struct frame){.owners = 1};
    for (u32 at = 0; next_range(info, &at, &start, &end);)
        for (u32 frame = MAX(start, used); frame < end; frame += PAGE) {
            frames_total++;
            frame_release(frame);
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
