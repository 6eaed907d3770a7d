/*
 * Into the kernel and out of it. Each vector has a stub that makes all traps look alike: an error
 * code (0 where the processor pushes none) and the vector's number. Then the registers are saved
 * as a struct trap_frame, and C takes over.
 *
 * Kept: the kernel runs with interrupts off. All gates are interrupt gates, and IRET turns
 * interrupts on again; only cpu_idle() and cpu_serve_interrupts() let them in before.
 */
#include "../../include/layout.h"

        .text
        .macro stub number, has_error=0
stub_\number:
        .if \has_error == 0
        push $0
        .endif
        push $\number
        jmp enter_kernel
        .endm

        .altmacro                       /* %n is the value of n, not its name */
        .macro stubs_of first, last
        .set n, \first
        .rept \last - \first + 1
        stub %n
        .set n, n + 1
        .endr
        .endm

        stubs_of 0, 7
        stub 8, 1
        stub 9
        stub 10, 1
        stub 11, 1
        stub 12, 1
        stub 13, 1
        stub 14, 1
        stub 15
        stub 16
        stub 17, 1
        stubs_of 18, 47
        stub 128

enter_kernel:
        pusha
        push %ds
        push %es
        push %fs
        push %gs
        cld
        mov $KERNEL_DS, %eax
        mov %eax, %ds
        mov %eax, %es
        push %esp
        call trap
        add $4, %esp

        .globl leave_kernel
leave_kernel:
        pop %gs
        pop %fs
        pop %es
        pop %ds
        popa
        add $8, %esp                    /* vector and error code */
        iret

/* switch_stacks(u32 *save, u32 load): the caller returns later, when somebody loads what is saved. */
        .globl switch_stacks
switch_stacks:
        mov 4(%esp), %eax
        mov 8(%esp), %edx
        push %ebp
        push %ebx
        push %esi
        push %edi
        mov %esp, (%eax)
        mov %edx, %esp
        pop %edi
        pop %esi
        pop %ebx
        pop %ebp
        ret

        .macro address number
        .long stub_\number
        .endm

        .section .rodata
        .globl trap_stubs
trap_stubs:
        .set n, 0
        .rept 48
        address %n
        .set n, n + 1
        .endr
        .globl system_call_stub
system_call_stub:
        .long stub_128
        .section .note.GNU-stack, "", @progbits
