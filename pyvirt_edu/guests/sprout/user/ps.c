/* ps: the processes, as /proc tells. */
#include "lib/sprout.h"

int main(void) {
    char buffer[1024], path[32];
    int n, dir = open("/proc", O_RDONLY | O_DIRECTORY);
    print("  PID  PPID S NAME\n");
    while ((n = syscall(220, dir, buffer, sizeof(buffer))) > 0)
        for (int at = 0; at < n; at += *(u16 *)(buffer + at + 16)) {
            const char *name = buffer + at + 19;
            char text[512], *p, *end;
            if (*name < '1' || *name > '9')
                continue;
            format_text(path, sizeof(path), "/proc/%s/stat", name);
            int fd = open(path, O_RDONLY), size = fd < 0 ? fd : read(fd, text, sizeof(text) - 1);
            if (fd >= 0)
                close(fd);
            if (size <= 0)
                continue; /* it is gone */
            text[size] = 0;
            p = strchr(text, '(');
            end = p ? strchr(p, ')') : NULL;
            if (!end)
                continue;
            *end = 0;
            print("%5s %5d %c %s\n", name, number(end + 4), end[2], p + 1);
        }
    return 0;
}
