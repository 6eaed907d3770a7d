/* rm: files, and directories that are empty. */
#include "lib/sprout.h"

int main(int argc, char **argv) {
    int result = 0;
    for (int i = 1; i < argc; i++) {
        int error = unlink(argv[i]);
        if (error == -EISDIR)
            error = syscall(40, argv[i]);
        if (error)
            print("rm: %s: %s\n", argv[i], error_text(error));
        result |= error != 0;
    }
    return result;
}
