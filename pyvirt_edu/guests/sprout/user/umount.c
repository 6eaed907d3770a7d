/* umount: write what is left to write, and let a disk go. */
#include "lib/sprout.h"

int main(int argc, char **argv) {
    int error = argc == 2 ? syscall(52, argv[1], 0) : -EINVAL;
    if (error)
        print("umount: %s\n", error_text(error));
    return error != 0;
}
