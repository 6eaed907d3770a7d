/*
 * exec: a program from an ELF file takes the place of the one that asked. Nothing is read now:
 * the file's segments become areas, whose pages come when they are touched.
 *
 * Kept: the old program stays whole until the new one is ready; an exec that fails has no effect.
 * Nothing in the file is believed: every number is checked before it is used.
 */
#include "../include/files.h"

struct elf_header {
    u8 magic[4], class, data, version, abi, pad[8];
    u16 type, machine;
    u32 version2, entry, program_headers, section_headers, flags;
    u16 header_size, program_header_size, program_header_count, rest[3];
};
struct program_header {
    u32 type, offset, address, physical, file_size, memory_size, flags, align;
};
enum { ET_EXEC = 2, ET_DYN = 3, EM_386 = 3, PT_LOAD = 1, PT_INTERP = 3, PF_X = 1, PF_W = 2, PF_R = 4 };
enum { MOVED_PROGRAM = 0x08000000, MOVED_LOADER = 0x37000000, MOST_HEADERS = 32, ARGUMENT_PAGES = 32 };

/* The strings of argv and envp, one after the other as they will stand on the stack. */
struct arguments {
    u32 count, environment_count, used, first_end;
    char *pages[ARGUMENT_PAGES];
};

/* Where they come from: pointers in a program's memory, or the kernel's own. */
struct strings {
    u32 user;
    const char *const *kernel;
};

/* --- arguments ------------------------------------------------------------------------------ */

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

