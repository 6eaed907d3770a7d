/*
 * ELF files: what lies where in memory. Nothing is read now but the headers: the file's segments
 * become areas, whose pages come when they are touched.
 *
 * Kept: nothing in the file is believed; every number is checked before it is used.
 */
#include "../include/exec.h"

struct elf_header {
    u8 magic[4], class, data, version, abi, pad[8];
    u16 type, machine;
    u32 version2, entry, program_headers, section_headers, flags;
    u16 header_size, program_header_size, program_header_count, rest[3];
};
struct program_header {
    u32 type, offset, address, physical, file_size, memory_size, flags, align;
};
_Static_assert(sizeof(struct program_header) == PROGRAM_HEADER, "program_header");
enum { CLASS_32 = 1, LITTLE_ENDIAN = 1, ET_EXEC = 2, ET_DYN = 3, EM_386 = 3, MOST_HEADERS = 32 };
enum { PT_LOAD = 1, PT_INTERP = 3, PF_X = 1, PF_W = 2, PF_R = 4 };
enum { LIMIT = USER_STACK_TOP - USER_STACK_SIZE, MOST_OFFSET = 0x7fffffff - PAGE };

static bool header_good(const struct elf_header *h) {
    return !memcmp(h->magic, "\177ELF", 4) && h->class == CLASS_32 && h->data == LITTLE_ENDIAN &&
           (h->type == ET_EXEC || h->type == ET_DYN) && h->machine == EM_386 &&
           h->program_header_size == PROGRAM_HEADER && h->program_header_count <= MOST_HEADERS;
}

static bool segment_good(const struct program_header *p, u32 start) {
    return p->file_size <= p->memory_size && start >= USER_START && start < (u32)LIMIT &&
           p->memory_size <= (u32)LIMIT - start && p->offset < MOST_OFFSET &&
           p->file_size < MOST_OFFSET - p->offset && (!p->file_size || (p->offset - start) % PAGE == 0);
}

static u32 protection(u32 flags) {
    return (flags & PF_R ? PROT_READ : 0) | (flags & PF_W ? PROT_WRITE : 0) | (flags & PF_X ? PROT_EXEC : 0);
}

/* Pages of the file, and behind them pages of zeros (the program's .bss). */
static int map_segment(struct space *s, struct inode *i, const struct program_header *p, u32 start) {
    if (!p->memory_size)
        return 0;
    if (!segment_good(p, start))
        return -ENOEXEC;
    u32 prot = protection(p->flags), first = PAGE_DOWN(start), file_end = start + p->file_size;
    u32 zeros = p->file_size ? PAGE_UP(file_end) : first, end = PAGE_UP(start + p->memory_size);
    int error = space_unmap(s, first, end - first); /* of a page that two segments share, the later is had */
    if (!error && zeros > first)
        error = space_map(s, first, zeros - first, prot, false, i, p->offset - start % PAGE);
    if (!error && end > zeros)
        error = space_map(s, zeros, end - zeros, prot, false, NULL, 0);
    if (!error && p->memory_size > p->file_size && file_end % PAGE && prot & PROT_WRITE)
        error = copy_to_space(s, file_end, NULL, PAGE - file_end % PAGE) ? -ENOEXEC : 0;
    return error;
}

static int map_header(struct space *s, struct inode *i, const struct elf_header *h,
                      const struct program_header *p, struct program *out) {
    u32 start = p->address + out->base;
    if (p->type == PT_INTERP && p->file_size < sizeof(out->loader))
        return MIN(inode_read(i, out->loader, p->file_size, p->offset), 0);
    if (p->type != PT_LOAD)
        return 0;
    if (h->program_headers - p->offset < p->file_size)
        out->headers = start + (h->program_headers - p->offset);
    out->end = MAX(out->end, start + p->memory_size);
    return map_segment(s, i, p, start);
}

int map_program(struct space *s, struct inode *i, u32 base, struct program *out) {
    struct elf_header h;
    if (inode_read(i, &h, sizeof(h), 0) != sizeof(h) || !header_good(&h) || h.program_headers > i->size)
        return -ENOEXEC;
    *out = (struct program){.base = h.type == ET_DYN ? base : 0, .header_count = h.program_header_count};
    out->entry = h.entry + out->base;
    for (u32 n = 0; n < h.program_header_count; n++) {
        struct program_header p;
        if (inode_read(i, &p, sizeof(p), h.program_headers + n * sizeof(p)) != sizeof(p))
            return -ENOEXEC;
        int error = map_header(s, i, &h, &p, out);
        if (error)
            return error;
    }
    return out->end && out->entry < USER_END ? 0 : -ENOEXEC;
}
