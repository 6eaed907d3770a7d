/*
 * Where things lie in the 4 GiB of an address space. Also read by the assembler.
 *
 *   00000000  not mapped: a null pointer faults
 *   08048000  the usual program; its heap (brk) follows it
 *   40000000  mmap
 *   bf7ff000  the user stack, 8 MiB
 *   c0000000  all of RAM, as far as it fits: physical address p at c0000000 + p
 *   f8000000  kernel stacks, 16 KiB apart, with nothing mapped below each
 *
 * From c0000000 up every address space is the same.
 */
#define KERNEL_BASE 0xc0000000
#define DIRECT_MAP_SIZE 0x38000000 /* 896 MiB */
#define STACKS_BASE 0xf8000000
#define STACK_STRIDE 0x4000
#define STACK_SIZE 0x2000
#define PROCESSES 256

#define USER_START 0x00001000
#define USER_MMAP 0x40000000
#define USER_STACK_TOP 0xbffff000
#define USER_STACK_SIZE 0x00800000
#define USER_END USER_STACK_TOP

/* Selectors: a descriptor's number times 8, plus the ring. */
#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_CS 0x1b
#define USER_DS 0x23
#define TASK_SELECTOR 0x28
#define TLS_FIRST 6
#define TLS_COUNT 3
#define CRASH_TASK_SELECTOR 0x48