static int add_user_string(struct arguments *a, u32 at) {
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

static int add_strings(struct arguments *a, struct strings from, u32 skip, u32 *count) {
    for (u32 i = 0;; i++) {
        u32 pointer = 0;
        int error;
        if (from.kernel) {
            if (!from.kernel[i])
                return 0;
            error = i < skip ? 0 : add_bytes(a, from.kernel[i], strlen(from.kernel[i]) + 1);
        } else {
            if (!from.user)
                return 0;
            if (copy_from_user(&pointer, from.user + 4 * i, 4))
                return -EFAULT;
            if (!pointer)
                return 0;
            error = i < skip ? 0 : add_user_string(a, pointer);
        }
        if (error)
            return error;
        *count += i >= skip;
    }
}

static void free_arguments(struct arguments *a) {
    for (u32 i = 0; i < ARGUMENT_PAGES; i++)
        release(a->pages[i]);
    release(a);
}

/* --- the file ------------------------------------------------------------------------------- */

static int read_at(struct inode *i, void *to, u32 size, u32 offset) {
    struct transfer t = {(u32)to, size, 0, true};
    int error = i->ops->read(i, &t, offset);
    return error < 0 ? error : (int)t.done;
}

static int find_program(const char *path, struct inode **found) {
    int error = path_find(current ? current->cwd : NULL, path, true, found);
    if (error)
        return error;
    if (!S_ISREG((*found)->mode) || !((*found)->mode & 0111)) {
        inode_drop(*found);
        return -EACCES;
    }
    return 0;
}

static bool header_good(const struct elf_header *h, int size) {
    return size == sizeof(*h) && !memcmp(h->magic, "\177ELF", 4) && h->class == 1 && h->data == 1 &&
           (h->type == ET_EXEC || h->type == ET_DYN) && h->machine == EM_386 &&
           h->program_header_size == sizeof(struct program_header) && h->program_header_count <= MOST_HEADERS;
}

static bool segment_good(const struct program_header *p, u32 base) {
    u32 start = p->address + base;
    return p->file_size <= p->memory_size && start >= USER_START && start < USER_STACK_TOP - USER_STACK_SIZE &&
           p->memory_size <= USER_STACK_TOP - USER_STACK_SIZE - start && p->offset < 0x7fffffff - PAGE &&
           p->file_size < 0x7fffffff - PAGE - p->offset && (p->offset - start) % PAGE == 0;
}

static int map_segment(struct space *s, struct inode *i, const struct program_header *p, u32 base, u32 *end) {
    if (!segment_good(p, base))
        return -ENOEXEC;
    u32 start = p->address + base, prot = (p->flags & PF_R ? PROT_READ : 0) |
                                          (p->flags & PF_W ? PROT_WRITE : 0) | (p->flags & PF_X ? PROT_EXEC : 0);
    u32 file_end = start + p->file_size, first = PAGE_DOWN(start);
    u32 zeros = p->file_size ? PAGE_UP(file_end) : first, memory_end = PAGE_UP(start + p->memory_size);
    int error = 0;
    if (!p->memory_size)
        return 0;
    if (!space_is_free(s, first, memory_end - first))
        return -ENOEXEC;
    if (p->file_size)
        error = space_map(s, first, zeros - first, prot, false, i, p->offset - start % PAGE);
    if (!error && memory_end > zeros)
        error = space_map(s, zeros, memory_end - zeros, prot, false, NULL, 0);
    if (!error && p->memory_size > p->file_size && file_end % PAGE && prot & PROT_WRITE) {
        u8 *page = user_page(s, file_end, true);
        if (page)
            memset(page, 0, PAGE - file_end % PAGE);
        else
            error = -ENOEXEC;
    }
    *end = MAX(*end, start + p->memory_size);
    return error;
}

struct program {
    u32 base, entry, headers, header_count, end;
    char loader[64];
};

static int map_program(struct space *s, struct inode *i, u32 base, struct program *out) {
    struct elf_header h;
    if (!header_good(&h, read_at(i, &h, sizeof(h), 0)))
        return -ENOEXEC;
    *out = (struct program){.base = h.type == ET_DYN ? base : 0, .header_count = h.program_header_count};
    out->entry = h.entry + out->base;
    for (u32 n = 0; n < h.program_header_count; n++) {
        struct program_header p;
        int error = 0;
        if (h.program_headers > i->size ||
            read_at(i, &p, sizeof(p), h.program_headers + n * sizeof(p)) != sizeof(p))
            return -ENOEXEC;
        if (p.type == PT_LOAD)
            error = map_segment(s, i, &p, out->base, &out->end);
        if (p.type == PT_LOAD && h.program_headers - p.offset < p.file_size)
            out->headers = p.address + out->base + (h.program_headers - p.offset);
        if (p.type == PT_INTERP && p.file_size < sizeof(out->loader))
            error = MIN(read_at(i, out->loader, p.file_size, p.offset), 0);
        if (error)
            return error;
    }
    return out->end && out->entry < USER_END ? 0 : -ENOEXEC;
}

/* A dynamic program starts in its loader, which is told of the program by the auxiliary vector. */
static int map_loader(struct space *s, struct program *p, struct program *loader) {
    struct inode *i;
    int error = find_program(p->loader, &i);
    if (error)
        return error;
    error = map_program(s, i, MOVED_LOADER, loader);
    inode_drop(i);
    return error ? error : loader->loader[0] ? -ENOEXEC : 0;
}

/* --- the first stack ------------------------------------------------------------------------ */

/* From the top down: the strings, random bytes, the auxiliary vector, envp, argv, argc. */
static int build_stack(struct space *s, struct arguments *a, struct program *p, struct program *loader,
                       struct process *who, u32 *stack) {
    u32 strings = ALIGN_DOWN(USER_STACK_TOP - 16 - a->used, 16), random = strings - 32, at = strings;
    u32 seed[4] = {random32(), random32(), random32(), random32()};
    u32 vector[] = {
        AT_PHDR, p->headers, AT_PHENT, sizeof(struct program_header), AT_PHNUM, p->header_count,
        AT_PAGESZ, PAGE, AT_BASE, loader->base, AT_FLAGS, 0, AT_ENTRY, p->entry,
        AT_UID, who->uid, AT_EUID, who->euid, AT_GID, who->gid, AT_EGID, who->egid,
        AT_CLKTCK, HZ, AT_SECURE, 0, AT_RANDOM, random, AT_PLATFORM, random + 16,
        AT_EXECFN, strings, AT_NULL, 0,
    };
    u32 pointers = 1 + a->count + 1 + a->environment_count + 1;
    u32 sp = ALIGN_DOWN(random - sizeof(vector) - 4 * pointers, 16), slot = sp;
    int error = copy_to_space(s, random, seed, 16) | copy_to_space(s, random + 16, "i686", 5) |
                copy_to_space(s, slot, &a->count, 4);
    for (u32 i = 0; i < a->used && !error; i += PAGE)
        error = copy_to_space(s, strings + i, a->pages[i / PAGE], MIN(PAGE, a->used - i));
    for (u32 i = 0; i < a->count + 1 + a->environment_count + 1 && !error; i++) {
        bool null = i == a->count || i == a->count + 1 + a->environment_count;
        u32 value = null ? 0 : at;
        error = copy_to_space(s, slot += 4, &value, 4);
        while (!null && a->pages[(at - strings) / PAGE][(at - strings) % PAGE])
            at++;
        at += !null;
        if (i == a->count)
            a->first_end = at;
    }
    error |= copy_to_space(s, slot + 4, vector, sizeof(vector));
    who->arguments = strings;
    who->arguments_end = a->first_end;
    *stack = sp;
    return error ? -E2BIG : 0;
}

/* --- exec ----------------------------------------------------------------------------------- */

/* "#! interpreter argument": both into `line`; how many there are. */
static int script_line(struct inode *i, char *line, u32 size, char **interpreter, char **argument) {
    int n = read_at(i, line, size - 1, 0);
    if (n < 3 || line[0] != '#' || line[1] != '!')
        return 0;
    line[n] = 0;
    char *end = strchr(line, '\n');
    if (!end)
        return -ENOEXEC;
    while (end > line && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = 0;
    char *p = line + 2;
    while (*p == ' ' || *p == '\t')
        p++;
    *interpreter = p;
    while (*p && *p != ' ' && *p != '\t')
        p++;
    while (*p == ' ' || *p == '\t')
        *p++ = 0;
    *argument = p;
    return !**interpreter ? -ENOEXEC : *p ? 2 : 1;
}

/* The name of the program file for /proc: never a relative one. */
static void name_program(char *to, u32 size, const char *path) {
    char *full = *path != '/' && current->cwd ? allocate(PATH_SIZE) : NULL;
    if (full && path_of(current->cwd, full, PATH_SIZE) > 0)
        format_text(to, size, "%s/%s", full, path);
    else
        copy_string(to, path, size);
    release(full);
}

/* The program's inode and all arguments, those that a script's first line adds included. */
static int prepare(const char *path, struct strings argv, struct strings envp, struct arguments *a,
                   struct inode **program, char *file, u32 file_size) {
    char line[128], *interpreter = NULL, *argument = NULL;
    int error = find_program(path, program);
    if (error)
        return error;
    int script = script_line(*program, line, sizeof(line), &interpreter, &argument);
    name_program(file, file_size, script > 0 ? interpreter : path);
    if (script) {
        inode_drop(*program);
        *program = NULL;
        error = script < 0 ? script : find_program(interpreter, program);
        if (error)
            return error;
        error = add_bytes(a, interpreter, strlen(interpreter) + 1);
        if (!error && script == 2)
            error = add_bytes(a, argument, strlen(argument) + 1);
        if (!error)
            error = add_bytes(a, path, strlen(path) + 1);
        a->count = (u32)script + 1;
    }
    if (!error)
        error = add_strings(a, argv, script ? 1 : 0, &a->count);
    if (!error && !a->count)
        error = add_bytes(a, "", a->count = 1);
    if (!error)
        error = add_strings(a, envp, 0, &a->environment_count);
    if (error)
        inode_drop(*program);
    return error;
}

static void forget_handlers(struct process *p) {
    for (int i = 1; i < SIGNALS; i++)
        if (p->actions[i].handler != SIG_IGN)
            p->actions[i] = (struct sigaction){0};
    p->altstack = (struct sigaltstack){0};
}

/* The point of no return: from here on the process is the new program. */
static void become(struct process *p, const char *path, const char *file, struct space *s,
                   struct inode *program) {
    struct space *old = p->space;
    p->space = s;
    if (p == current) {
        mmu_load(s->root);
        process_vfork_done(p);
    }
    if (old)
        space_release(old);
    if (p->executable)
        inode_drop(p->executable);
    p->executable = program;
    for (int i = 0; i < FILES; i++)
        if (p->files[i] && p->close_on_exec >> i & 1) {
            struct file *f = p->files[i];
            p->files[i] = NULL;
            file_drop(f);
        }
    p->close_on_exec = 0;
    forget_handlers(p);
    fpu_drop(p);
    p->arch.fpu_used = false;
    for (u32 i = 0; i < TLS_COUNT; i++)
        arch_set_tls(p, i, 0, 0, 32);
    p->clear_tid = 0;
    const char *name = path;
    for (const char *c = path; *c; c++)
        if (*c == '/' && c[1])
            name = c + 1;
    copy_string(p->name, name, sizeof(p->name));
    copy_string(p->path, file, sizeof(p->path));
}

static int exec(struct process *p, const char *path, struct strings argv, struct strings envp,
                struct trap_frame *f) {
    struct arguments *a = allocate_zeroed(sizeof(*a));
    struct inode *inode = NULL;
    struct program program = {0}, loader = {0};
    char file[sizeof(p->path)];
    u32 stack = 0, old_arguments = p->arguments, old_end = p->arguments_end;
    if (!a)
        return -ENOMEM;
    int error = prepare(path, argv, envp, a, &inode, file, sizeof(file));
    struct space *s = error ? NULL : space_new();
    if (!error && !s) {
        inode_drop(inode);
        error = -ENOMEM;
    }
    if (s) {
        error = map_program(s, inode, MOVED_PROGRAM, &program);
        if (!error && program.loader[0])
            error = map_loader(s, &program, &loader);
        if (!error)
            error = space_map(s, USER_STACK_TOP - USER_STACK_SIZE, USER_STACK_SIZE, PROT_READ | PROT_WRITE, false,
                              NULL, 0);
        if (!error)
            error = build_stack(s, a, &program, &loader, p, &stack);
        if (error) {
            space_release(s);
            inode_drop(inode);
            p->arguments = old_arguments;
            p->arguments_end = old_end;
        }
    }
    free_arguments(a);
    if (error)
        return error;
    s->heap_start = s->heap_end = PAGE_UP(program.end);
    become(p, path, file, s, inode);
    *f = (struct trap_frame){
        .eip = program.loader[0] ? loader.entry : program.entry, .esp = stack,
        .cs = USER_CS, .ss = USER_DS, .ds = USER_DS, .es = USER_DS, .eflags = FLAG_IF | 2,
    };
    return 0;
}

int exec_user(const char *path, u32 argv, u32 envp, struct trap_frame *f) {
    return exec(current, path, (struct strings){argv, NULL}, (struct strings){envp, NULL}, f);
}

int exec_kernel(struct process *p, const char *path, const char *const *argv, const char *const *envp,
                struct trap_frame *f) {
    return exec(p, path, (struct strings){0, argv}, (struct strings){0, envp}, f);
}
