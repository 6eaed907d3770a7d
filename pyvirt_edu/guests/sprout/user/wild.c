/*
 * wild: everything a program should not do, to see that the kernel survives it. Each deed is done
 * in a child, and the parent says how that ended.
 */
#include "lib/sprout.h"

static u32 seed = 1;

static u32 any(u32 limit) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % limit;
}

/* --- one wrong step ------------------------------------------------------------------------- */

static volatile int *volatile nowhere = (int *)16;

static void read_null(void) {
    (void)*nowhere;
}

static void write_null(void) {
    *nowhere = 1;
}

static void jump(void) {
    ((void (*)(void))0x123456)();
}

static void read_kernel(void) {
    (void)*(volatile int *)0xc0100000;
}

static void write_text(void) {
    *(volatile int *)(void *)write_null = 0;
}

static void divide(void) {
    asm volatile("div %0" : : "r"(0) : "eax", "edx");
}

static void halt(void) {
    asm volatile("hlt");
}

static void ports(void) {
    asm volatile("out %al, $0x80");
}

static void gate(void) {
    asm volatile("int $0x20");
}

static void bad_selector(void) {
    asm volatile("mov %0, %%gs" : : "r"(0x10));
}

static void opcode(void) {
    asm volatile("ud2");
}

static void flags(void) {
    asm volatile("pushf; orl $0x3000, (%esp); popf; cli");
}

static void step(void) {
    asm volatile("pushf; orl $0x100, (%esp); popf; nop");
}

static void stack(void) {
    asm volatile("1: push %eax; jmp 1b");
}

static void no_stack(void) {
    asm volatile("mov $0x1000, %esp; mov $20, %eax; int $0x80; push %eax");
}

static void false_frame(void) {
    asm volatile("mov $119, %eax; int $0x80");
}

/* --- too much ------------------------------------------------------------------------------- */

static void memory(void) {
    for (u32 size = 64 * PAGE;;) {
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if ((u32)p > 0xfffff000)
            exit(1);
        for (u32 i = 0; i < size; i += PAGE)
            p[i] = 1;
    }
}

/* Children that have children, until there is no room; who finds that out tells the others. */
static void bomb(void) {
    static const char full[] = "/tmp/wild/full";
    while (open(full, O_RDONLY) < 0)
        if (fork() < 0)
            open(full, O_WRONLY | O_CREAT);
    sleep_ms(300);
    unlink(full);
    exit(0);
}

static void descriptors(void) {
    int ends[2];
    while (pipe(ends, 0) >= 0)
        ;
    exit(0);
}

/* --- at random ------------------------------------------------------------------------------ */

static char arena[3 * PAGE];
static const char *const paths[] = {"/", "/tmp", "/tmp/wild", "/tmp/wild/a", "/tmp/wild/b",
                                    "/proc/1/stat", "", "/tmp/wild/../wild/a/", "/dev/zero", "/nothing/there",
                                    "a", ".."};

static u32 word(void) {
    static const u32 edges[] = {0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0xfffff000, 0xc0000000,
                                0xbffff000, 0xbfffeffd, 0x1000, 0xfff, 0xc0100000, 0xf8000000, 0x08048000,
                                4096, 4095, 1 << 20};
    switch (any(8)) {
    case 0:
        return edges[any(ARRAY_SIZE(edges))];
    case 1:
        return seed;
    case 2:
        return (u32)arena + any(sizeof(arena));
    case 3:
        return (u32)arena + 2 * PAGE - any(64);
    case 4:
        return (u32)paths[any(ARRAY_SIZE(paths))];
    case 5:
        return any(64);
    default:
        return any(8);
    }
}

/* Calls that would end the test rather than the kernel. */
static bool left_out(u32 number) {
    static const u16 list[] = {1,  252, 2,  120, 190, 29, 72,  179, 37, 178, 238,
                               270, 88, 66, 12,  133, 21, 119, 173, 435};
    for (u32 i = 0; i < ARRAY_SIZE(list); i++)
        if (list[i] == number)
            return true;
    return false;
}

