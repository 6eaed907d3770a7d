/*
 * The first program. It gives the terminal to a shell, starts a new one when that ends, and waits
 * for children whose parents are gone. With run=FILE on the kernel's command line it runs that with
 * the shell instead, and switches the machine off.
 */
#include "lib/sprout.h"

static int start(char *const argv[]) {
    int pid = fork();
    if (pid)
        return pid;
    setsid(); /* a session of its own, for the terminal to belong to */
    ioctl(0, TIOCSCTTY, NULL);
    int error = execute(argv);
    print("init: %s: %s\n", argv[0], error_text(error));
    exit(127);
}

static int wait_for(int pid) {
    int status, ended;
    do
        ended = waitpid(-1, &status, 0);
    while (ended != pid && ended != -ECHILD);
    return status;
}

int main(void) {
    char *script = getenv("run");
    if (script) {
        int status = wait_for(start((char *[]){"/bin/sh", script, NULL}));
        exit(status & 0x7f ? 128 + (status & 0x7f) : status >> 8);
    }
    print("Type a command; `help` lists those of this shell.\n");
    for (;;) {
        int pid = start((char *[]){"/bin/sh", NULL});
        if (pid < 0 || wait_for(pid) >> 8 == 127)
            sleep_ms(1000); /* not round and round */
    }
}
