/* The library: system calls by their names, and what programs need besides. */
#include "sprout.h"

void exit(int status) {
    for (;;)
        syscall(1, status);
}

int fork(void) {
    return syscall(2);
}

int execve(const char *path, char *const argv[], char *const envp[]) {
    return syscall(11, path, argv, envp);
}

int waitpid(int pid, int *status, int options) {
    return syscall(114, pid, status, options, 0);
}

int kill(int pid, int number) {
    return syscall(37, pid, number);
}

int getpid(void) {
    return syscall(20);
}

int setsid(void) {
    return syscall(66);
}

int setpgid(int pid, int group) {
    return syscall(57, pid, group);
}

int getpgrp(void) {
    return syscall(65);
}

int open(const char *path, int flags, ...) {
    return syscall(5, path, flags, 0666);
}

int read(int fd, void *to, u32 size) {
    return syscall(3, fd, to, size);
}

int write(int fd, const void *from, u32 size) {
    return syscall(4, fd, from, size);
}

int close(int fd) {
    return syscall(6, fd);
}

int dup2(int fd, int to) {
    return syscall(63, fd, to);
}

int pipe(int fds[2], int flags) {
    return syscall(331, fds, flags);
}

int chdir(const char *path) {
    return syscall(12, path);
}

int mkdir(const char *path, int mode) {
    return syscall(39, path, mode);
}

int unlink(const char *path) {
    return syscall(10, path);
}

int lseek(int fd, int offset, int whence) {
    return syscall(19, fd, offset, whence);
}

int ioctl(int fd, u32 command, void *argument) {
    return syscall(54, fd, command, argument);
}

void sync(void) {
    syscall(36);
}

void *mmap(void *at, u32 size, int prot, int flags, int fd, u32 offset) {
    return (void *)syscall(192, at, size, prot, flags, fd, offset / PAGE);
}

int munmap(void *at, u32 size) {
    return syscall(91, at, size);
}

int mprotect(void *at, u32 size, int prot) {
    return syscall(125, at, size, prot);
}

void *sbrk(int more) {
    u32 end = (u32)syscall(45, 0);
    return (u32)syscall(45, end + (u32)more) == end + (u32)more ? (void *)end : NULL;
}

void sleep_ms(u32 milliseconds) {
    u32 time[2] = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    syscall(162, time, time);
}

void signal_return(void);

int signal(int number, void (*handler)(int)) {
    struct sigaction a = {(u32)handler, SA_RESTORER | SA_RESTART, (u32)signal_return, 0};
    return syscall(174, number, &a, 0, 8);
}

void power_off(void) {
    syscall(88, 0xfee1dead, 672274793, 0x4321fedc);
}

/* The first of the directories in PATH that has it. */
int execute(char *const argv[]) {
    char path[256];
    const char *list = getenv("PATH");
    int result = -ENOENT;
    if (strchr(argv[0], '/'))
        return execve(argv[0], argv, environ);
    for (const char *p = list ? list : "/bin"; *p;) {
        const char *end = strchr(p, ':');
        u32 n = end ? (u32)(end - p) : strlen(p);
        if (n + strlen(argv[0]) + 2 <= sizeof(path)) {
            memcpy(path, p, n);
            path[n] = '/';
            memcpy(path + n + 1, argv[0], strlen(argv[0]) + 1);
            int error = execve(path, argv, environ);
            result = error == -ENOENT ? result : error;
        }
        p += n + (end != NULL);
    }
    return result;
}

char *getenv(const char *name) {
    u32 n = strlen(name);
    for (char **e = environ; *e; e++)
        if (!strncmp(*e, name, n) && (*e)[n] == '=')
            return *e + n + 1;
    return NULL;
}

int number(const char *text) {
    return *text == '-' ? -(int)parse_number(text + 1) : (int)parse_number(text);
}

void print(const char *format, ...) {
    char text[2048];
    va_list values;
    va_start(values, format);
    u32 n = (u32)format_list(text, sizeof(text), format, values);
    va_end(values);
    write(1, text, MIN(n, sizeof(text) - 1));
}

const char *error_text(int error) {
    static const struct {
        int number;
        const char *text;
    } texts[] = {
        {ENOENT, "no such file or directory"}, {EACCES, "permission denied"}, {EEXIST, "exists already"},
        {ENOTDIR, "not a directory"}, {EISDIR, "is a directory"}, {ENOMEM, "no memory"},
        {EAGAIN, "too many processes"}, {ENOEXEC, "not a program"}, {EROFS, "read-only file system"},
        {ENOSPC, "no space left"}, {ENOTEMPTY, "directory not empty"}, {EINVAL, "invalid argument"},
        {ESRCH, "no such process"}, {EIO, "input or output error"}, {EBUSY, "busy"},
        {ENOSYS, "not supported"}, {ENODEV, "no such device"}, {EUCLEAN, "the disk is damaged"},
        {E2BIG, "arguments too long"},
    };
    for (u32 i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].number == (error < 0 ? -error : error))
            return texts[i].text;
    return "failed";
}

u64 cycles(void) {
    u64 value;
    asm volatile("rdtsc" : "=A"(value));
    return value;
}
