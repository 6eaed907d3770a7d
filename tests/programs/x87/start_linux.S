# A process of 32-bit Linux: INT 80h is a system call, EAX=1 to exit, 4 to write.
    .globl _start, put_character
    .text
_start:
    fninit
    call program
    call flush
    mov $1, %eax
    xor %ebx, %ebx
    int $0x80

put_character:
    mov 4(%esp), %al
    mov filled, %ecx
    mov %al, buffer(%ecx)
    inc %ecx
    mov %ecx, filled
    cmp $4096, %ecx
    je flush
    ret

flush:
    push %ebx
    mov $4, %eax
    mov $1, %ebx
    mov $buffer, %ecx
    mov filled, %edx
    int $0x80
    movl $0, filled
    pop %ebx
    ret

    .bss
filled: .skip 4
buffer: .skip 4096
    .section .note.GNU-stack, "", @progbits
