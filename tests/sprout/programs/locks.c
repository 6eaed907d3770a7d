/* Locks on files, of fcntl and of flock, between processes; and more descriptors than most programs open. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *result(int n) { return n < 0 ? strerror(errno) : "done"; }
static int file;

static int lock(int command, int type, int start, int length) {
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(file, command, &l);
}

static void ask(const char *when) {
    fflush(stdout);
    if (!fork()) {
        struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
        int pieces = 0;
        printf("%s:", when);
        while (!fcntl(file, F_GETLK, &l) && l.l_type != F_UNLCK && pieces++ < 10) {
            printf(" %s %d+%d%s", l.l_type == F_RDLCK ? "read" : "write", (int)l.l_start, (int)l.l_len,
                   l.l_pid == getppid() ? "" : " of somebody else");
            if (!l.l_len)
                break;
            l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = l.l_start + l.l_len};
        }
        printf("\n");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

static void interrupted(int number) { (void)number; }

int main(void) {
    char *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ends[2];
    file = open("locked", O_RDWR | O_CREAT | O_TRUNC, 0644);
    printf("lock bytes: %s\n", result(lock(F_SETLK, F_WRLCK, 100, 100)));
    ask("one lock");
    printf("cut it: %s\n", result(lock(F_SETLK, F_UNLCK, 120, 20)));
    ask("two halves");
    printf("share a part: %s\n", result(lock(F_SETLK, F_RDLCK, 110, 5)));
    ask("three kinds");
    printf("all: %s\n", result(lock(F_SETLK, F_WRLCK, 0, 0)));
    ask("all");
    int other = open("locked", O_RDONLY);
    close(other);
    ask("after closing another descriptor");

    /* who may have what */
    other = open("locked", O_RDONLY);
    struct flock l = {.l_type = F_WRLCK};
    printf("write lock, open to read: %s\n", result(fcntl(other, F_SETLK, &l)));
    l = (struct flock){.l_type = 7};
    printf("no such kind: %s\n", result(fcntl(file, F_SETLK, &l)));
    l = (struct flock){.l_type = F_RDLCK, .l_whence = 9};
    printf("no such place: %s\n", result(fcntl(file, F_SETLK, &l)));
    l = (struct flock){.l_type = F_RDLCK, .l_start = -1};
    printf("before the file: %s\n", result(fcntl(file, F_SETLK, &l)));
    l = (struct flock){.l_type = F_RDLCK, .l_start = 10, .l_len = -10};
    printf("backwards: %s\n", result(fcntl(file, F_SETLK, &l)));
    close(other);
    lock(F_SETLK, F_RDLCK, 0, 10);
    lseek(file, 50, SEEK_SET);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = 10, .l_len = 10};
    printf("from here: %s\n", result(fcntl(file, F_SETLK, &l)));
    write(file, "0123456789", 10);
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = 10, .l_len = 10};
    printf("from the end: %s\n", result(fcntl(file, F_SETLK, &l)));
    ask("relative");
    fflush(stdout);
    if (!fork()) { /* not inherited; readers share */
        printf("child reads: %s\n", result(lock(F_SETLK, F_RDLCK, 0, 10)));
        printf("child writes: %s\n", result(lock(F_SETLK, F_WRLCK, 0, 10)));
        printf("child writes elsewhere: %s\n", result(lock(F_SETLK, F_WRLCK, 30, 10)));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    lock(F_SETLK, F_UNLCK, 0, 0);
    ask("nothing");

    /* a counter that only holds with the lock */
    int *counter = (int *)shared;
    fflush(stdout);
    for (int i = 0; i < 4; i++)
        if (!fork()) {
            for (int k = 0; k < 50; k++) {
                lock(F_SETLKW, F_WRLCK, 0, 1);
                int seen = *counter;
                usleep(k % 7 == 0 ? 100 : 0);
                *counter = seen + 1;
                lock(F_SETLK, F_UNLCK, 0, 1);
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    printf("counted: %d\n", *counter);

    /* two that wait for each other */
    pipe(ends);
    lock(F_SETLK, F_WRLCK, 0, 1);
    fflush(stdout);
    int child = fork();
    if (!child) {
        lock(F_SETLK, F_WRLCK, 1, 1);
        write(ends[1], "x", 1);
        int got = lock(F_SETLKW, F_WRLCK, 0, 1);
        printf("one waits: %s\n", result(got));
        fflush(stdout);
        _exit(0);
    }
    char c;
    read(ends[0], &c, 1);
    usleep(100000);
    printf("the other would: %s\n", result(lock(F_SETLKW, F_WRLCK, 1, 1)));
    fflush(stdout);
    lock(F_SETLK, F_UNLCK, 0, 1);
    wait(NULL);

    /* a signal ends the wait */
    lock(F_SETLK, F_WRLCK, 0, 0);
    fflush(stdout);
    if (!fork()) {
        struct sigaction action = {.sa_handler = interrupted};
        sigaction(SIGALRM, &action, NULL);
        ualarm(50000, 0);
        printf("waiting: %s\n", result(lock(F_SETLKW, F_WRLCK, 0, 0)));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    lock(F_SETLK, F_UNLCK, 0, 0);

    /* flock: the open file's, so children and copies share it */
    printf("flock: %s\n", result(flock(file, LOCK_EX)));
    printf("flock once more: %s\n", result(flock(file, LOCK_EX | LOCK_NB)));
    other = open("locked", O_RDONLY);
    printf("another open file: %s\n", result(flock(other, LOCK_EX | LOCK_NB)));
    printf("fcntl does not see it: %s\n", result(lock(F_SETLK, F_WRLCK, 0, 0)));
    int copy = dup(file);
    fflush(stdout);
    if (!fork()) {
        printf("a child has it too: %s\n", result(flock(file, LOCK_SH)));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    printf("shared: %s\n", result(flock(other, LOCK_SH | LOCK_NB)));
    flock(other, LOCK_UN);
    flock(file, LOCK_EX);
    close(file);
    printf("a copy keeps it: %s\n", result(flock(other, LOCK_EX | LOCK_NB)));
    close(copy);
    printf("the last one closed: %s\n", result(flock(other, LOCK_EX | LOCK_NB)));
    printf("no such operation: %s\n", result(flock(other, 77)));
    printf("no such file: %s\n", result(flock(200, LOCK_EX)));

    /* many descriptors */
    int last = 0;
    for (int i = 0; i < 200; i++)
        last = dup(other);
    printf("descriptors: %d\n", last > 200);
    fd_set set;
    FD_ZERO(&set);
    for (int i = 50; i <= last; i++)
        FD_SET(i, &set);
    int ready = select(last + 1, &set, NULL, NULL, NULL);
    printf("select: %d\n", ready == last - 49);
    struct pollfd list[200];
    for (int i = 0; i < 200; i++)
        list[i] = (struct pollfd){.fd = i + 4, .events = POLLIN};
    printf("poll: %d\n", poll(list, 200, -1));
    fcntl(last, F_SETFD, FD_CLOEXEC);
    printf("flags: %d %d\n", fcntl(last, F_GETFD), fcntl(last - 1, F_GETFD));
    unlink("locked");
    return 0;
}
