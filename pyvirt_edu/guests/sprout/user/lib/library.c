/* The library: system calls by their names, strings, and print. */
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

int pipe(int fds[2]) {
    return syscall(42, fds);
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

void *memcpy(void *to, const void *from, size_t n) {
    void *d = to;
    asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int value, size_t n) {
    void *d = to;
    asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(value) : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n) {
    char *d = to;
    const char *s = from;
    if (d <= s)
        return memcpy(to, from, n);
    while (n--)
        d[n] = s[n];
    return to;
}

int memcmp(const void *a, const void *b, size_t n) {
    const u8 *x = a, *y = b;
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
    return 0;
}

size_t strlen(const char *s) {
    const char *end = s;
    while (*end)
        end++;
    return (size_t)(end - s);
}

int strcmp(const char *a, const char *b) {
    while (*a && *a == *b)
        a++, b++;
    return (u8)*a - (u8)*b;
}

int strncmp(const char *a, const char *b, size_t n) {
    for (; n; n--, a++, b++)
        if (*a != *b || !*a)
            return (u8)*a - (u8)*b;
    return 0;
}

char *strchr(const char *s, int c) {
    for (; *s != (char)c; s++)
        if (!*s)
            return NULL;
    return (char *)s;
}

int number(const char *text) {
    bool negative = *text == '-';
    int value = 0;
    for (text += negative; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (*text - '0');
    return negative ? -value : value;
}

/* --- print: collects a line, and writes it at once ------------------------------------------ */

struct out {
    char text[512];
    u32 used;
};

static void put(struct out *o, char c) {
    if (o->used == sizeof(o->text)) {
        write(1, o->text, o->used);
        o->used = 0;
    }
    o->text[o->used++] = c;
}

static void put_padded(struct out *o, const char *text, u32 width, char fill, bool left) {
    u32 n = strlen(text);
    for (u32 i = n; !left && i < width; i++)
        put(o, fill);
    for (u32 i = 0; i < n; i++)
        put(o, text[i]);
    for (u32 i = n; left && i < width; i++)
        put(o, ' ');
}

static const char *digits(char *end, u32 value, u32 base, bool negative) {
    *--end = 0;
    do
        *--end = "0123456789abcdef"[value % base];
    while (value /= base);
    if (negative)
        *--end = '-';
    return end;
}

void print(const char *format, ...) {
    struct out o = {.used = 0};
    char buffer[16];
    va_list values;
    va_start(values, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(&o, *format);
            continue;
        }
        bool left = *++format == '-';
        format += left;
        char fill = *format == '0' ? '0' : ' ';
        u32 width = 0;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (u32)(*format - '0');
        if (*format == 's') {
            put_padded(&o, va_arg(values, const char *), width, ' ', left);
        } else if (*format == 'd') {
            int v = va_arg(values, int);
            put_padded(&o, digits(buffer + 16, v < 0 ? -(u32)v : (u32)v, 10, v < 0), width, fill, left);
        } else if (*format == 'u' || *format == 'x') {
            put_padded(&o, digits(buffer + 16, va_arg(values, u32), *format == 'u' ? 10 : 16, false), width, fill,
                       left);
        } else if (*format == 'c') {
            put(&o, (char)va_arg(values, int));
        } else {
            put(&o, *format);
        }
    }
    va_end(values);
    write(1, o.text, o.used);
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
        {ESRCH, "no such process"}, {EIO, "input or output error"}, {EBUSY, "busy"}, {ENOSYS, "not supported"},
        {ENODEV, "no such device"}, {EUCLEAN, "the disk is damaged"}, {E2BIG, "arguments too long"},
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
