/*
 * Memory for the kernel's own small objects: pieces of 32, 64 ... 2048 bytes, cut from pages, and
 * whole pages. Each size has a list of free pieces.
 *
 * Kept: a page is cut into pieces of one size, which its frame remembers; so a piece needs no header.
 */
#include "../include/kernel.h"

enum { SMALLEST = 5, CLASSES = 8 }; /* 2^5 to 2^12 */

struct piece {
    struct piece *next;
};

static struct piece *free_pieces[CLASSES];

static bool cut_page(u32 class) {
    u32 page = frame_allocate(), size = 1u << (class + SMALLEST);
    if (!page)
        return false;
    frame_of(page)->heap_class = class;
    for (u32 at = 0; at < PAGE; at += size) {
        struct piece *p = to_virtual(page + at);
        p->next = free_pieces[class];
        free_pieces[class] = p;
    }
    return true;
}

void *allocate(u32 size) {
    u32 class = 0;
    while ((1u << (class + SMALLEST)) < size)
        class++;
    if (class >= CLASSES)
        panic("allocate: %u bytes are more than a page", size);
    if (!free_pieces[class] && !cut_page(class))
        return NULL;
    struct piece *p = free_pieces[class];
    free_pieces[class] = p->next;
    return p;
}

void *allocate_zeroed(u32 size) {
    void *p = allocate(size);
    if (p)
        memset(p, 0, size);
    return p;
}

void release(void *piece) {
    if (!piece)
        return;
    u32 class = frame_of(to_physical(piece))->heap_class;
    if (class == CLASSES - 1) { /* whole pages go back */
        frame_release(PAGE_DOWN(to_physical(piece)));
        return;
    }
    struct piece *p = piece;
    p->next = free_pieces[class];
    free_pieces[class] = p;
}
