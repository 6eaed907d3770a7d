/*
 * From the boot loader to the first process. Each line starts one part; what it needs was started
 * above it. At the end init is made, and the boot processor's stack is never used again.
 */
#include "../include/files.h"
#include "../include/multiboot.h"

static struct process boot; /* stands for this thread until init runs */

/* A root file system from the modules, which are cpio archives; their memory is kept. */
static void unpack_modules(const struct multiboot_info *info) {
    const struct multiboot_module *m = to_virtual(info->modules);
    int files = 0;
    for (u32 i = 0; info->flags & INFO_MODULES && i < info->module_count; i++) {
        int n = cpio_unpack(to_virtual(m[i].start), m[i].end - m[i].start);
        if (n < 0)
            print("module %u is damaged, or too large (error %d)\n", i, -n);
        files += MAX(n, 0);
    }
    print("root: %d files\n", files);
}

static void open_console(struct process *p) {
    struct file *f;
    if (file_open(NULL, "/dev/console", O_RDWR, 0, &f))
        panic("no /dev/console");
    for (int fd = 0; fd < 3; fd++)
        descriptor_set(p, fd, file_use(f), false);
    file_drop(f);
}

/* What the kernel does not know on the command line is init's environment (name=value). */
static void environment(const char **list, u32 size) {
    static char words[sizeof(command_line)];
    copy_string(words, command_line, sizeof(words));
    u32 n = 0;
    list[n++] = "HOME=/";
    list[n++] = "PATH=/bin:/sbin:/usr/bin:/usr/sbin";
    list[n++] = "TERM=linux";
    for (char *p = words; *p && n + 1 < size;) {
        char *end = strchr(p, ' ');
        if (end)
            *end = 0;
        if (strchr(p, '=') && strncmp(p, "init=", 5))
            list[n++] = p;
        if (!end)
            break;
        p = end + 1;
    }
    list[n] = NULL;
}

static void start_init(void) {
    static char path[64] = "";
    const char *choices[] = {path, "/init", "/sbin/init", "/bin/init", "/bin/sh"}, *environ[24];
    struct trap_frame frame;
    struct process *p = process_new();
    if (!p || !(p->space = space_new()))
        panic("no memory for init");
    init_process = p;
    p->parent = &boot; /* which never waits */
    p->cwd = inode_use(root_inode);
    p->group = p->session = p->pid;
    p->umask = 022;
    limits_start(p);
    open_console(p);
    option("init", path, sizeof(path));
    environment(environ, ARRAY_SIZE(environ));
    for (u32 i = 0; i < ARRAY_SIZE(choices); i++) {
        const char *argv[] = {choices[i], NULL};
        if (!*choices[i] || exec_kernel(p, choices[i], argv, environ, &frame))
            continue;
        arch_prepare(p, &frame);
        make_runnable(p);
        return;
    }
    panic("no init found: the root needs /init or /bin/sh");
}

void kernel_main(u32 magic, u32 info_at);

void kernel_main(u32 magic, u32 info_at) {
    const struct multiboot_info *info = to_virtual(info_at);
    current = &boot;
    boot.state = SLEEPING; /* so that nobody runs this thread again, once it gives way to init */
    arch_start();
    pic_start();
    vga_start();
    uart_start();
    if (magic != MULTIBOOT_LOADED)
        panic("no multiboot loader started this kernel");
    if (info->flags & INFO_COMMAND_LINE)
        copy_string(command_line, to_virtual(info->command_line), sizeof(command_line));
    print("sprout 1.0, a kernel to read\n");
    frames_start(info_at);
    paging_start();
    boot_time = rtc_read();
    pit_start();
    tty_start();
    uart_listen();
    keyboard_start();
    if (ramfs_start())
        panic("no memory for the root");
    unpack_modules(info);
    disk_start();
    network_start();
    if (devfs_start() || procfs_start())
        panic("no memory for /dev and /proc");
    start_init();
    schedule();
    panic("the boot stack runs again");
}
