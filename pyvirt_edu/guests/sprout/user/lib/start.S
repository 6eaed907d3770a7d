/* The first instructions of a program, and how it asks the kernel for something. */
        .text
        .globl start
start:
        mov (%esp), %eax                /* argc */
        lea 4(%esp), %edx               /* argv */
        lea 8(%esp,%eax,4), %ecx        /* envp */
        and $-16, %esp
        sub $4, %esp
        push %ecx
        push %edx
        push %eax
        mov %ecx, environ
        call main
        push %eax
        push %eax
        call exit

/* int syscall(number, a, b, c, d, e, f) */
        .globl syscall
syscall:
        push %ebx
        push %esi
        push %edi
        push %ebp
        mov 20(%esp), %eax
        mov 24(%esp), %ebx
        mov 28(%esp), %ecx
        mov 32(%esp), %edx
        mov 36(%esp), %esi
        mov 40(%esp), %edi
        mov 44(%esp), %ebp
        int $0x80
        pop %ebp
        pop %edi
        pop %esi
        pop %ebx
        ret

/* Where signal handlers return to. */
        .globl signal_return
signal_return:
        pop %eax
        mov $119, %eax
        int $0x80

/* vfork: the child runs on our stack, so the return address is kept in a register. */
        .globl vfork
vfork:
        pop %ecx
        mov $190, %eax
        int $0x80
        jmp *%ecx

        .comm environ, 4
        .section .note.GNU-stack, "", @progbits
