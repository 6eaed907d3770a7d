/* ls: the names in directories, each with what it is. */
#include "lib/sprout.h"

static int list(const char *path) {
    static const char kinds[16] = {[DT_DIR] = '/', [DT_LNK] = '@', [DT_FIFO] = '|'};
    char buffer[2048];
    int fd = open(path, O_RDONLY | O_DIRECTORY), n = fd;
    if (fd == -ENOTDIR) {
        print("%s\n", path);
        return 0;
    }
    while (fd >= 0 && (n = syscall(220, fd, buffer, sizeof(buffer))) > 0)
        for (int at = 0; at < n; at += *(u16 *)(buffer + at + 16)) {
            const char *name = buffer + at + 19;
            char kind = kinds[buffer[at + 18] & 15];
            if (*name != '.')
                print(kind ? "%s%c\n" : "%s\n", name, kind);
        }
    if (fd >= 0)
        close(fd);
    if (n < 0)
        print("ls: %s: %s\n", path, error_text(n));
    return n < 0;
}

int main(int argc, char **argv) {
    int result = argc > 1 ? 0 : list(".");
    for (int i = 1; i < argc; i++)
        result |= list(argv[i]);
    return result;
}
