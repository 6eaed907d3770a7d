/* Files and directories as a plain program uses them. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <unistd.h>

static const char *result(int n) { return n < 0 ? strerror(errno) : "done"; }

int main(void) {
    struct stat s;
    printf("mkdir: %s\n", result(mkdir("d", 0755)));
    printf("again: %s\n", result(mkdir("d", 0755)));
    printf("chdir: %s\n", result(chdir("d")));
    int fd = open("f", O_RDWR | O_CREAT | O_EXCL, 0644);
    printf("exclusive: %s\n", result(open("f", O_CREAT | O_EXCL, 0644)));
    int n = write(fd, "0123456789", 10);
    printf("lseek: %ld\n", (long)lseek(fd, 1000000, SEEK_SET));
    n = write(fd, "end", 3);
    fstat(fd, &s);
    printf("sparse: %ld bytes, %d link\n", (long)s.st_size, (int)s.st_nlink);
    char text[32] = "x";
    n = pread(fd, text, 4, 500000);
    printf("hole: %d %d\n", n, text[0]);
    int more = open("f", O_WRONLY | O_APPEND);
    n = write(more, "appended", 8);
    printf("appended at: %ld\n", (long)lseek(more, 0, SEEK_CUR));
    printf("truncate: %s\n", result(ftruncate(fd, 5)));
    printf("link: %s\n", result(link("f", "g")));
    stat("g", &s);
    printf("links: %d, size %ld\n", (int)s.st_nlink, (long)s.st_size);
    printf("symlink: %s\n", result(symlink("g", "s")));
    memset(text, 0, sizeof(text));
    n = readlink("s", text, sizeof(text));
    printf("readlink: %d %s\n", n, text);
    lstat("s", &s);
    printf("is a link: %d\n", S_ISLNK(s.st_mode));
    printf("loop: %s, %s\n", result(symlink("loop", "loop")), result(open("loop", O_RDONLY)));
    printf("rename: %s\n", result(rename("f", "h")));
    printf("gone: %s\n", result(access("f", F_OK)));
    printf("over itself: %s\n", result(rename("g", "h")));
    printf("mkdir: %s\n", result(mkdir("sub", 0700)));
    printf("file over directory: %s\n", result(rename("h", "sub")));
    printf("into itself: %s\n", result(rename("sub", "sub/in")));
    printf("unlink a directory: %s\n", result(unlink("sub")));
    printf("rmdir of a file: %s\n", result(rmdir("h")));
    printf("not a directory: %s\n", result(open("h/x", O_RDONLY)));
    printf("long name: %s\n", result(open("0123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
        "01234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789",
        O_RDONLY | O_CREAT, 0600)));
    struct dirent **list;
    n = scandir(".", &list, NULL, alphasort);
    for (int i = 0; i < n; i++)
        printf("%s%s", list[i]->d_name, i + 1 < n ? " " : "\n");
    printf("chmod: %s\n", result(chmod("h", 0421)));
    umask(027);
    close(open("m", O_CREAT | O_WRONLY, 0666));
    stat("h", &s);
    struct stat t;
    stat("m", &t);
    printf("modes: %o %o\n", s.st_mode, t.st_mode);
    struct timeval times[2] = {{1000000000, 5}, {1100000000, 0}};
    printf("utimes: %s\n", result(utimes("h", times)));
    stat("h", &s);
    printf("times: %ld %ld\n", (long)s.st_atime, (long)s.st_mtime);
    printf("flock: %s\n", result(flock(fd, LOCK_EX)));
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    printf("lock: %s\n", result(fcntl(fd, F_SETLK, &lock)));
    int copy = fcntl(fd, F_DUPFD, 20);
    printf("dupfd: %d\n", copy);
    printf("flags: %d %d\n", fcntl(copy, F_GETFD), fcntl(fd, F_GETFL) & O_ACCMODE);
    printf("dup2: %d\n", dup2(fd, 30));
    printf("bad: %s\n", result(dup2(99, 31)));
    printf("closed: %s\n", result(close(29)));
    printf("read a directory: %s\n", result(read(open(".", O_RDONLY), text, 1)));
    printf("fsync: %s, fdatasync: %s\n", result(fsync(fd)), result(fdatasync(fd)));
    struct winsize size;
    printf("no terminal: %s\n", result(ioctl(fd, TIOCGWINSZ, &size)));
    struct statvfs fs;
    printf("statvfs: %s\n", result(statvfs(".", &fs)));
    char name[] = "tmpXXXXXX";
    int temporary = mkstemp(name);
    printf("mkstemp: %d\n", temporary >= 0);
    FILE *f = fdopen(temporary, "w+");
    fprintf(f, "%d %s\n", 42, "formatted");
    rewind(f);
    int value;
    printf("stdio: %d", fscanf(f, "%d %31s", &value, text));
    printf(" %d %s\n", value, text);
    fclose(f);
    unlink(name);
    f = tmpfile();
    printf("tmpfile: %d\n", f != NULL);
    int null = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
    n = write(null, text, 10);
    printf("/dev/null: %d", n);
    n = read(zero, text, 10);
    printf(", /dev/zero: %d %d\n", n, text[9]);
    printf("/dev/full: %s\n", result(write(open("/dev/full", O_WRONLY), text, 1)));
    char *cwd = getcwd(NULL, 0);
    printf("cwd: %s\n", cwd ? strrchr(cwd, '/') : "none");
    char real[4096];
    printf("realpath: %s\n", realpath("s", real) ? strrchr(real, '/') : strerror(errno));
    int dir = open(".", O_RDONLY | O_DIRECTORY);
    printf("openat: %s, unlinkat: %s\n", result(openat(dir, "h", O_RDONLY)), result(unlinkat(dir, "sub", AT_REMOVEDIR)));
    printf("posix_fallocate: %s\n", strerror(posix_fallocate(fd, 0, 4096)));
    fstat(fd, &s);
    printf("size: %ld\n", (long)s.st_size);
    char long_name[64];
    mkdir("full", 0755);
    for (int i = 0; i < 700; i++) {
        sprintf(long_name, "full/one of the many files %d", i);
        close(open(long_name, O_CREAT | O_WRONLY, 0600));
    }
    DIR *full = opendir("full");
    int removed = 0;
    for (struct dirent *e; (e = readdir(full));) {
        sprintf(long_name, "full/%s", e->d_name);
        removed += e->d_name[0] == 'o' && !unlink(long_name);
    }
    closedir(full);
    printf("removed while it was read: %d, then %s\n", removed, result(rmdir("full")));
    struct iovec pieces[2] = {{text, 3}, {text + 3, 4}};
    n = pwritev(fd, (struct iovec[]){{"abc", 3}, {"defg", 4}}, 2, 100);
    printf("pwritev: %d\n", n);
    n = preadv(fd, pieces, 2, 100);
    printf("preadv: %d %.7s\n", n, text);
    printf("SEEK_DATA: %ld, SEEK_HOLE: %d\n", (long)lseek(fd, 0, SEEK_DATA), lseek(fd, 0, SEEK_HOLE) > 0);
    printf("behind the end: %s\n", result((int)lseek(fd, 1 << 20, SEEK_DATA)));
    int memory = shm_open("/sprout-test", O_CREAT | O_RDWR, 0600);
    printf("shm_open: %s\n", memory >= 0 ? "done" : strerror(errno));
    printf("its size: %s\n", result(ftruncate(memory, 4096)));
    printf("shm_unlink: %s\n", result(shm_unlink("/sprout-test")));
    if (symlink("behind", "leads.nowhere"))
        return 1;
    printf("made through a link: %s\n", result(open("leads.nowhere", O_CREAT | O_WRONLY, 0600)));
    printf("there: %s\n", result(access("behind", F_OK)));
    printf("exclusively: %s\n", result(open("leads.nowhere", O_CREAT | O_EXCL | O_WRONLY, 0600)));
    printf("with a slash: %s\n", result(unlink("behind/")));
    struct rlimit limit = {20, 50};
    printf("setrlimit: %s\n", result(setrlimit(RLIMIT_NOFILE, &limit)));
    while ((n = dup(0)) >= 0)
        ;
    printf("the 21st: %s\n", strerror(errno));
    printf("above it: %s\n", result(fcntl(0, F_DUPFD, 20)));
    close(19);
    close(18);
    getrlimit(RLIMIT_NOFILE, &limit);
    printf("limits: %d %d\n", (int)limit.rlim_cur, (int)limit.rlim_max);
    limit.rlim_cur = 60;
    printf("above the most: %s\n", result(setrlimit(RLIMIT_NOFILE, &limit)));
    if (chdir(".."))
        return 1;
    return system("rm -r d") != 0;
}
