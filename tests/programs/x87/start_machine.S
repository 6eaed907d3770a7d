# A kernel for a bare PC: out through the serial port at 3F8h, end through the exit port F4h.
    .globl _start, put_character
    .section .multiboot, "a"
    .long 0x1badb002, 0, -0x1badb002

    .text
_start:
    mov $stack, %esp
    fninit
    call program
    xor %eax, %eax
    out %al, $0xf4
    hlt

put_character:
    mov $0x3fd, %edx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov 4(%esp), %al
    mov $0x3f8, %edx
    out %al, %dx
    ret

    .bss
    .balign 16
    .skip 65536
stack:
    .section .note.GNU-stack, "", @progbits