static void nothing_happens(int number) {
}

static void calls(void) {
    struct itimerval32 timer = {{0, 50000}, {0, 50000}};
    int nothing = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; fd++)
        dup2(nothing, fd);
    chdir("/tmp/wild");
    signal(SIGALRM, nothing_happens);
    syscall(104, 0, &timer, 0); /* whatever blocks is interrupted */
    for (u32 i = 0; i < 500; i++) {
        u32 number = any(450);
        for (u32 k = 0; k < 16; k++)
            arena[any(sizeof(arena))] = (char)any(256);
        if (!left_out(number))
            syscall((int)number, word(), word(), word(), word(), word(), word());
    }
    exit(0);
}

/* A program with some bytes changed, or all of them. */
static void elf(void) {
    static char image[16384];
    int fd = open("/bin/echo", O_RDONLY), size = read(fd, image, sizeof(image));
    close(fd);
    if (any(4) == 0)
        for (int i = any(2) ? 4 : 0; i < size; i++)
            image[i] = (char)any(256);
    for (u32 i = 0, changes = 1 + any(12); i < changes; i++)
        image[any(any(2) ? 116 : (u32)size)] = (char)any(256);
    fd = open("/tmp/wild/elf", O_WRONLY | O_CREAT | O_TRUNC);
    write(fd, image, (u32)size);
    close(fd);
    syscall(15, "/tmp/wild/elf", 0755);
    struct itimerval32 timer = {{0, 0}, {0, 100000}};
    syscall(104, 0, &timer, 0); /* endless loops end */
    int nothing = open("/dev/null", O_RDWR);
    for (int to = 0; to < 3; to++)
        dup2(nothing, to);
    execve("/tmp/wild/elf", (char *[]){"elf", "text", NULL}, environ);
    exit(126);
}

static const struct deed {
    const char *name;
    void (*run)(void);
} deeds[] = {
    {"read", read_null}, {"write", write_null}, {"jump", jump}, {"kernel", read_kernel}, {"text", write_text},
    {"divide", divide}, {"hlt", halt}, {"ports", ports}, {"gate", gate}, {"selector", bad_selector},
    {"opcode", opcode}, {"iopl", flags}, {"step", step}, {"stack", stack}, {"nostack", no_stack},
    {"frame", false_frame}, {"memory", memory}, {"bomb", bomb}, {"descriptors", descriptors},
    {"calls", calls}, {"elf", elf},
};

static int do_in_child(const struct deed *d) {
    int status, pid = fork();
    if (!pid) {
        d->run();
        exit(0);
    }
    if (pid < 0)
        return pid;
    for (u32 i = 0; i < 100; i++) { /* it may sleep for ever, and have blocked all signals but one */
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
        sleep_ms(10);
    }
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    return status;
}

/* wild DEED [TIMES [SEED]]; without arguments: each of those that are one wrong step. */
int main(int argc, char **argv) {
    u32 times = argc > 2 ? (u32)number(argv[2]) : 1, ends[256] = {0};
    u32 first_seed = argc > 3 ? (u32)number(argv[3]) : 1;
    mkdir("/tmp/wild", 0777);
    for (u32 i = 0; i < ARRAY_SIZE(deeds); i++) {
        const struct deed *d = &deeds[i];
        bool large = d->run == memory || d->run == bomb || d->run == calls || d->run == elf;
        if (argc > 1 ? strcmp(argv[1], d->name) : large)
            continue;
        for (u32 k = 0; k < times; k++) {
            if (d->run == memory || d->run == bomb)
                sleep_ms(1000); /* what was before is over */
            seed = (first_seed + k) * 2654435761u | 1;
            int status = do_in_child(d);
            ends[status & 0x7f]++;
            if (times == 1)
                print("wild: %s: signal %d, status %d\n", d->name, status & 0x7f, status >> 8);
        }
    }
    sleep_ms(1000);
    for (u32 i = 0; times > 1 && i < 128; i++)
        if (ends[i])
            print("wild: %u ended by signal %u\n", ends[i], i);
    return 0;
}
