/* What the three parts of exec share: the arguments, and the program as its file describes it. */
#pragma once
#include "files.h"

enum { ARGUMENT_PAGES = 512 }; /* a quarter of the stack, as in Linux */

/* The strings of argv and envp, one after the other as they will stand on the stack. */
struct arguments {
    u32 count, argument_count;  /* of all, and of those that are argv's */
    u32 used;                   /* bytes */
    char *pages[ARGUMENT_PAGES];
    u32 stack, first, first_end; /* in the new program's memory: ESP, and where argv's strings lie */
};

/* Where they come from: pointers in a program's memory, or the kernel's own. */
struct strings {
    u32 user;
    const char *const *kernel;
};

/* What the kernel and the program itself need to know of a mapped file. */
struct program {
    u32 base, entry, headers, header_count, end;
    char loader[64]; /* "": it needs none */
};

/* kernel/arguments.c */
int arguments_add(struct arguments *a, const char *string);
int arguments_add_all(struct arguments *a, struct strings from, u32 skip);
void owned_arguments(struct arguments **a);
int build_stack(struct space *s, struct arguments *a, const struct program *p, u32 loader_base,
                const struct process *who);

/* kernel/elf.c */
enum { PROGRAM_HEADER = 32 }; /* its size in the file */
enum { PROGRAM_BASE = 0x08000000, LOADER_BASE = 0x37000000 }; /* of files that can lie anywhere */
int map_program(struct space *s, struct inode *i, u32 base, struct program *p);
