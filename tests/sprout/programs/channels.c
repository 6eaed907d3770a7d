/* Pipes, FIFOs, sockets between processes, select and poll. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <signal.h>
#include <unistd.h>

static const char *result(int n) { return n < 0 ? strerror(errno) : "done"; }

int main(void) {
    char text[64] = "";
    int ends[2];
    signal(SIGPIPE, SIG_IGN);
    printf("pipe: %s\n", result(pipe2(ends, O_NONBLOCK | O_CLOEXEC)));
    int n = read(ends[0], text, 1);
    printf("empty pipe: %d %s\n", n, strerror(errno));
    int total = 0;
    while ((n = write(ends[1], text, 64)) > 0)
        total += n;
    printf("its size: %d\n", fcntl(ends[0], F_GETPIPE_SZ));
    printf("full pipe: %d %s\n", total, strerror(errno));
    static unsigned char sent[65536], got[65536];
    for (int i = 0; i < 65536; i++)
        sent[i] = (unsigned char)(i * 7 + i / 251);
    printf("three from it: %d\n", (int)read(ends[0], got, 3 * 4096)); /* what follows goes round the end */
    printf("in again: %d\n", (int)write(ends[1], sent, 10000 + 4096));
    printf("all of it: %d\n", (int)read(ends[0], got, 65536));
    printf("empty: %s\n", result(read(ends[0], got, 1)));
    for (int i = 0; i < 5; i++) { /* lengths that divide nothing */
        int in = write(ends[1], sent + i, 40007), out = 0, m;
        while ((m = read(ends[0], got + out, 3001)) > 0)
            out += m;
        printf("kept: %d %d\n", in == out, memcmp(sent + i, got, (size_t)out));
    }
    printf("from nowhere: %s\n", result(write(ends[1], (void *)4, 10)));
    struct pollfd normal[2] = {{ends[0], POLLRDNORM, 0}, {ends[1], POLLWRNORM, 0}};
    n = poll(normal, 2, 0);
    printf("other names of poll's bits: %d %x %x\n", n, normal[0].revents, normal[1].revents);
    close(ends[0]);
    n = write(ends[1], text, 1);
    printf("broken pipe: %d %s\n", n, strerror(errno));
    close(ends[1]);

    unlink("a.fifo");
    printf("mkfifo: %s\n", result(mkfifo("a.fifo", 0600)));
    if (!fork()) {
        int fd = open("a.fifo", O_WRONLY);
        _exit(write(fd, "through the fifo", 16) != 16);
    }
    int fd = open("a.fifo", O_RDONLY);
    n = read(fd, text, sizeof(text) - 1);
    printf("fifo: %d %.*s\n", n, n > 0 ? n : 0, text);
    wait(NULL);
    n = read(fd, text, 1);
    printf("its end: %d\n", n);
    close(fd);
    unlink("a.fifo");

    int pair[2];
    printf("socketpair: %s\n", result(socketpair(AF_UNIX, SOCK_STREAM, 0, pair)));
    if (!fork()) {
        close(pair[0]);
        n = read(pair[1], text, sizeof(text));
        _exit(write(pair[1], text, (size_t)n) != n);
    }
    close(pair[1]);
    n = write(pair[0], "echo this", 9);
    memset(text, 0, sizeof(text));
    n = read(pair[0], text, sizeof(text));
    printf("stream: %d %s\n", n, text);
    wait(NULL);
    n = read(pair[0], text, 1);
    printf("peer gone: %d\n", n);
    close(pair[0]);

    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "a.socket"};
    unlink("a.socket");
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    printf("bind: %s\n", result(bind(server, (struct sockaddr *)&name, sizeof(name))));
    printf("listen: %s\n", result(listen(server, 3)));
    if (!fork()) {
        int client = socket(AF_UNIX, SOCK_STREAM, 0);
        if (connect(client, (struct sockaddr *)&name, sizeof(name)))
            _exit(1);
        _exit(send(client, "hello", 5, 0) != 5);
    }
    int peer = accept(server, NULL, NULL);
    n = recv(peer, text, sizeof(text), 0);
    printf("accepted: %d %.*s\n", n, n > 0 ? n : 0, text);
    int status;
    wait(&status);
    printf("client: %d\n", WEXITSTATUS(status));
    unlink("a.socket");
    n = recv(peer, text, 1, MSG_DONTWAIT);
    printf("peer gone: %d\n", n);
    socklen_t four = 4;
    int kind = 0;
    getsockopt(peer, SOL_SOCKET, SO_TYPE, &kind, &four);
    printf("type: %d\n", kind == SOCK_STREAM);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        return 1;
    n = recv(pair[0], text, 1, MSG_DONTWAIT);
    printf("not now: %d %s\n", n, strerror(errno));
    if (!fork()) {
        for (int i = 0; i < 10; i++) {
            n = send(pair[1], "0123456789" + i, 1, 0);
            usleep(1000);
        }
        _exit(0);
    }
    n = recv(pair[0], text, 10, MSG_WAITALL);
    printf("all: %d %.10s\n", n, text);
    wait(NULL);
    unlink("b.socket"); /* who waits to connect is told when nobody listens any more */
    strcpy(name.sun_path, "b.socket");
    server = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(server, (struct sockaddr *)&name, sizeof(name));
    listen(server, 1);
    for (int i = 0; i < 6; i++)
        if (!fork()) {
            close(server);
            alarm(10);
            connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&name, sizeof(name));
            _exit(1);
        }
    usleep(100000);
    close(server);
    int ended = 0;
    while (wait(&status) > 0)
        ended += WIFEXITED(status);
    printf("ended: %d\n", ended);
    unlink("b.socket");

    int a[2], b[2];
    if (pipe(a) || pipe(b))
        return 1;
    fd_set set;
    FD_ZERO(&set);
    FD_SET(a[0], &set);
    FD_SET(b[0], &set);
    struct timeval short_while = {0, 10000};
    printf("select: %d\n", select(b[0] + 1, &set, NULL, NULL, &short_while));
    n = write(b[1], "x", 1);
    FD_SET(a[0], &set);
    FD_SET(b[0], &set);
    n = select(b[0] + 1, &set, NULL, NULL, NULL);
    printf("select: %d %d\n", n, FD_ISSET(b[0], &set));
    struct pollfd polled[2] = {{a[0], POLLIN, 0}, {b[0], POLLIN, 0}};
    n = poll(polled, 2, -1);
    printf("poll: %d %d %d\n", n, polled[0].revents, polled[1].revents);
    close(a[1]);
    n = poll(polled, 2, -1);
    printf("poll: %d %d\n", n, polled[0].revents);
    struct iovec parts[2] = {{"ab", 2}, {"cde", 3}};
    n = writev(b[1], parts, 2);
    printf("writev: %d\n", n);
    n = read(b[0], text, sizeof(text));
    printf("read: %d %.*s\n", n, n, text);

    int udp = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(here);
    printf("udp: %s\n", result(bind(udp, (struct sockaddr *)&here, size)));
    getsockname(udp, (struct sockaddr *)&here, &size);
    n = sendto(udp, "datagram", 8, 0, (struct sockaddr *)&here, size);
    n = recvfrom(udp, text, sizeof(text), 0, NULL, NULL);
    printf("to itself: %d %.*s\n", n, n > 0 ? n : 0, text);
    return 0;
}
