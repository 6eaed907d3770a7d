/* mkdir: new directories. */
#include "lib/sprout.h"

int main(int argc, char **argv) {
    int result = 0;
    for (int i = 1; i < argc; i++) {
        int error = mkdir(argv[i], 0777);
        if (error)
            print("mkdir: %s: %s\n", argv[i], error_text(error));
        result |= error != 0;
    }
    return result;
}
