/* cat: files, or the input, to the output. */
#include "lib/sprout.h"

static int copy(int fd) {
    char buffer[4096];
    int n;
    while ((n = read(fd, buffer, sizeof(buffer))) > 0)
        if (write(1, buffer, (u32)n) != n)
            return -EIO;
    return n;
}

int main(int argc, char **argv) {
    int result = argc > 1 ? 0 : copy(0);
    for (int i = 1; i < argc; i++) {
        int fd = open(argv[i], O_RDONLY), error = fd < 0 ? fd : copy(fd);
        if (error < 0)
            print("cat: %s: %s\n", argv[i], error_text(error));
        result |= error < 0;
        if (fd >= 0)
            close(fd);
    }
    return result != 0;
}
