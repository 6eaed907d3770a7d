/*
 * What a new program finds on its stack: the strings of argv and envp, the vectors of pointers to
 * them, and the auxiliary vector, by which the kernel tells a program about itself.
 *
 * Kept: the strings are in the kernel's memory before the old program's memory goes.
 */
#include "../include/exec.h"

/* --- collecting them ------------------------------------------------------------------------ */

static int add_bytes(struct arguments *a, const char *bytes, u32 size) {
    while (size) {
        u32 page = a->used / PAGE, n = MIN(size, PAGE - a->used % PAGE);
        if (page >= ARGUMENT_PAGES)
            return -E2BIG;
        if (!a->pages[page] && !(a->pages[page] = allocate(PAGE)))
            return -ENOMEM;
        memcpy(a->pages[page] + a->used % PAGE, bytes, n);
        a->used += n;
        bytes += n;
        size -= n;
    }
    return 0;
}

int arguments_add(struct arguments *a, const char *string) {
    a->count++;
    return add_bytes(a, string, strlen(string) + 1);
}

static int add_user_string(struct arguments *a, u32 at) {
    a->count++;
    for (;;) {
        const char *page = user_page(current->space, at, false);
        u32 left = PAGE - at % PAGE, n = 0;
        if (!page)
            return -EFAULT;
        while (n < left && page[n])
            n++;
        bool end = n < left;
        int error = add_bytes(a, page, n + end);
        if (error || end)
            return error;
        at += n;
    }
}

/* Until a null pointer; the first `skip` are left out. */
int arguments_add_all(struct arguments *a, struct strings from, u32 skip) {
    for (u32 i = 0; from.user || from.kernel; i++) {
        u32 pointer = from.kernel ? (u32)from.kernel[i] : 0;
        if (from.user && copy_from_user(&pointer, from.user + 4 * i, 4))
            return -EFAULT;
        if (!pointer)
            break;
        if (i < skip)
            continue;
        int error = from.user ? add_user_string(a, pointer) : arguments_add(a, from.kernel[i]);
        if (error)
            return error;
    }
    return 0;
}

void owned_arguments(struct arguments **a) {
    for (u32 i = 0; *a && i < ARGUMENT_PAGES && (*a)->pages[i]; i++)
        release((*a)->pages[i]);
    release(*a);
}

/* --- the first stack ------------------------------------------------------------------------ */

/* Pointers to `count` strings from *string on, and a null pointer. *slot and *string move behind. */
static int put_pointers(struct space *s, const struct arguments *a, u32 count, u32 strings, u32 *string,
                        u32 *slot) {
    int error = 0;
    for (u32 i = 0; i <= count && !error; i++, *slot += 4) {
        u32 value = i < count ? *string : 0;
        error = copy_to_space(s, *slot, &value, 4);
        while (value && a->pages[(*string - strings) / PAGE][(*string - strings) % PAGE])
            ++*string;
        *string += value != 0;
    }
    return error;
}

/* From the top down: the strings, random bytes, the auxiliary vector, envp, argv, argc. */
int build_stack(struct space *s, struct arguments *a, const struct program *p, u32 loader_base,
                const struct process *who) {
    u32 strings = ALIGN_DOWN(USER_STACK_TOP - 16 - a->used, 16), string = strings;
    u32 platform = strings - 16, random = platform - 16;
    u32 seed[4] = {random32(), random32(), random32(), random32()};
    u32 vector[] = {
        AT_PHDR, p->headers, AT_PHENT, PROGRAM_HEADER, AT_PHNUM, p->header_count,
        AT_PAGESZ, PAGE, AT_BASE, loader_base, AT_FLAGS, 0, AT_ENTRY, p->entry,
        AT_UID, who->ids[USER], AT_EUID, who->ids[EFFECTIVE_USER],
        AT_GID, who->ids[GROUP], AT_EGID, who->ids[EFFECTIVE_GROUP],
        AT_CLKTCK, HZ, AT_SECURE, 0, AT_RANDOM, random, AT_PLATFORM, platform,
        AT_EXECFN, strings, AT_NULL, 0,
    };
    u32 pointers = a->count + 2; /* and a null pointer after each vector */
    u32 sp = ALIGN_DOWN(random - sizeof(vector) - 4 * pointers - 4, 16), slot = sp + 4;
    int error = copy_to_space(s, random, seed, 16) | copy_to_space(s, platform, "i686", 5) |
                copy_to_space(s, sp, &a->argument_count, 4);
    for (u32 i = 0; i < a->used && !error; i += PAGE)
        error = copy_to_space(s, strings + i, a->pages[i / PAGE], MIN(PAGE, a->used - i));
    if (!error)
        error = put_pointers(s, a, a->argument_count, strings, &string, &slot);
    a->stack = sp;
    a->first = strings;
    a->first_end = string;
    if (!error)
        error = put_pointers(s, a, a->count - a->argument_count, strings, &string, &slot) |
                copy_to_space(s, slot, vector, sizeof(vector));
    return error ? -E2BIG : 0;
}
