/* Signals as a plain program uses them: handlers, masks, timers, stacks, restarts. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile int ticks, got;
static volatile void *where;
static sigjmp_buf back;

static void tick(int n) { ticks++; }
static void info(int n, siginfo_t *i, void *u) { got = i->si_code; where = i->si_addr; siglongjmp(back, 1); }
static void from(int n, siginfo_t *i, void *u) { got = i->si_pid == getpid() && i->si_code == SI_USER; }
static void on_stack(int n) { char c; where = &c; }
static void queued(int n, siginfo_t *i, void *u) { got = i->si_value.sival_int; }

static volatile double in_handler;
static void on_floats(int number) {
    volatile double x = number - 8;
    in_handler = x * 2 + 0.5;
}

int main(void) {
    struct sigaction a = {.sa_sigaction = info, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGFPE, &a, NULL);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(back, 1))
        *(volatile char *)page = 1;
    printf("write to a read-only page: code %d, address %s\n", got, where == page ? "right" : "wrong");
    if (!sigsetjmp(back, 1))
        *(volatile char *)0x10 = 1;
    printf("write to nowhere: code %d\n", got);
    volatile int zero = 0;
    if (!sigsetjmp(back, 1))
        printf("%d\n", 1 / zero);
    printf("division by zero: code %d\n", got);

    a.sa_sigaction = from;
    sigaction(SIGUSR1, &a, NULL);
    kill(getpid(), SIGUSR1);
    printf("kill: %d\n", got);
    sigset_t set, old;
    sigset_t real_time;
    sigemptyset(&real_time);
    sigaddset(&real_time, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &real_time, NULL);
    for (int i = 1; i <= 5; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    siginfo_t one;
    int order = 0;
    while (sigtimedwait(&real_time, &one, &(struct timespec){0, 0}) > 0)
        order = order * 10 + one.si_value.sival_int;
    printf("five were queued: %d\n", order);
    sigprocmask(SIG_UNBLOCK, &real_time, NULL);

    double sum = 0; /* the handler finds empty floating-point registers, and leaves these as they are */
    signal(SIGUSR1, on_floats);
    asm volatile("fld1; fld1; fld1; fld1; fld1; fld1; fld1; fld1");
    syscall(SYS_kill, getpid(), SIGUSR1);
    asm volatile("faddp; faddp; faddp; faddp; faddp; faddp; faddp; fstpl %0" : "=m"(sum));
    printf("floats: %g there, %g here\n", in_handler, sum);

    int sleeper = fork();
    if (!sleeper) {
        struct timespec nap = {0, 200000000}, begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        int result = nanosleep(&nap, NULL);
        clock_gettime(CLOCK_MONOTONIC, &end);
        long ms = (end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000;
        _exit(result ? 1 : ms < 200 ? 2 : 3);
    }
    int state;
    usleep(40000);
    kill(sleeper, SIGSTOP);
    waitpid(sleeper, &state, WUNTRACED);
    kill(sleeper, SIGCONT);
    waitpid(sleeper, &state, 0);
    printf("stopped while it slept: %d\n", WEXITSTATUS(state));

    int early = 0;
    for (int i = 0; i < 10; i++) {
        struct timespec begin, end;
        clock_gettime(CLOCK_MONOTONIC, &begin);
        poll(NULL, 0, 15);
        clock_gettime(CLOCK_MONOTONIC, &end);
        early += (end.tv_sec - begin.tv_sec) * 1000000000ll + end.tv_nsec - begin.tv_nsec < 15000000;
        for (volatile int k = 0; k < i * 30000; k++)
            ;
    }
    printf("too early: %d\n", early);
    alarm(1);
    printf("alarm: %u left\n", alarm(0));

    ticks = 0;
    sigaction(SIGCHLD, &(struct sigaction){.sa_handler = tick, .sa_flags = SA_NOCLDWAIT}, NULL);
    if (!fork())
        _exit(0);
    while (!ticks)
        usleep(1000);
    int nobody = wait(NULL);
    printf("SIGCHLD without a zombie: %d %s\n", nobody, strerror(errno));
    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    got = 0;
    raise(SIGUSR1);
    sigpending(&set);
    printf("blocked: got %d, pending %d\n", got, sigismember(&set, SIGUSR1));
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("unblocked: %s\n", got >= 0 ? "delivered" : "lost");

    signal(SIGALRM, tick);
    struct itimerval every = {{0, 10000}, {0, 10000}};
    setitimer(ITIMER_REAL, &every, NULL);
    while (ticks < 5)
        pause();
    every = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &every, NULL);
    printf("timer: %s\n", ticks >= 5 ? "ticks" : "none");
    ticks = 0;
    every = (struct itimerval){{0, 0}, {0, 20000}};
    setitimer(ITIMER_VIRTUAL, &every, NULL);
    signal(SIGVTALRM, tick);
    for (volatile unsigned i = 0; !ticks && i < 2000000000u; i++)
        ;
    printf("virtual timer: %d\n", ticks);

    stack_t other = {.ss_sp = malloc(SIGSTKSZ), .ss_size = SIGSTKSZ};
    sigaltstack(&other, NULL);
    struct sigaction b = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR2, &b, NULL);
    raise(SIGUSR2);
    printf("alternate stack: %d\n", (char *)where >= (char *)other.ss_sp && (char *)where < (char *)other.ss_sp + SIGSTKSZ);

    int ends[2];
    char c;
    if (pipe(ends))
        return 1;
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction r = {.sa_handler = tick, .sa_flags = restart ? SA_RESTART : 0};
        sigaction(SIGUSR1, &r, NULL);
        int pid = fork();
        if (!pid) {
            usleep(50000);
            kill(getppid(), SIGUSR1);
            usleep(50000);
            _exit(write(ends[1], "x", 1) != 1);
        }
        int n = read(ends[0], &c, 1);
        printf("read with%s SA_RESTART: %d %s\n", restart ? "" : "out", n, n < 0 ? strerror(errno) : "");
        fflush(stdout);
        waitpid(pid, NULL, 0);
        if (n < 0)
            n = read(ends[0], &c, 1);
    }
    struct sigaction q = {.sa_sigaction = queued, .sa_flags = SA_SIGINFO};
    sigaction(SIGRTMIN, &q, NULL);
    int sent = sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 42});
    printf("sigqueue: %d, value %d\n", sent, got);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    int number;
    int e = sigwait(&set, &number);
    printf("sigwait: %d %d\n", e, number == SIGUSR1);
    struct timespec soon = {0, 10000000};
    e = sigtimedwait(&set, NULL, &soon);
    printf("sigtimedwait: %d %s\n", e, strerror(errno));
    int pid = fork();
    if (!pid)
        abort();
    int status;
    waitpid(pid, &status, 0);
    printf("abort: signal %d\n", WTERMSIG(status));
    pid = fork();
    if (!pid) {
        raise(SIGSTOP);
        _exit(7);
    }
    waitpid(pid, &status, WUNTRACED);
    printf("stopped: %d by %d\n", WIFSTOPPED(status), WSTOPSIG(status));
    kill(pid, SIGCONT);
    waitpid(pid, &status, 0);
    printf("continued: status %d\n", WEXITSTATUS(status));
    return 0;
}
