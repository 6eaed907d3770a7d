/* kill: send a signal (15, or -NUMBER) to processes. */
#include "lib/sprout.h"

int main(int argc, char **argv) {
    int signal = SIGTERM, first = 1, result = 0;
    if (argc > 1 && argv[1][0] == '-') {
        signal = number(argv[1] + 1);
        first = 2;
    }
    for (int i = first; i < argc; i++) {
        int error = kill(number(argv[i]), signal);
        if (error)
            print("kill: %s: %s\n", argv[i], error_text(error));
        result |= error != 0;
    }
    return result;
}
