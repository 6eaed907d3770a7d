/* What sprout does not have: each is refused with an error, and the console names it. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

static void said(const char *what, long n) {
    printf("%s: %s\n", what, n < 0 ? strerror(errno) : "done");
    fflush(stdout);
}

int main(void) {
    int pair[2];
    said("shmget", shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600));
    said("semget", semget(IPC_PRIVATE, 1, IPC_CREAT | 0600));
    said("epoll", epoll_create1(0));
    said("inotify", inotify_init1(0));
    said("timerfd", timerfd_create(CLOCK_MONOTONIC, 0));
    said("copy_file_range", copy_file_range(0, NULL, 1, NULL, 3, 0));
    said("datagrams", socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
    said("tcp", socket(AF_INET, SOCK_STREAM, 0));
    said("ipv6", socket(AF_INET6, SOCK_DGRAM, 0));
    return 0;
}
