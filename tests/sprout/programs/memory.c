/* Memory as a plain program asks for it: mmap in its kinds, mremap, brk, big stacks. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int deep(int n) {
    volatile char room[4096];
    room[0] = n ? (char)deep(n - 1) : 1; /* used after the call: no compiler makes a loop of it */
    return room[0];
}

int main(void) {
    char *shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!fork()) {
        strcpy(shared + 4096, "from the child");
        _exit(0);
    }
    wait(NULL);
    printf("shared: %s\n", shared + 4096);

    int fd = open("map.file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (ftruncate(fd, 10000))
        perror("ftruncate");
    char *file = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (file == MAP_FAILED) {
        printf("shared file: %s\n", strerror(errno));
    } else {
        strcpy(file + 5000, "through the map");
        msync(file, 10000, MS_SYNC);
        char back[16] = "";
        int n = pread(fd, back, 15, 5000);
        printf("shared file: %d %s\n", n, back);
        n = pwrite(fd, "X", 1, 5000);
        printf("written to the file: %.7s\n", file + 5000);
        munmap(file, 10000);
    }
    file = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    memcpy(file, "private", 8);
    char first = 'x';
    int n = pread(fd, &first, 1, 0);
    printf("private file: %d %d\n", n, first);
    munmap(file, 10000);
    close(fd);
    unlink("map.file");

    char *big = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    big[0] = 1;
    big[(1 << 20) - 1] = 2;
    char *bigger = mremap(big, 1 << 20, 4 << 20, MREMAP_MAYMOVE);
    printf("mremap: %d %d %d\n", bigger[0], bigger[(1 << 20) - 1], bigger[3 << 20]);
    char *fixed = mmap(bigger + 8192, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("fixed: %d\n", fixed == bigger + 8192);
    printf("madvise: %d\n", madvise(bigger, 4096, MADV_DONTNEED));
    printf("after it: %d\n", bigger[0]);
    printf("munmap: %d\n", munmap(bigger, 4 << 20));
    int refused = mprotect(bigger, 4096, PROT_READ);
    printf("mprotect of nothing: %d %s\n", refused, strerror(errno));
    void *old = sbrk(0);
    printf("sbrk: %d %d\n", sbrk(100000) == old, sbrk(-100000) != (void *)-1);
    char *many[200];
    for (int i = 0; i < 200; i++)
        memset(many[i] = malloc(1000u * (unsigned)(i + 1)), i, 1000u * (unsigned)(i + 1));
    for (int i = 0; i < 200; i += 2)
        free(many[i]);
    int good = 1;
    for (int i = 1; i < 200; i += 2)
        good &= many[i][1000 * i] == (char)i;
    printf("malloc: %d\n", good);
    printf("deep stack: %d\n", deep(1500));
    int pid = fork();
    if (!pid)
        _exit(deep(100000000));
    int status;
    waitpid(pid, &status, 0);
    printf("too deep: signal %d\n", WTERMSIG(status));
    shared = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    memset(shared, 'a', 3 * 4096);
    if (!fork()) {
        shared[4096] = 'b';
        _exit(0);
    }
    wait(NULL);
    char *moved = mremap(shared, 3 * 4096, 3 * 4096, MREMAP_MAYMOVE | MREMAP_FIXED, bigger);
    printf("shared memory moved: %d %.3s\n", moved == bigger, moved + 4095);
    if (!fork())
        _exit((moved[8192] = 'c') != 'c');
    wait(NULL);
    printf("still shared: %c\n", moved[8192]);
    char *taken = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    taken[4096] = 'd';
    moved = mremap(taken, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, bigger + 4096);
    printf("over it: %d %c\n", moved == bigger + 4096, moved[4096]);
    printf("over itself: %s\n", mremap(moved, 8192, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, moved + 4096) == MAP_FAILED
                                    ? strerror(errno) : "done");
    int zero = open("/dev/zero", O_RDWR);
    for (int k = 0; k < 2; k++) {
        char *zeros = mmap(NULL, 8192, PROT_READ | PROT_WRITE, k ? MAP_SHARED : MAP_PRIVATE, zero, 0);
        if (zeros != MAP_FAILED && !fork())
            _exit(zeros[5000] = 'x');
        wait(NULL);
        printf("/dev/zero: %d\n", zeros == MAP_FAILED ? -1 : zeros[5000]);
    }
    printf("no such advice: %d\n", madvise(bigger, 4096, 99));
    shared = mmap(NULL, 256 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared[200 << 20] = 'e';
    printf("more than there is, shared: %c\n", shared[200 << 20]);
    void *everything = malloc(3u << 30);
    printf("3 GiB: %s\n", everything ? "there" : "refused");
    free(everything);
    return 0;
}
