/*
 * /proc: the state of the kernel as text, written when it is read. Every process has a directory
 * with a few files. ps, free and uptime read nothing else.
 *
 * Kept: nothing here holds on to a process: an inode has its number, and a process that is gone
 * gives ENOENT. Inode numbers are 100h times the process's number (0: the top) plus the file's.
 */
#include "../include/files.h"

typedef int writer(char *to, u32 size, struct process *p);

static struct mount *mount;

static const char state_letters[] = {[RUNNABLE] = 'R', [SLEEPING] = 'S', [STOPPED] = 'T', [ZOMBIE] = 'Z'};

static int parent_of(struct process *p) {
    return p->parent ? p->parent->pid : 0;
}

static int write_stat(char *to, u32 size, struct process *p) {
    u32 pages = p->space ? p->space->resident : 0, memory = 0;
    for (struct area *a = p->space ? p->space->areas : NULL; a; a = a->next)
        memory += a->end - a->start;
    return format_text(to, size,
                       "%d (%s) %c %d %d %d %d %d 0 0 0 0 0 %u %u %u %u 20 0 1 0 %u %u %u 4294967295 "
                       "0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n",
                       p->pid, p->name, state_letters[p->state], parent_of(p), p->group, p->session,
                       p->has_tty ? DEVICE_CONSOLE : 0, p->has_tty ? p->group : -1, p->user_ticks,
                       p->system_ticks, p->child_user_ticks, p->child_system_ticks, p->started, memory,
                       pages);
}

static int write_status(char *to, u32 size, struct process *p) {
    u32 u = p->ids[USER], eu = p->ids[EFFECTIVE_USER], g = p->ids[GROUP], eg = p->ids[EFFECTIVE_GROUP];
    return format_text(to, size,
                       "Name:\t%s\nState:\t%c\nPid:\t%d\nPPid:\t%d\n"
                       "Uid:\t%u\t%u\t%u\t%u\nGid:\t%u\t%u\t%u\t%u\nVmRSS:\t%u kB\n",
                       p->name, state_letters[p->state], p->pid, parent_of(p), u, eu, u, eu, g, eg, g, eg,
                       p->space ? p->space->resident * 4 : 0);
}

static int write_cmdline(char *to, u32 size, struct process *p) {
    u32 n = MIN(size, p->arguments_end - p->arguments);
    if (!p->space || copy_from_space(p->space, to, p->arguments, n))
        return 0;
    return (int)n;
}

static int write_comm(char *to, u32 size, struct process *p) {
    return format_text(to, size, "%s\n", p->name);
}

static int write_exe(char *to, u32 size, struct process *p) {
    return format_text(to, size, "%s", p->path);
}

static int write_maps(char *to, u32 size, struct process *p) {
    u32 n = 0;
    for (struct area *a = p->space ? p->space->areas : NULL; a && n < size; a = a->next)
        n += (u32)format_text(to + n, size - n, "%08x-%08x %c%c%c%c %08x 00:00 %u\n", a->start, a->end,
                              a->prot & PROT_READ ? 'r' : '-', a->prot & PROT_WRITE ? 'w' : '-',
                              a->prot & PROT_EXEC ? 'x' : '-', a->shared ? 's' : 'p', a->offset,
                              a->inode ? a->inode->number : 0);
    return (int)n;
}

static int write_uptime(char *to, u32 size, struct process *p) {
    u32 s = (ticks - 1) / HZ, part = (ticks - 1) % HZ;
    return format_text(to, size, "%u.%02u 0.00\n", s, part);
}

static int write_meminfo(char *to, u32 size, struct process *p) {
    return format_text(to, size,
                       "MemTotal: %8u kB\nMemFree: %9u kB\nMemAvailable: %4u kB\nBuffers: %9u kB\n"
                       "Cached: %10u kB\nSwapTotal: %7u kB\nSwapFree: %8u kB\n",
                       frames_total * 4, frames_free * 4, frames_free * 4, 0, 0, 0, 0);
}

static int write_mounts(char *to, u32 size, struct process *p) {
    u32 n = 0;
    for (struct mount *m = mounts; m && n < size; m = m->next)
        n += (u32)format_text(to + n, size - n, "%s %s %s %s 0 0\n", m->source, m->target, m->type,
                              m->read_only ? "ro" : "rw");
    return (int)n;
}

static int write_loadavg(char *to, u32 size, struct process *p) {
    u32 running = 0, all = 0;
    for (EACH_PROCESS(each)) {
        all++;
        running += each->state == RUNNABLE;
    }
    return format_text(to, size, "0.00 0.00 0.00 %u/%u %d\n", running, all, current->pid);
}

static int write_cpu(char *to, u32 size, struct process *p) {
    u32 busy = 0;
    for (EACH_PROCESS(each))
        busy += each->user_ticks + each->system_ticks;
    return format_text(to, size, "cpu  %u 0 0 %u 0 0 0 0 0 0\nbtime %u\n", busy,
                       ticks - MIN(ticks, busy), boot_time);
}

/* Programs count the processors here. */
static int write_cpuinfo(char *to, u32 size, struct process *p) {
    return format_text(to, size, "processor\t: 0\n\n");
}

