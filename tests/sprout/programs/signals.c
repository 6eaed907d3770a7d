/* Signals as a plain program uses them: handlers, masks, timers, stacks, restarts. */
#define _GNU_SOURCE
#include <errno.h>
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
