"""tiny2 for a hypervisor that wants to be asked: the lines that change, and nothing else.

Each pair is a piece of tiny2.asm and what stands there instead. Hypercalls are INT 82h with
Xen's numbers (xen/include/public/xen.h); their arguments are simplified, chapter 12 has the
real ones.
"""

from __future__ import annotations

from functools import cache

from ...machine.assembler import Program, assemble
from . import ORIGIN, source

CHANGES = (
    # flat segments come from the hypervisor: ring 1 for the kernel, ring 3 for programs
    ("KERNEL_CODE equ 0x08", "KERNEL_CODE equ 0xe019"),
    ("KERNEL_DATA equ 0x10", "KERNEL_DATA equ 0xe021"),
    ("USER_CODE   equ 0x1b", "USER_CODE   equ 0xe02b"),
    ("USER_DATA   equ 0x23", "USER_DATA   equ 0xe033"),
    ("start:  cli\n", "start:\n"),
    ("        lgdt [gdt_pointer]\n", ""),
    (
        "        lidt [idt_pointer]\n",
        "        mov ebx, trap_table\n        mov eax, 0              ; set_trap_table\n        int 0x82\n",
    ),
    (
        "        mov ax, TASK\n        ltr ax\n",
        "        mov ebx, KERNEL_DATA\n        mov ecx, KERNEL_STACK\n"
        "        mov eax, 3              ; stack_switch\n        int 0x82\n",
    ),
    (
        "        mov eax, PAGE_DIRECTORY\n        mov cr3, eax\n        mov eax, cr0\n"
        "        or eax, 0x80000000\n        mov cr0, eax\n",
        "        mov ebx, PAGE_DIRECTORY\n"
        "        mov eax, 26             ; mmuext_op: new base\n        int 0x82\n",
    ),
    (
        "        call start_timer\n        sti\n",
        "        mov ebx, timer\n        mov eax, 15             ; set_timer_op\n        int 0x82\n",
    ),
    (
        "        cli\n        hlt\n",
        "        mov ebx, 2              ; shutdown\n        mov eax, 29             ; sched_op\n"
        "        int 0x82\n",
    ),
    (".sleep: cli                             ; no tick between the question and HLT\n", ".sleep:\n"),
    (
        "        sti                             ; takes effect after the next instruction\n        hlt\n",
        "        mov ebx, 1              ; block\n        mov eax, 29             ; sched_op\n"
        "        int 0x82\n",
    ),
    (
        "        mov al, 0x20                    ; end of interrupt\n        out 0x20, al\n"
        "        pop eax\n        iretd\n",
        "        mov eax, 23             ; iret\n        int 0x82\n",
    ),
    (
        "        mov dword [WINDOW_TABLE], FRAME_B + 7\n        invlpg [WINDOW]\n",
        "        mov ebx, WINDOW\n        mov ecx, FRAME_B + 7\n"
        "        mov eax, 14             ; update_va_mapping\n        int 0x82\n",
    ),
    (".next:  mov [edi], ecx\n", ".next:  mov eax, 14             ; update_va_mapping\n        int 0x82\n"),
)

# a whole line in one hypercall instead of a loop over the serial port's registers
PRINT = """print:  mov ebx, esi
        mov eax, 18             ; console_io: write
        int 0x82
        ret

"""
TRAP_TABLE = """        align 4
trap_table:                     ; vector, highest ring that may use INT, handler
        dd 0x80, 3, system_call
        dd 0, 0, 0
"""


def para_source() -> str:
    """tiny2's source with the changes made."""
    text = source("tiny2")
    for old, new in CHANGES:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    start, end = text.index("print:  pushfd"), text.index("; --- paging ---")
    return text[:start] + PRINT + text[end:] + TRAP_TABLE


@cache
def para_program() -> Program:
    """It assembled: a multiboot image with its labels."""
    return assemble(para_source(), bits=32, origin=ORIGIN)