static int write_version(char *to, u32 size, struct process *p) {
    return format_text(to, size, "sprout version 1.0\n");
}

static int write_command_line(char *to, u32 size, struct process *p) {
    return format_text(to, size, "%s\n", command_line);
}

static int write_self(char *to, u32 size, struct process *p) {
    return format_text(to, size, "%d", current->pid);
}

struct proc_file {
    const char *name;
    u32 mode;
    writer *write;
};

static const struct proc_file top_files[] = {
    {"self", S_IFLNK | 0777, write_self},       {"uptime", S_IFREG | 0444, write_uptime},
    {"meminfo", S_IFREG | 0444, write_meminfo}, {"mounts", S_IFREG | 0444, write_mounts},
    {"loadavg", S_IFREG | 0444, write_loadavg}, {"stat", S_IFREG | 0444, write_cpu},
    {"version", S_IFREG | 0444, write_version}, {"cmdline", S_IFREG | 0444, write_command_line},
    {"cpuinfo", S_IFREG | 0444, write_cpuinfo},
};
static const struct proc_file process_files[] = {
    {"stat", S_IFREG | 0444, write_stat},       {"status", S_IFREG | 0444, write_status},
    {"cmdline", S_IFREG | 0444, write_cmdline}, {"comm", S_IFREG | 0444, write_comm},
    {"maps", S_IFREG | 0444, write_maps},       {"exe", S_IFLNK | 0777, write_exe},
};

/* --- inodes --------------------------------------------------------------------------------- */

static const struct inode_ops proc_ops;

static int pid_of(struct inode *i) {
    return (int)(i->number >> 8);
}

static const struct proc_file *file_of(struct inode *i) {
    u32 index = (i->number & 0xff) - 1;
    return pid_of(i) ? &process_files[index] : &top_files[index];
}

static int make(u32 number, u32 mode, struct process *p, struct inode **found) {
    *found = inode_new(mount, &proc_ops, number, mode);
    if (!*found)
        return -ENOMEM;
    (*found)->size = S_ISDIR(mode) ? 0 : PAGE;
    (*found)->uid = p ? p->ids[EFFECTIVE_USER] : 0;
    (*found)->gid = p ? p->ids[EFFECTIVE_GROUP] : 0;
    return 0;
}

static int lookup(struct inode *dir, const char *name, struct inode **found) {
    int pid = pid_of(dir);
    struct process *p = NULL;
    if (!strcmp(name, "..")) {
        *found = inode_use(mount->root);
        return 0;
    }
    if (pid && !(p = process_find(pid)))
        return -ENOENT;
    const struct proc_file *files = pid ? process_files : top_files;
    u32 count = pid ? ARRAY_SIZE(process_files) : ARRAY_SIZE(top_files);
    for (u32 i = 0; i < count; i++)
        if (!strcmp(files[i].name, name))
            return make(((u32)pid << 8) + i + 1, files[i].mode, p, found);
    if (!pid && *name >= '1' && *name <= '9')
        p = process_find((int)parse_number(name));
    return !pid && p ? make((u32)p->pid << 8, S_IFDIR | 0555, p, found) : -ENOENT;
}

/* Positions: ".", "..", the files; in the top directory then the slots of the process table. */
static int list(struct inode *dir, u32 *position, struct entry *e) {
    u32 at = (*position)++, base = dir->number & ~0xffu;
    const struct proc_file *files = base ? process_files : top_files;
    u32 count = base ? ARRAY_SIZE(process_files) : ARRAY_SIZE(top_files);
    if (at < 2)
        return fill_entry(e, at ? mount->root->number : dir->number, DT_DIR, at ? ".." : ".");
    at -= 2;
    if (at < count)
        return fill_entry(e, base + at + 1, files[at].mode >> 12, files[at].name);
    struct process *p = base ? NULL : process_from(at - count);
    char name[12];
    if (!p)
        return 0;
    format_text(name, sizeof(name), "%d", p->pid);
    *position = p->slot + count + 3;
    return fill_entry(e, (u32)p->pid << 8, DT_DIR, name);
}

static int read(struct inode *i, struct transfer *t, u32 offset) {
    struct process *p = pid_of(i) ? process_find(pid_of(i)) : NULL;
    if (is_directory(i))
        return -EISDIR;
    if (pid_of(i) && !p)
        return -ESRCH;
    OWNED(memory) char *text = allocate(PAGE);
    if (!text)
        return -ENOMEM;
    u32 n = MIN((u32)file_of(i)->write(text, PAGE, p), PAGE);
    return offset < n ? give(t, text + offset, MIN(t->left, n - offset)) : 0;
}

static int write(struct inode *i, struct transfer *t, u32 offset) {
    return -EACCES;
}

static int resize(struct inode *i, u32 size) {
    return -EACCES;
}

static void forget(struct inode *i) {
    release(i);
}

static const struct inode_ops proc_ops = {
    .lookup = lookup, .list = list, .read = read, .write = write, .resize = resize, .forget = forget,
};

int procfs_start(void) {
    mount = mount_new("proc", "proc", "/proc");
    if (!mount || make(0xf0, S_IFDIR | 0555, NULL, &mount->root))
        return -ENOMEM;
    mount->root->parent = mount->root;
    return mount_root_directory("proc", mount);
}
