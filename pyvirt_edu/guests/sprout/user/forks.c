/*
 * forks: fork and write to memory as the argument says, to see who gets which page. A digit writes
 * to the page of that number; f forks, and first the child does the rest, then the parent.
 */
#include "lib/sprout.h"

#define PAGES 8

char pages[PAGES][PAGE] __attribute__((aligned(PAGE)));

int main(int argc, char **argv) {
    for (const char *step = argc > 1 ? argv[1] : ""; *step; step++) {
        if (*step == 'f') {
            int pid = fork();
            if (pid < 0) {
                print("forks: %s\n", error_text(pid));
                return 1;
            }
            if (pid)
                waitpid(pid, NULL, 0);
        } else if (*step >= '0' && *step < '0' + PAGES) {
            pages[*step - '0'][0]++;
        } else {
            print("usage: forks STEPS, each f or a page from 0 to %d\n", PAGES - 1);
            return 1;
        }
    }
    return 0;
}
