/*
 * To and from a program's memory. The kernel never follows a program's pointer: for each page it
 * looks the address up in the program's page table, lets the page-fault code fetch or copy the
 * page if need be, and copies through its own map of RAM.
 *
 * Kept: a bad pointer ends in -EFAULT, never in a fault of the kernel.
 */
#include "../include/files.h"

static bool allows(const pte *e, bool write) {
    u32 need = PTE_PRESENT | PTE_USER | (write ? PTE_WRITE : 0);
    return e && (*e & need) == need;
}

/* Where the kernel sees a user address; NULL if the program may not read (write) there. */
void *user_page(struct space *s, u32 address, bool write) {
    if (address < USER_START || address >= USER_END)
        return NULL;
    pte *e = page_entry(s->root, address, false);
    if (!allows(e, write)) {
        if (space_fault(s, address, FAULT_USER | (write ? FAULT_WRITE : 0)) < 0)
            return NULL;
        e = page_entry(s->root, address, false);
        if (!allows(e, write))
            return NULL;
    }
    return to_virtual((*e & PTE_FRAME) + address % PAGE);
}

static int copy(struct space *s, u32 user, void *kernel, const void *from, u32 size, bool to_user) {
    for (u32 done = 0; done < size;) {
        u32 n = MIN(size - done, PAGE - (user + done) % PAGE);
        u8 *page = user_page(s, user + done, to_user);
        if (!page)
            return -EFAULT;
        if (!to_user)
            memcpy((u8 *)kernel + done, page, n);
        else if (from)
            memcpy(page, (const u8 *)from + done, n);
        else
            memset(page, 0, n);
        done += n;
    }
    return 0;
}

int copy_to_space(struct space *s, u32 to, const void *from, u32 size) {
    return copy(s, to, NULL, from, size, true);
}

int copy_from_space(struct space *s, void *to, u32 from, u32 size) {
    return copy(s, from, to, NULL, size, false);
}

int copy_to_user(u32 to, const void *from, u32 size) {
    return copy(current->space, to, NULL, from, size, true);
}

int copy_from_user(void *to, u32 from, u32 size) {
    return copy(current->space, from, to, NULL, size, false);
}

int zero_user(u32 to, u32 size) {
    return copy(current->space, to, NULL, NULL, size, true);
}

int copy_string_from_user(char *to, u32 from, u32 size) {
    for (u32 n = 0; n < size;) {
        char *page = user_page(current->space, from + n, false);
        if (!page)
            return -EFAULT;
        for (u32 left = PAGE - (from + n) % PAGE; left && n < size; left--, n++)
            if (!(to[n] = *page++))
                return (int)n;
    }
    return -ENAMETOOLONG;
}

/* --- transfers ------------------------------------------------------------------------------ */

/* May sleep: a page may have to be fetched, or the slice may be over. */
static int transfer(struct transfer *t, void *to, const void *from, u32 size) {
    if (t->kernel)
        memcpy(to ? to : (void *)t->address, from ? from : (void *)t->address, size);
    else if (to ? copy_from_user(to, t->address, size) : copy_to_user(t->address, from, size))
        return -EFAULT;
    if (!t->kernel)
        give_way();
    t->address += size;
    t->left -= size;
    t->done += size;
    return 0;
}

int give(struct transfer *t, const void *data, u32 size) {
    return transfer(t, NULL, data, size);
}

int take(struct transfer *t, void *data, u32 size) {
    return transfer(t, data, NULL, size);
}
