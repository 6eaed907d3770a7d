/*
 * The first instructions. A multiboot loader (GRUB, QEMU) leaves the processor in protected mode,
 * paging off, with a magic number in EAX and the address of its information in EBX. This file
 * turns paging on and continues at c0000000 and up.
 *
 * Kept: code before `high` is linked where it is loaded, all the rest at KERNEL_BASE above that.
 */
#include "../../include/layout.h"

#define MAGIC 0x1badb002
#define FLAGS 3                         /* modules on page boundaries; tell the memory map */

#define BIG_PAGE 0x83                   /* present, writable, 4 MiB */
#define CR4_PSE 0x10
#define CR0_PG_WP 0x80010000            /* paging; and read-only holds for ring 0 too */

        .section .boot, "awx"
        .align 4
        .long MAGIC, FLAGS, -(MAGIC + FLAGS)

        .globl start
start:
        cld
        mov %cr4, %ecx
        or $CR4_PSE, %ecx
        mov %ecx, %cr4
        mov $boot_directory, %ecx
        mov %ecx, %cr3
        mov %cr0, %ecx
        or $CR0_PG_WP, %ecx
        mov %ecx, %cr0
        mov $high, %ecx
        jmp *%ecx

/* The first page directory: RAM where it is, for the code above, and at KERNEL_BASE. */
        .align 4096
boot_directory:
        .long BIG_PAGE
        .fill (KERNEL_BASE >> 22) - 1, 4, 0
        .set i, 0
        .rept DIRECT_MAP_SIZE >> 22
        .long (i << 22) | BIG_PAGE
        .set i, i + 1
        .endr
        .fill 1024 - (KERNEL_BASE >> 22) - (DIRECT_MAP_SIZE >> 22), 4, 0

        .text
high:
        mov $boot_stack_top, %esp
        xor %ebp, %ebp                  /* a debugger's chain of frames ends here */
        push %ebx
        push %eax
        call kernel_main

        .bss
        .align 16
        .skip 8192
boot_stack_top:
        .section .note.GNU-stack, "", @progbits
