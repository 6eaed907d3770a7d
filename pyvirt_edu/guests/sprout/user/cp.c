/* cp: a copy of a file, with its mode. */
#include "lib/sprout.h"

static int copy(int from, int to) {
    char buffer[4096];
    int n;
    while ((n = read(from, buffer, sizeof(buffer))) > 0) {
        int written = write(to, buffer, (u32)n);
        if (written != n)
            return written < 0 ? written : -ENOSPC;
    }
    return n;
}

int main(int argc, char **argv) {
    struct stat64 s;
    if (argc != 3) {
        print("cp FILE COPY\n");
        return 2;
    }
    int from = open(argv[1], O_RDONLY), to = -1, error = from;
    if (from >= 0)
        error = syscall(197, from, &s); /* fstat64 */
    if (from >= 0 && !error)
        error = to = syscall(5, argv[2], O_WRONLY | O_CREAT | O_TRUNC, s.st_mode & 0777);
    if (to >= 0)
        error = copy(from, to);
    if (error)
        print("cp: %s\n", error_text(error));
    return error != 0;
}
