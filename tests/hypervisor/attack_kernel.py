"""The small kernel around an attack: tables, handlers, and places in memory that attacks may use.

It has the parts of `test_unseen_kernels`, but goes on after a fault. Every exception prints its
vector as a letter and its error code, restores flat segments and a stack, and jumps to the next
part. What a part leaves behind otherwise (tables, paging, flags, tasks) the next one inherits, unless
it asks for a fresh start. So a program ends by itself, on bare metal as under a monitor.

Code is text; a semicolon stands between two instructions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyvirt_edu.hypervisor.trap_gates import SIZE

ORIGIN, RAM = 0x10000, 0x1F0000 + SIZE
CODE, DATA, USER_CODE, USER_DATA, TSS = 8, 0x10, 0x1B, 0x23, 0x28
FREE_SLOT, SLOTS = 0x30, 64  # the first selector for descriptors of attacks; descriptors in the GDT
CALL, LEAVE, USER_CALL, FREE_VECTOR, VECTORS = 0x30, 0x31, 0x32, 0x34, 64
DIRECTORY, TABLE, OTHER_TABLE = 0x41000, 0x42000, 0x43000  # page tables; the last one is empty
TASK = 0x50000  # a second TSS, then its I/O permission bit map: zeros
SCRATCH, LOOT = 0x60000, 0x70000  # free for attacks; where they put what they read
USER_STACK, TASK_STACK, TRAP_STACK, ENTRY_STACK, STACK = 0x80000, 0x8D000, 0x8E000, 0x8F000, 0x90000
MOST_FAULTS, MOST_STEPS = 40, 60
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}
PRESENT_GATE, GATE_DPL_3 = 0x8E00, 0xEE00  # 32-bit interrupt gates, as the third word of a gate


@dataclass(frozen=True)
class Part:
    """One production's code; with ``flags`` it runs in ring 3, its EFLAGS being those."""

    code: str
    flags: int | None = None
    fresh: bool = True  # loads the kernel's tables, segments and stack first


def put(character: str) -> str:
    return f"mov al, '{character}'; out 0xe9, al"


def gate(target: str | int, selector: int = CODE, word: int = PRESENT_GATE) -> str:
    """A gate (manual 3A, 5.8.3 and 6.11) to a label or a number, as a line of data."""
    if isinstance(target, str):
        return f"dw {target} - {ORIGIN:#x}, {selector:#x}, {word:#x}, {ORIGIN >> 16}"
    return f"dw {target & 0xFFFF:#x}, {selector:#x}, {word:#x}, {target >> 16:#x}"


def to_ring_3(label: str, flags: int = 2) -> str:
    frame = f"push {USER_DATA:#x}; push {USER_STACK:#x}; push {flags:#x}; push {USER_CODE:#x}; push {label}"
    return f"{frame}; iretd; {label}: mov ax, {USER_DATA:#x}; mov ds, ax; mov es, ax"


