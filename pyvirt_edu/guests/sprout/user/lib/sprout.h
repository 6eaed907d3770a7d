/* A small C library for the programs that come with sprout. Calls return minus an error number. */
#pragma once
#include "../../include/linux.h"
#include "../../include/text.h"

extern char **environ;
int syscall(int number, ...);
int vfork(void);

void exit(int status) __attribute__((noreturn));
int fork(void);
int execve(const char *path, char *const argv[], char *const envp[]);
int execute(char *const argv[]);            /* the program is looked for in PATH */
int waitpid(int pid, int *status, int options);
int kill(int pid, int number);
int getpid(void);
int setsid(void);
int setpgid(int pid, int group);
int getpgrp(void);
int open(const char *path, int flags, ...);
int read(int fd, void *to, u32 size);
int write(int fd, const void *from, u32 size);
int close(int fd);
int dup2(int fd, int to);
int pipe(int fds[2], int flags);
int chdir(const char *path);
int mkdir(const char *path, int mode);
int unlink(const char *path);
int lseek(int fd, int offset, int whence);
int ioctl(int fd, u32 command, void *argument);
void sync(void);
void *mmap(void *at, u32 size, int prot, int flags, int fd, u32 offset);
int munmap(void *at, u32 size);
int mprotect(void *at, u32 size, int prot);
void *sbrk(int more);
void sleep_ms(u32 milliseconds);
int signal(int number, void (*handler)(int));
void power_off(void);

char *getenv(const char *name);
int number(const char *text);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
const char *error_text(int error);
u64 cycles(void);
