/* Processes, their limits, times and environment. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static const char *result(int n) { return n < 0 ? strerror(errno) : "done"; }
static int done_at_exit;
static void at_exit(void) { done_at_exit = 1; printf("at exit\n"); }
static pthread_once_t once = PTHREAD_ONCE_INIT;
static void init(void) { printf("once\n"); }

int main(int argc, char **argv) {
    if (argc > 2) {
        printf("%d arguments, the last of %u letters\n", argc, (unsigned)strlen(argv[argc - 1]));
        return 5;
    }
    setvbuf(stdout, NULL, _IOLBF, 0); /* lines in order, though children write too */
    int status;
    struct rusage usage;
    for (int i = 0; i < 200; i++) {
        int pid = fork();
        if (!pid)
            _exit(i & 127);
        if (pid < 0 || wait4(pid, &status, 0, &usage) != pid || WEXITSTATUS(status) != (i & 127))
            return printf("fork %d failed\n", i);
    }
    printf("200 forks\n");
    int pid = vfork();
    if (!pid)
        _exit(3);
    waitpid(pid, &status, 0);
    printf("vfork: %d\n", WEXITSTATUS(status));
    char *many[] = {"x", "y", malloc(100001), NULL};
    memset(many[2], 'a', 100000);
    many[2][100000] = 0;
    pid_t child;
    int error = posix_spawn(&child, argv[0], NULL, NULL, many, environ);
    waitpid(child, &status, 0);
    printf("posix_spawn: %s\n", strerror(error));
    printf("its status: %d\n", WEXITSTATUS(status));
    printf("spawn of nothing: %s\n", strerror(posix_spawn(&child, "/no/such", NULL, NULL, many, environ)));
    FILE *p = popen("echo popen; exit 4", "r");
    char text[64] = "";
    if (p && fgets(text, sizeof(text), p))
        printf("%s", text);
    printf("pclose: %d\n", WEXITSTATUS(pclose(p)));
    printf("system: %d\n", WEXITSTATUS(system("exit 6")));
    setenv("NAME", "value", 1);
    printf("environment: %d\n", system("test \"$NAME\" = value"));
    printf("wait for nobody: %s\n", result(wait(NULL)));
    printf("kill one that is gone: %s\n", result(kill(pid, 0)));

    struct timespec before, after, nap = {0, 20000000};
    clock_gettime(CLOCK_MONOTONIC, &before);
    nanosleep(&nap, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long ms = (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;
    printf("slept: %s\n", ms >= 19 && ms < 2000 ? "20 ms" : "wrong");
    clock_t start = clock();
    for (volatile int i = 0; i < 5000000; i++)
        ;
    printf("clock: %s\n", clock() > start ? "runs" : "stands");
    struct tms t;
    printf("times: %d\n", times(&t) != (clock_t)-1);
    printf("getrusage: %s\n", result(getrusage(RUSAGE_SELF, &usage)));
    printf("time: %d\n", time(NULL) > 1000000000);
    struct rlimit limit;
    printf("getrlimit: %s\n", result(getrlimit(RLIMIT_STACK, &limit)));
    limit = (struct rlimit){0, 0};
    printf("setrlimit: %s\n", result(setrlimit(RLIMIT_CORE, &limit)));
    errno = 0; /* -1 is a priority too */
    printf("getpriority: %d\n", (getpriority(PRIO_PROCESS, 0), errno));
    cpu_set_t cpus;
    printf("affinity: %s\n", result(sched_getaffinity(0, sizeof(cpus), &cpus)));
    printf("yield: %s\n", result(sched_yield()));
    printf("processors: %d, page: %ld, ticks: %ld\n", sysconf(_SC_NPROCESSORS_ONLN) > 0, sysconf(_SC_PAGESIZE), sysconf(_SC_CLK_TCK));
    struct utsname name;
    uname(&name);
    printf("uname: %s\n", name.sysname);
    struct sysinfo si;
    printf("sysinfo: %s\n", result(sysinfo(&si)));
    unsigned random = 0;
    printf("getrandom: %d\n", (int)getrandom(&random, 4, 0));
    printf("prctl: %s\n", result(prctl(PR_SET_NAME, "renamed")));
    /* its own: the session this one was started in may belong to a process of another namespace, 0 here */
    if (!fork()) {
        printf("a session of its own: %d\n", setsid() == getpid() && getsid(0) == getpid() && getpgrp() == getpid());
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    printf("user: %d\n", getuid() == geteuid());

    pthread_once(&once, init);
    pthread_once(&once, init);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    printf("lock: %d\n", pthread_mutex_lock(&mutex));
    printf("lock it again: %s\n", strerror(pthread_mutex_trylock(&mutex)));
    printf("unlock: %d\n", pthread_mutex_unlock(&mutex));
    struct both { sem_t there, back; int value; } *both = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    sem_init(&both->there, 1, 0);
    sem_init(&both->back, 1, 0);
    if (!fork()) {
        for (int i = 0; i < 100; i++) {
            sem_wait(&both->there);
            both->value++;
            sem_post(&both->back);
        }
        _exit(0);
    }
    for (int i = 0; i < 100; i++) {
        sem_post(&both->there);
        sem_wait(&both->back);
    }
    wait(NULL);
    printf("semaphores between processes: %d\n", both->value);
    struct timespec moment;
    clock_gettime(CLOCK_REALTIME, &moment);
    moment.tv_nsec = (moment.tv_nsec + 30000000) % 1000000000;
    moment.tv_sec += moment.tv_nsec < 30000000;
    printf("sem_timedwait: %s\n", result(sem_timedwait(&both->there, &moment)));
    siginfo_t news = {0};
    if (!fork())
        _exit(3);
    int waited = waitid(P_ALL, 0, &news, WEXITED | WNOWAIT);
    printf("waitid: %d %d %d\n", waited, news.si_code == CLD_EXITED, news.si_status);
    waited = waitid(P_PID, news.si_pid, &news, WEXITED);
    printf("once more: %d\n", waited);
    waited = waitid(P_ALL, 0, &news, WEXITED);
    printf("nobody: %d %s\n", waited, strerror(errno));
    int child_number = fork();
    if (!child_number)
        pause();
    kill(child_number, SIGKILL);
    waitid(P_PID, (id_t)child_number, &news, WEXITED);
    printf("killed: %d by %d\n", news.si_code == CLD_KILLED, news.si_status);
    printf("no options: %s\n", result(waitid(P_ALL, 0, &news, 0)));
    setpriority(PRIO_PROCESS, 0, 5);
    printf("nicer: %d\n", getpriority(PRIO_PROCESS, 0));
    printf("nice: %d\n", nice(40));
    printf("priorities: %d to %d\n", sched_get_priority_min(SCHED_FIFO), sched_get_priority_max(SCHED_FIFO));
    printf("scheduler: %d\n", sched_getscheduler(0));
    FILE *self = fopen("/proc/self/stat", "r");
    int number = 0;
    printf("/proc/self/stat: %d %d\n", self ? fscanf(self, "%d", &number) : -1, number == getpid());
    self = fopen("/proc/cpuinfo", "r");
    printf("/proc/cpuinfo: %d\n", self && fgets(text, sizeof(text), self) && !strncmp(text, "processor", 9));
    self = fopen("/proc/meminfo", "r");
    printf("/proc/meminfo: %d\n", self && fgets(text, sizeof(text), self) && !strncmp(text, "MemTotal", 8));
    memset(text, 0, sizeof(text));
    printf("/proc/self/exe: %d\n", readlink("/proc/self/exe", text, sizeof(text)) > 0);
    printf("/proc/self/maps: %d\n", access("/proc/self/maps", R_OK));
    atexit(at_exit);
    return 9;
}
