/*
 * exec: a program from a file takes the place of the one that asked. What the file says is elf.c's
 * affair, what the program is told arguments.c's.
 *
 * Kept: the old program stays whole until the new one is ready; an exec that fails has no effect.
 */
#include "../include/exec.h"

/* --- the file ------------------------------------------------------------------------------- */

static int find_program(const char *path, struct inode **found) {
    int error = path_find(current ? current->cwd : NULL, path, true, found);
    return error ? error : S_ISREG((*found)->mode) && (*found)->mode & 0111 ? 0 : -EACCES;
}

static char *skip_blanks(char *p) {
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* "#! interpreter argument": both into `line`, the argument may be empty. 1: it is a script; 0: not. */
static int script_line(struct inode *i, char *line, u32 size, char **interpreter, char **argument) {
    int n = inode_read(i, line, size - 1, 0);
    if (n < 3 || line[0] != '#' || line[1] != '!')
        return 0;
    line[n] = 0;
    char *end = strchr(line, '\n');
    if (!end && (u32)n == size - 1)
        return -ENOEXEC; /* how it goes on is not known */
    end = end ? end : line + n;
    while (end[-1] == ' ' || end[-1] == '\t')
        end--;
    *end = 0;
    char *p = *interpreter = skip_blanks(line + 2);
    while (*p && *p != ' ' && *p != '\t')
        p++;
    *argument = skip_blanks(p);
    *p = 0;
    return **interpreter ? 1 : -ENOEXEC;
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

/*
 * The program to execute. For a script it is its interpreter, which may be a script again; then the
 * interpreter, its argument and the script's path become arguments. 1: it was a script.
 */
static int resolve(const char *path, u32 depth, struct inode **program, struct arguments *a, char *file,
                   u32 file_size) {
    enum { LINE = 256, MOST_SCRIPTS = 5 };
    OWNED(memory) char *line = allocate(LINE);
    OWNED(inode) struct inode *found = NULL;
    char *interpreter, *argument;
    int error = line ? find_program(path, &found) : -ENOMEM;
    int script = error ? error : script_line(found, line, LINE, &interpreter, &argument);
    if (!script) {
        *program = inode_use(found);
        name_program(file, file_size, path);
        return 0;
    }
    if (script > 0 && depth == MOST_SCRIPTS)
        return -ELOOP;
    int deeper = script < 0 ? script : resolve(interpreter, depth + 1, program, a, file, file_size);
    error = deeper < 0 ? deeper : deeper ? 0 : arguments_add(a, interpreter);
    if (!error && *argument)
        error = arguments_add(a, argument);
    if (!error)
        error = arguments_add(a, path);
    return error ? error : 1;
}

/* The program's inode and all arguments. */
static int prepare(const char *path, struct strings argv, struct strings envp, struct arguments *a,
                   struct inode **program, char *file, u32 file_size) {
    int script = resolve(path, 0, program, a, file, file_size);
    int error = script < 0 ? script : arguments_add_all(a, argv, (u32)script); /* for argv[0] stands the path */
    if (!error && !a->count)
        error = arguments_add(a, "");
    a->argument_count = a->count;
    return error ? error : arguments_add_all(a, envp, 0);
}

/* The address space of a program to be: its file, its loader's, and its stack. */
static int fill_space(struct space *s, struct inode *i, struct arguments *a, const struct process *who,
                      u32 *entry) {
    OWNED(inode) struct inode *loader_inode = NULL;
    struct program program = {0}, loader = {0};
    int error = map_program(s, i, PROGRAM_BASE, &program);
    if (!error && program.loader[0]) { /* a dynamic program starts in its loader */
        error = find_program(program.loader, &loader_inode);
        if (!error)
            error = map_program(s, loader_inode, LOADER_BASE, &loader);
        if (!error && loader.loader[0])
            error = -ENOEXEC;
    }
    if (!error)
        error = space_map(s, USER_STACK_TOP - USER_STACK_SIZE, USER_STACK_SIZE, PROT_READ | PROT_WRITE, false,
                          NULL, 0);
    if (!error)
        error = build_stack(s, a, &program, loader.base, who);
    s->heap_start = s->heap_end = PAGE_UP(program.end);
    *entry = program.loader[0] ? loader.entry : program.entry;
    return error;
}

/* --- the change ----------------------------------------------------------------------------- */

static void forget_handlers(struct process *p) {
    for (int i = 1; i < SIGNALS; i++)
        if (p->actions[i].handler != SIG_IGN)
            p->actions[i] = (struct sigaction){0};
    p->altstack = (struct sigaltstack){0};
}

static const char *last_part(const char *path) {
    const char *name = path;
    for (; *path; path++)
        if (*path == '/' && path[1])
            name = path + 1;
    return name;
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
    inode_drop(p->executable);
    p->executable = inode_use(program);
    for (u32 fd = 0; fd < p->files_end; fd++)
        if (p->close_on_exec[fd / 32] >> fd % 32 & 1)
            descriptor_close(p, fd);
    memset(p->close_on_exec, 0, sizeof(p->close_on_exec));
    forget_handlers(p);
    fpu_drop(p);
    p->arch.fpu_used = false;
    for (u32 i = 0; i < TLS_COUNT; i++)
        arch_set_tls(p, i, 0, 0, SEG_ABSENT); /* the old program's */
    p->clear_tid = 0;
    copy_string(p->name, last_part(path), sizeof(p->name));
    copy_string(p->path, file, sizeof(p->path));
}

static int exec(struct process *p, const char *path, struct strings argv, struct strings envp,
                struct trap_frame *f) {
    OWNED(arguments) struct arguments *a = allocate_zeroed(sizeof(*a));
    OWNED(inode) struct inode *inode = NULL;
    char file[sizeof(p->path)];
    u32 entry;
    int error = a ? prepare(path, argv, envp, a, &inode, file, sizeof(file)) : -ENOMEM;
    if (error)
        return error;
    struct space *s = space_new();
    error = s ? fill_space(s, inode, a, p, &entry) : -ENOMEM;
    if (error) {
        space_release(s);
        return error;
    }
    become(p, path, file, s, inode);
    p->arguments = a->first;
    p->arguments_end = a->first_end;
    *f = (struct trap_frame){
        .eip = entry, .esp = a->stack, .cs = USER_CS, .ss = USER_DS, .ds = USER_DS, .es = USER_DS,
        .eflags = FLAG_IF | 2,
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