LOAD_SEGMENTS = f"mov ax, {DATA:#x}; mov ds, ax; mov es, ax; mov ss, ax"
START = f"""
    lgdt [gdt_pointer]
    jmp 8:reload
reload: {LOAD_SEGMENTS}
    lidt [idt_pointer]
    mov dword [tss + 4], {ENTRY_STACK:#x}
    mov dword [tss + 8], {DATA:#x}
    mov ax, {TSS:#x}
    ltr ax
    mov al, 0xff
    out 0x21, al
    out 0xa1, al
    mov dword [0], 0xcccccccc   # who returns to nowhere meets INT3
"""
ROUTINES = f"""
show:   push eax    # the low four bits of EAX, as a letter
    and al, 15
    add al, 'a'
    out 0xe9, al
    pop eax
    ret
trap:   mov ax, {DATA:#x}    # on the stack: vector, error code
    mov ds, ax
    mov es, ax
    pop ebx
    pop ecx
    mov ss, ax
    mov esp, {TRAP_STACK:#x}
    lea eax, [ebx + 'A']
    out 0xe9, al
    mov ebx, 4
digit:  jecxz told
    rol cx, 4
    mov eax, ecx
    call show
    dec ebx
    jnz digit
told:   dec dword [faults]
    js end
    jmp dword [resume]
debug:  push eax    # a single step, or a breakpoint
    push ds
    mov ax, {DATA:#x}
    mov ds, ax
    inc dword [steps]
    cmp dword [steps], {MOST_STEPS}
    pop ds
    pop eax
    jb stepped
    and dword [esp + 8], 0xfffffeff
stepped: or dword [esp + 8], 0x10000    # RF: past a breakpoint on an instruction
    iretd
leave3: mov ax, {DATA:#x}
    mov ds, ax
    mov es, ax
    mov al, ')'
    out 0xe9, al
    mov esp, {TRAP_STACK:#x}
    jmp dword [resume]
call:   push eax
    mov al, '*'
    out 0xe9, al
    pop eax
    iretd
tick:   push eax
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd
far_call: mov al, 'c'
    out 0xe9, al
    retf
task:   mov al, 'T'
    out 0xe9, al
    pushfd
    pop eax
    test ah, 0x40    # NT: there is a task to go back to
    jnz nested
    jmp dword [resume]
nested: iretd
    jmp task
make_task: mov esi, task_image
    mov edi, {TASK:#x}
    mov ecx, 26
    cld
    rep movsd
    mov eax, cr3
    mov [{TASK + 0x1C:#x}], eax
    ret
tables: mov edi, {TABLE:#x}    # the first 4 MiB as they are, for everybody
    mov eax, 7
    mov ecx, 1024
    cld
fill:   stosd
    add eax, 0x1000
    loop fill
    mov dword [{DIRECTORY:#x}], {TABLE | 7:#x}
    mov eax, {DIRECTORY:#x}
    mov cr3, eax
    ret
enable: mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
    ret
end:    mov eax, [steps]
    call show
    shr eax, 4
    call show
    mov al, '.'
    out 0xe9, al
    cli
    hlt
"""
TASK_IMAGE = f"""
task_image: dd 0, {ENTRY_STACK:#x}, {DATA:#x}, 0, 0, 0, 0, 0, task, 2
    dd 0, 0, 0, 0, {TASK_STACK:#x}, 0, 0, 0
    dd {DATA:#x}, {CODE}, {DATA:#x}, {DATA:#x}, 0, 0, 0, 0x680000
"""
DESCRIPTORS = (0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF)


def framed(number: int, part: Part) -> str:
    """A part with what goes before and after it."""
    fresh = f"lgdt [cs:gdt_pointer]; lidt [cs:idt_pointer]; jmp {CODE}:fresh{number}; fresh{number}:"
    begin = f"{fresh}; {LOAD_SEGMENTS}; mov esp, {STACK:#x}; " if part.fresh else ""
    begin = f"part{number}: {begin}mov dword [resume], part{number + 1}; {put(str(number))}"
    if part.flags is None:
        return f"{begin}; {part.code}"
    return f"{begin}; {to_ring_3(f'user{number}', part.flags)}; {part.code}; int {LEAVE:#x}"


def handler(vector: int) -> str:
    return f"h{vector}: {'' if vector in WITH_ERROR_CODE else 'push 0; '}push {vector}; jmp trap"


GATES = {
    **{vector: gate(f"h{vector}") for vector in range(32)},
    1: gate("debug"),
    3: gate("h3", word=GATE_DPL_3),
    4: gate("h4", word=GATE_DPL_3),
    CALL: gate("call"),
    LEAVE: gate("leave3", word=GATE_DPL_3),
    USER_CALL: gate("call", word=GATE_DPL_3 | 0x100),
}


def kernel(parts: Iterable[Part], slots: Iterable[str], gates: Mapping[int, str], data: Iterable[str]) -> str:
    """The text of a program: the parts one after the other, then descriptors, gates and data of theirs."""
    texts = [framed(number, part) for number, part in enumerate(parts, 1)]
    last = f"part{len(texts) + 1}: {LOAD_SEGMENTS}; mov esp, {TRAP_STACK:#x}; jmp end"
    code = "\n".join((START, *texts, last, ROUTINES, *map(handler, range(32))))
    lines = [line.partition("#")[0].strip() for line in code.replace(";", "\n").splitlines()]
    rows = {**GATES, **gates}
    table = [f"dd {d & 0xFFFFFFFF:#x}, {d >> 32:#x}" for d in DESCRIPTORS]
    table += [f"dw 0x67, tss - {ORIGIN:#x}, 0x8901, 0", *slots]
    lines += ["align 8", "data:", f"resume: dd end\nfaults: dd {MOST_FAULTS}\nsteps: dd 0", TASK_IMAGE, *data]
    lines += [f"gdt_pointer: dw {8 * SLOTS - 1}\ndd gdt\nidt_pointer: dw {8 * VECTORS - 1}\ndd idt\nalign 8"]
    lines += ["gdt:", *table, f"times {SLOTS - len(table)} dq 0", "tss: times 26 dd 0"]
    lines += ["idt:", *(rows.get(vector, gate("tick")) for vector in range(VECTORS))]
    return "\n".join(filter(None, lines)) + "\n"
