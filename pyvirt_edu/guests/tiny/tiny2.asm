; tiny2: a kernel of two kilobytes. Rings 0 and 3, paging, a timer, system calls, a disk.
;
; It knows nothing of hypervisors. It boots by multiboot, writes to the serial port, and stops
; with interrupts off when its only program has ended.

        org 0x100000
        bits 32

KERNEL_CODE equ 0x08
KERNEL_DATA equ 0x10
USER_CODE   equ 0x1b
USER_DATA   equ 0x23
TASK        equ 0x28

SERIAL      equ 0x3f8
DISK        equ 0x1f0
TICKS       equ 5                       ; the program sleeps until so many have passed
ROUNDS      equ 20000

PAGE_DIRECTORY equ 0x110000
PAGE_TABLE     equ 0x111000             ; the first 4 MiB
WINDOW_TABLE   equ 0x112000             ; 4 MiB to 8 MiB
WINDOW         equ 0x400000             ; a page that is mapped here and there
FRAME_A        equ 0x120000
FRAME_B        equ 0x121000
SECTOR         equ 0x122000
MANY_FRAMES    equ 0x140000
MANY           equ 128
KERNEL_STACK   equ 0x130000
USER_STACK     equ 0x132000

multiboot:
        dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
        dd multiboot, multiboot, 0, 0, start

; --- from the boot loader to a kernel with its own tables ----------------------------------

start:  cli
        mov esp, KERNEL_STACK
        lgdt [gdt_pointer]
        jmp KERNEL_CODE:reload
reload: mov ax, KERNEL_DATA
        mov ds, ax
        mov es, ax
        mov ss, ax
        lidt [idt_pointer]
        mov ax, TASK
        ltr ax
        call make_page_tables
        mov eax, PAGE_DIRECTORY
        mov cr3, eax
        mov eax, cr0
        or eax, 0x80000000
        mov cr0, eax
        call start_timer
        sti
        mov esi, hello
        call print
        mov eax, [ticks]
.tick:  cmp eax, [ticks]                ; does the clock tick?
        je .tick
        mov esi, ticking
        call print
        call read_disk
        call change_mapping
        call map_many

; --- ring 3 ---------------------------------------------------------------------------------

        mov ax, USER_DATA               ; both rings may use it
        mov ds, ax
        mov es, ax
        push dword USER_DATA
        push dword USER_STACK
        push dword 0x202                ; EFLAGS with IF
        push dword USER_CODE
        push dword program
        iretd

program:                                ; what follows runs in ring 3
        mov esi, from_user
        mov eax, 1                      ; print
        int 0x80
        mov ecx, ROUNDS                 ; work a little
.work:  dec ecx
        jne .work
        mov eax, 2                      ; sleep
        int 0x80
        mov esi, enough
        mov eax, 1
        int 0x80
        mov eax, 3                      ; end
        int 0x80

; --- the system call: EAX 1 print ESI, 2 sleep until TICKS, 3 end ------------------------------

system_call:
        cmp eax, 1
        je .print
        cmp eax, 2
        je .sleep
        mov esi, goodbye
        call print
        cli
        hlt
.print: call print
        iretd
.sleep: cli                             ; no tick between the question and HLT
        cmp dword [ticks], TICKS
        jae .awake
        sti                             ; takes effect after the next instruction
        hlt
        jmp .sleep
.awake: iretd

; --- the timer ------------------------------------------------------------------------------

timer:  push eax
        inc dword [ticks]
        mov al, 0x20                    ; end of interrupt
        out 0x20, al
        pop eax
        iretd

start_timer:
        mov al, 0x11                    ; both controllers: vectors 32 to 47
        out 0x20, al
        out 0xa0, al
        mov al, 0x20
        out 0x21, al
        mov al, 0x28
        out 0xa1, al
        mov al, 4
        out 0x21, al
        mov al, 2
        out 0xa1, al
        mov al, 1
        out 0x21, al
        out 0xa1, al
        mov al, 0xfe                    ; the timer only
        out 0x21, al
        mov al, 0xff
        out 0xa1, al
        mov al, 0x34                    ; a thousand times a second
        out 0x43, al
        mov al, 0xa9
        out 0x40, al
        mov al, 0x04
        out 0x40, al
        ret

; --- the console ----------------------------------------------------------------------------

print:  pushfd                          ; no tick between the characters of a line
        cli
