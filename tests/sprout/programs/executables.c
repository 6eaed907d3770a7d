/* What exec takes: scripts, long environments, and ELF files that linkers seldom make. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *self;

static void file(const char *name, const void *text, size_t size) {
    int fd = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0755);
    if (write(fd, text, size) != (ssize_t)size)
        printf("%s: not written\n", name);
    close(fd);
}

static void run(const char *what, const char *program, char **arguments, char **environment) {
    int status;
    fflush(stdout);
    if (!fork()) {
        execve(program, arguments, environment);
        printf("%s\n", strerror(errno));
        fflush(stdout);
        _exit(99);
    }
    wait(&status);
    printf("%s: %d\n", what, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
}

static void script(const char *name, const char *text) {
    char *none[] = {NULL}, *arguments[] = {"x", "arg", NULL};
    file(name, text, strlen(text));
    run(name, name, arguments, none);
}

/* A file of 12 KiB with these segments. Its code, at 400h, ends the program with status 33. */
static void segments(const char *what, unsigned entry, const Elf32_Phdr *list, int count) {
    static unsigned char image[12288];
    static const unsigned char code[] = {0x31, 0xc0, 0x40, 0xbb, 33, 0, 0, 0, 0xcd, 0x80};
    char *none[] = {NULL}, *arguments[] = {"x", NULL};
    Elf32_Ehdr header = {.e_ident = ELFMAG "\1\1\1", .e_type = ET_EXEC, .e_machine = EM_386, .e_version = 1,
                         .e_entry = entry, .e_phoff = sizeof(header), .e_ehsize = sizeof(header),
                         .e_phentsize = sizeof(*list), .e_phnum = count};
    memset(image, 0, sizeof(image));
    memcpy(image, &header, sizeof(header));
    memcpy(image + sizeof(header), list, (size_t)count * sizeof(*list));
    memcpy(image + 0x400, code, sizeof(code));
    file("segments", image, sizeof(image));
    run(what, "./segments", arguments, none);
}

int main(int argc, char **argv, char **environ) {
    size_t size = 0, count = 0;
    for (char **e = environ; *e; e++, count++)
        size += strlen(*e) + 1;
    if (argc > 1) {
        printf("environment: %u strings, %u bytes\n", (unsigned)count, (unsigned)size);
        return 7;
    }
    self = argv[0];
    mkdir("programs", 0755);
    if (chdir("programs"))
        return 1;
    script("./s1", "#!/bin/sh\necho script $1\n");
    script("./s2", "#!./s1\nhello\n");
    script("./s3", "#!/bin/sh");
    script("./s4", "#! /bin/sh -e \nfalse\necho not reached\n");
    script("./s5", "#!/nonexistent\n");
    script("./s6", "#!\n");
    script("./s7", "#!./s7\n");
    script("./s8", "");
    char slashes[200] = "#!";
    memset(slashes + 2, '/', 150);
    strcpy(slashes + 152, "bin/sh\necho many slashes\n");
    script("./s9", slashes);

    static char text[60001];
    char *many[10] = {NULL}, *again[] = {"me", "count", NULL};
    memset(text, 'A', 60000);
    text[1] = '=';
    for (int i = 0; i < 8; i++)
        many[i] = text;
    run("a large environment", self, again, many);

    const Elf32_Phdr code = {PT_LOAD, 0, 0x8048000, 0, 0x500, 0x500, PF_R | PF_X, 0x1000};
    segments("one segment", 0x8048400, (Elf32_Phdr[]){code}, 1);
    segments("two in one page", 0x8048400,
             (Elf32_Phdr[]){code, {PT_LOAD, 0x500, 0x8048500, 0, 0x100, 0x3000, PF_R | PF_W | PF_X, 0x1000}}, 2);
    segments("in odd order", 0x8048400,
             (Elf32_Phdr[]){{PT_LOAD, 0x1000, 0x804a000, 0, 0x100, 0x3000, PF_R | PF_W, 0x1000}, code}, 2);
    segments("one without length", 0x8048400,
             (Elf32_Phdr[]){code, {PT_LOAD, 0, 0, 0, 0, 0, PF_R | PF_W, 0x1000}}, 2);
    segments("one of zeros, anywhere in the file", 0x8048400,
             (Elf32_Phdr[]){code, {PT_LOAD, 0x123, 0x8050000, 0, 0, 0x2000, PF_R | PF_W, 4}}, 2);
    segments("high up", 0xa0000400, (Elf32_Phdr[]){{PT_LOAD, 0, 0xa0000000, 0, 0x500, 0x500, PF_R | PF_X, 0x1000}}, 1);
    segments("no code there", 0x9000000, (Elf32_Phdr[]){code}, 1);
    return 0;
}
