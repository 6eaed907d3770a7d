"""A guest that goes round through every mode for ever: real mode once, then protected, ring 3,
virtual-8086, with and without PAE, on the x87, through faults, single steps, a debug register,
interrupt shadows and a task."""

from __future__ import annotations

from pyvirt_edu import Machine

from .guest_lab import CODE, DATA, DATA3, LOG, STACK0, TASK_TSS, Program, expect, new_machine, ring3, v86

PLAIN, PAE = 0x20000, 0x28000
PAGES = 0x40  # mapped to themselves, for everybody

TABLES = f"""
    mov edi, {PLAIN + 0x1000}
    mov esi, {PAE + 0x2000}
    mov eax, 7
fill: mov [edi], eax
    mov [esi], eax
    mov dword [esi + 4], 0
    add eax, 0x1000
    add edi, 4
    add esi, 8
    cmp edi, {PLAIN + 0x1000 + 4 * PAGES}
    jne fill
    mov dword [{PLAIN}], {PLAIN + 0x1000 + 7}
    mov dword [{PAE}], {PAE + 0x1000 + 1}
    mov dword [{PAE + 0x1000}], {PAE + 0x2000 + 7}
"""
PAGING_ON = """
    mov cr3, eax
    mov eax, cr0
    or eax, 0x80010020
    mov cr0, eax
"""
USER = f"""
    mov ax, {DATA3}
    mov ds, ax
    mov ecx, 9
    fld1
.loop:
    add [0x5800], ecx
    loop .loop
    cli
"""
VIRTUAL = """
    push ax
    rol ax, 3
    mov [0x80], ax
    pop bx
    pop cx
    mov ss, cx
    mov sp, 0x700
    hlt
"""
SHADOWED = """
    mov ss, [0x7040]
    mov ebx, 1
    mov ebx, 2
"""
ROUND = f"""
round:
    mov dword [log_at], {LOG}
    mov esp, {STACK0}
    mov eax, cr0
    and eax, 0x7fffffff
    mov cr0, eax
    call {TASK_TSS}:0
    mov eax, cr4
    xor eax, 0x20           ; PAE in every other round
    mov cr4, eax
    test al, 0x20
    mov eax, {PLAIN}
    jz .plain
    mov eax, {PAE}
.plain:
    {PAGING_ON}
    clts                    ; the task switch set CR0.TS
    fninit
    fldpi
    fld1
    fsub st0, st1
    fldz
    fdivp                   ; divides by zero, masked
    mov ax, {DATA}
    sti
    nop
    cli
    mov ss, ax
    mov esp, {STACK0}
    pushfd
    or dword [esp], 0x100   ; TF, taken in the next instruction but one
    mov dword [resume], .stepped
    popfd
    mov ss, ax
    inc ebx
    inc ebx
.stepped:
    mov eax, 0x7040
    mov dr0, eax
    mov eax, 0x30301        ; reads and writes of two bytes there
    mov dr7, eax
    mov word [ss:0x7060], ax
    {expect(f"mov word [0x7040], {DATA}")}
    {expect(SHADOWED)}
    xor eax, eax
    mov dr7, eax
    {expect("lldt [0x7040]")}
    {expect("mov eax, [0x7f0000]")}
    {ring3(USER)}
    {v86(VIRTUAL)}
    mov ecx, 40
    mov esi, 0x10000
    mov edi, 0x30000
    rep movsb
    jmp round
task:
    inc ebp
    rol ebp, 5
    iretd
    jmp task
"""


def program() -> Program:
    return Program(
        TABLES + ROUND,
        task={"cs": CODE, "ss": DATA, "ds": DATA, "es": DATA, "esp": 0x4F00, "eip": "task", "eflags": 2},
    )


def guest(seed: int, machine: Machine | None = None) -> Machine:
    """Stopped before its first instruction; the seed makes its numbers differ."""
    m = new_machine(program(), machine)
    m.cpu.ebx, m.cpu.ebp = seed, 77 * seed
    return m
