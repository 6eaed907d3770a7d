/*
 * Page tables: a directory of 1024 entries, each for a table of 1024 entries, each for a page.
 *
 * Kept: the upper quarter (KERNEL_BASE and up) of all directories is the same, and its tables are
 * made here, once; so no later change has to be copied to other address spaces. Kernel text and
 * constants are read-only, and CR0.WP makes that hold for the kernel too.
 */
#include "../include/process.h"

u32 kernel_root;

extern char text_start[], text_end[];

static u32 new_table(void) {
    u32 table = frame_allocate();
    if (table)
        memset(to_virtual(table), 0, PAGE);
    return table;
}

/* The entry for an address; NULL if its table is missing and is not to be made, or cannot be. */
pte *page_entry(u32 root, u32 address, bool make) {
    pte *directory = to_virtual(root);
    pte *d = &directory[address >> 22];
    if (!(*d & PTE_PRESENT)) {
        u32 table = make ? new_table() : 0;
        if (!table)
            return NULL;
        mmu_set(d, table | PTE_PRESENT | PTE_WRITE | PTE_USER);
    }
    pte *table = to_virtual(*d & PTE_FRAME);
    return &table[address >> 12 & 1023];
}

/* The first entry from *at on, below `end`, that is not empty, and its address; NULL: there is none. */
pte *page_next(u32 root, u32 *at, u32 end) {
    const pte *directory = to_virtual(root);
    while (*at < end) {
        u32 next = (*at | ((1u << 22) - 1)) + 1;
        if (directory[*at >> 22] & PTE_PRESENT) {
            pte *table = to_virtual(directory[*at >> 22] & PTE_FRAME);
            u32 stop = MIN(next, end);
            for (; *at < stop; *at += PAGE)
                if (table[*at >> 12 & 1023])
                    return &table[*at >> 12 & 1023];
        }
        *at = next;
    }
    return NULL;
}

static pte *kernel_entry(u32 address) {
    pte *e = page_entry(kernel_root, address, true);
    if (!e)
        panic("no memory for the kernel's page tables");
    return e;
}

void paging_start(void) {
    kernel_root = new_table();
    for (u32 at = 0; at < ram_end; at += PAGE) {
        u32 address = at + KERNEL_BASE;
        bool text = address >= (u32)text_start && address < (u32)text_end;
        mmu_set(kernel_entry(address), at | PTE_PRESENT | (text ? 0 : PTE_WRITE));
    }
    kernel_entry(STACKS_BASE); /* one table is enough for all stacks */
    mmu_load(kernel_root);
    arch_crash_root(kernel_root);
}

u32 page_root_new(void) {
    u32 root = new_table(), first = KERNEL_BASE >> 22;
    if (!root)
        return 0;
    pte *to = to_virtual(root), *from = to_virtual(kernel_root);
    for (u32 i = first; i < 1024; i++)
        mmu_set(&to[i], from[i]);
    return root;
}

/* The tables of the lower part and the directory; the pages themselves are gone already. */
void page_root_free(u32 root) {
    pte *directory = to_virtual(root);
    for (u32 i = 0; i < KERNEL_BASE >> 22; i++)
        if (directory[i] & PTE_PRESENT)
            frame_release(directory[i] & PTE_FRAME);
    frame_release(root);
}

/* A kernel stack at the place of the process's slot. What lies below it stays unmapped. */
void stack_unmap(struct process *p) {
    for (u32 at = p->stack_top - STACK_SIZE; at < p->stack_top; at += PAGE) {
        pte *e = kernel_entry(at);
        if (*e & PTE_PRESENT)
            frame_release(*e & PTE_FRAME);
        mmu_set(e, 0);
        mmu_flush(at);
    }
}

bool stack_map(struct process *p) {
    p->stack_top = STACKS_BASE + (p->slot + 1) * STACK_STRIDE;
    for (u32 at = p->stack_top - STACK_SIZE; at < p->stack_top; at += PAGE) {
        u32 frame = frame_allocate();
        if (!frame) {
            stack_unmap(p);
            return false;
        }
        mmu_set(kernel_entry(at), frame | PTE_PRESENT | PTE_WRITE);
        mmu_flush(at);
    }
    return true;
}
