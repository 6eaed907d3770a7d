/*
 * ubench: what an operating system's basic services cost, in cycles of the time-stamp counter. The
 * same program runs on Linux.
 */
#include "lib/sprout.h"

static char page[PAGE];
static char *own_path;
static volatile int caught;

static void report(const char *name, u64 total, u32 times) {
    u32 high = (u32)(total >> 32), low = (u32)total, rest = high % times;
    asm("divl %2" : "+a"(low), "+d"(rest) : "r"(times)); /* below 2^32 cycles each */
    print("%-24s %10u cycles\n", name, low);
}

static void no_report(const char *name, const char *why) {
    print("%-24s not measured: %s\n", name, why);
}

/* Run a piece of code many times and report what one run took. */
#define MEASURE(name, times, code)                        \
    do {                                                  \
        code; /* once before, so that its pages are there */ \
        u64 start = cycles();                             \
        for (u32 i = 0; i < (times); i++) {               \
            code;                                         \
        }                                                 \
        report(name, cycles() - start, times);            \
    } while (0)

static void fork_and_wait(void) {
    int pid = fork();
    if (!pid)
        exit(0);
    waitpid(pid, NULL, 0);
}

static void fork_and_exec(void) {
    int pid = fork();
    if (!pid) {
        execve(own_path, (char *[]){own_path, "nothing", NULL}, environ);
        exit(1);
    }
    waitpid(pid, NULL, 0);
}

/* Two processes pass a byte to and fro: two switches a round. */
static void context_switch(u32 times) {
    int there[2], back[2];
    char c = 0;
    pipe(there, 0);
    pipe(back, 0);
    int pid = fork();
    if (!pid) {
        close(there[1]);
        while (read(there[0], &c, 1) == 1)
            write(back[1], &c, 1);
        exit(0);
    }
    MEASURE("process switch by pipe", times, write(there[1], &c, 1); read(back[0], &c, 1));
    for (int i = 0; i < 2; i++) {
        close(there[i]);
        close(back[i]);
    }
    waitpid(pid, NULL, 0);
}

static void pipe_page(u32 times) {
    int ends[2];
    pipe(ends, 0);
    MEASURE("pipe, 4 KiB", times, write(ends[1], page, PAGE); read(ends[0], page, PAGE));
    close(ends[0]);
    close(ends[1]);
}

static void map_and_unmap(void) {
    void *p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p, 16 * PAGE);
}

static void page_faults(u32 times) {
    volatile char *p = mmap(NULL, times * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    u64 start = cycles();
    for (u32 i = 0; i < times; i++)
        p[i * PAGE] = 1;
    report("page fault, new page", cycles() - start, times);
    int ends[2];
    pipe(ends, 0);
    int pid = fork();
    if (!pid) {
        start = cycles();
        for (u32 i = 0; i < times; i++)
            p[i * PAGE] = 2;
        start = cycles() - start;
        write(ends[1], &start, sizeof(start));
        exit(0);
    }
    read(ends[0], &start, sizeof(start));
    report("page fault, copy", start, times);
    waitpid(pid, NULL, 0);
    munmap((void *)p, times * PAGE);
}

static char *guarded;

static void unguard(int number) {
    caught = number;
    mprotect(guarded, PAGE, PROT_READ | PROT_WRITE);
}

static void protection_fault(u32 times) {
    guarded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    signal(SIGSEGV, unguard);
    MEASURE("protection fault, caught", times, mprotect(guarded, PAGE, PROT_READ);
            *(volatile char *)guarded = 1);
    signal(SIGSEGV, (void (*)(int))SIG_DFL);
}

static void note(int number) {
    caught = number;
}

static void files(u32 times) {
    int fd = open("ubench.file", O_RDWR | O_CREAT | O_TRUNC);
    MEASURE("file write, 4 KiB", times, lseek(fd, 0, 0); write(fd, page, PAGE));
    MEASURE("file read, 4 KiB", times, lseek(fd, 0, 0); read(fd, page, PAGE));
    close(fd);
    unlink("ubench.file");
}

static int socket_call(u32 which, u32 a, u32 b, u32 c, u32 d, u32 e, u32 f) {
    u32 list[6] = {a, b, c, d, e, f};
    return syscall(102, which, list);
}

enum { SOCKET = 1, BIND = 2, CONNECT = 3, GETSOCKNAME = 6, SETSOCKOPT = 14 };

/*
 * A datagram to ourselves; and, on the network 10.0.2.0 of a virtual machine, to the echo service of
 * the station at the other end of the cable. Elsewhere nobody is asked.
 */
static void udp(u32 times) {
    struct sockaddr_in to = {.family = AF_INET, .address = 0x0100007f};
    struct timeval32 second = {1, 0};
    u32 size = sizeof(to);
    const char *own = "UDP to ourselves", *round_trip = "UDP round trip";
    int fd = socket_call(SOCKET, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
    if (fd < 0 || socket_call(BIND, (u32)fd, (u32)&to, sizeof(to), 0, 0, 0) < 0 ||
        socket_call(GETSOCKNAME, (u32)fd, (u32)&to, (u32)&size, 0, 0, 0) < 0) {
        no_report(own, "no sockets");
        no_report(round_trip, "no sockets");
        return;
    }
    socket_call(SETSOCKOPT, (u32)fd, 1, 20, (u32)&second, sizeof(second), 0); /* SO_RCVTIMEO */
    socket_call(CONNECT, (u32)fd, (u32)&to, sizeof(to), 0, 0, 0);
    if (write(fd, page, 64) == 64 && read(fd, page, 64) == 64)
        MEASURE(own, times, write(fd, page, 64); read(fd, page, 64));
    else
        no_report(own, "the datagram did not arrive");
    close(fd);
    to = (struct sockaddr_in){.family = AF_INET, .port = 0x0700, .address = 0x0202000a};
    fd = socket_call(SOCKET, AF_INET, SOCK_DGRAM, 0, 0, 0, 0);
    socket_call(SETSOCKOPT, (u32)fd, 1, 20, (u32)&second, sizeof(second), 0);
    socket_call(CONNECT, (u32)fd, (u32)&to, sizeof(to), 0, 0, 0);
    socket_call(GETSOCKNAME, (u32)fd, (u32)&to, (u32)&size, 0, 0, 0);
    if ((to.address & 0xffffff) != 0x02000a)
        no_report(round_trip, "not on the network 10.0.2.0");
    else if (write(fd, page, 64) != 64 || read(fd, page, 64) != 64)
        no_report(round_trip, "nobody answers at 10.0.2.2");
    else
        MEASURE(round_trip, (times + 9) / 10, write(fd, page, 64); read(fd, page, 64));
    close(fd);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "nothing"))
        return 0;
    u32 times = argc > 1 ? (u32)number(argv[1]) : 100;
    own_path = strchr(argv[0], '/') ? argv[0] : "/bin/ubench";
    MEASURE("system call", times * 10, syscall(64));
    MEASURE("fork, exit, wait", times, fork_and_wait());
    MEASURE("fork, exec, exit, wait", times, fork_and_exec());
    context_switch(times);
    pipe_page(times);
    MEASURE("mmap, munmap, 16 pages", times, map_and_unmap());
    page_faults(times);
    protection_fault(times);
    signal(SIGUSR1, note);
    MEASURE("signal", times, kill(getpid(), SIGUSR1));
    files(times);
    udp(times);
    return 0;
}