.next:  mov al, [esi]
        inc esi
        test al, al
        je .end
        mov ah, al
        mov dx, SERIAL + 5
.busy:  in al, dx
        test al, 0x20
        je .busy
        mov al, ah
        mov dx, SERIAL
        out dx, al
        jmp .next
.end:   popfd
        ret

; --- paging ---------------------------------------------------------------------------------

make_page_tables:
        mov edi, PAGE_TABLE             ; 4 MiB as they are, for everybody
        mov eax, 7
        mov ecx, 1024
.fill:  mov [edi], eax
        add eax, 0x1000
        add edi, 4
        dec ecx
        jne .fill
        mov dword [PAGE_DIRECTORY], PAGE_TABLE + 7
        mov dword [PAGE_DIRECTORY + 4], WINDOW_TABLE + 7
        ret

change_mapping:                         ; one linear page, two frames
        mov dword [WINDOW_TABLE], FRAME_A + 7
        mov dword [WINDOW], 0x61616161
        mov dword [WINDOW_TABLE], FRAME_B + 7
        invlpg [WINDOW]
        mov dword [WINDOW], 0x62626262
        mov esi, mapped
        cmp dword [FRAME_A], 0x61616161
        jne .bad
        cmp dword [FRAME_B], 0x62626262
        je .good
.bad:   mov esi, not_mapped
.good:  jmp print

map_many:                               ; new pages need no flush: nothing is cached of them
        mov ebx, WINDOW + 0x1000
        mov ecx, MANY_FRAMES + 7
        mov edi, WINDOW_TABLE + 4
.next:  mov [edi], ecx
        inc dword [ebx]                 ; touch it
        add ebx, 0x1000
        add ecx, 0x1000
        add edi, 4
        cmp edi, WINDOW_TABLE + 4 + 4 * MANY
        jne .next
        mov esi, many
        jmp print

; --- the disk: sector 0 by programmed I/O -----------------------------------------------------

read_disk:
        mov dx, DISK + 6
        mov al, 0xe0                    ; LBA, drive 0
        out dx, al
        mov dx, DISK + 2
        mov al, 1
        out dx, al
        inc edx                         ; LBA 0
        mov al, 0
        out dx, al
        inc edx
        out dx, al
        inc edx
        out dx, al
        mov dx, DISK + 7
        mov al, 0x20                    ; READ SECTORS
        out dx, al
.wait:  in al, dx
        test al, 0x80
        jne .wait
        test al, 8
        je .wait
        mov dx, DISK
        mov edi, SECTOR
        mov ecx, 256
        cld
        rep insw
        mov byte [SECTOR + 32], 0       ; its first 32 bytes are a text
        mov esi, from_disk
        call print
        mov esi, SECTOR
        call print
        mov esi, newline
        jmp print

; --- data -----------------------------------------------------------------------------------

hello:      db "tiny2: up", 10, 0
ticking:    db "tiny2: the clock ticks", 10, 0
from_disk:  db "tiny2: the disk says ", 0
newline:    db 10, 0
mapped:     db "tiny2: one page, two frames", 10, 0
many:       db "tiny2: 128 pages more", 10, 0
not_mapped: db "tiny2: PAGING FAILED", 10, 0
from_user:  db "program: hello from ring 3", 10, 0
enough:     db "program: five ticks", 10, 0
goodbye:    db "tiny2: done", 10, 0
        align 4
ticks:      dd 0

        align 8
gdt:    dq 0
        dq 0x00cf9b000000ffff           ; kernel code
        dq 0x00cf93000000ffff           ; kernel data
        dq 0x00cffb000000ffff           ; user code
        dq 0x00cff3000000ffff           ; user data
        dw 0x67, tss - 0x100000, 0x8910, 0     ; the TSS; its base is 10xxxx
gdt_pointer:
        dw gdt_pointer - gdt - 1
        dd gdt

        align 4
tss:    dd 0, KERNEL_STACK, KERNEL_DATA
        times 22 dd 0
        dd 0x00680000                   ; no I/O permission bit map

idt:    times 32 dq 0
        dw timer - 0x100000, KERNEL_CODE, 0x8e00, 0x10
        times 95 dq 0
        dw system_call - 0x100000, KERNEL_CODE, 0xef00, 0x10   ; a trap gate: IF stays set
idt_pointer:
        dw idt_pointer - idt - 1
        dd idt
