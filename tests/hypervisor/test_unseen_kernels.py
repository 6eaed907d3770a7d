"""Small kernels of tiny2's rung that the monitor was not written for: under it they print what
they print on bare metal. Each tests one habit of real kernels."""

from __future__ import annotations

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate

ORIGIN = 0x10000
LIMIT = 400_000


def put(character: str) -> str:
    return f"    mov al, '{character}'\n    out 0xe9, al\n"


def handler(name: str, character: str, after: str) -> str:
    return f"{name}:\n    push eax\n{put(character)}    pop eax\n{after}\n"


END = "    cli\n    hlt\n"
START = """
start:  lgdt [gdt_pointer]
    jmp 8:reload
reload: mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    lidt [idt_pointer]
    mov ax, 0x28
    ltr ax
    mov dword [tss + 4], 0x8f000
    mov dword [tss + 8], 0x10
"""
PIC = "".join(
    f"    mov al, {value}\n    out {port}, al\n"
    for port, value in ((0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0xFE))
)
PIT = "".join(
    f"    mov al, {value}\n    out {port}, al\n" for port, value in ((0x43, 0x34), (0x40, 0xA9), (0x40, 4))
)
TIMER = PIC + PIT
HANDLERS = (
    handler("other", "!", END)
    + handler("protection", "G", END)
    + handler("call", "S", "    iretd")
    + handler("overflow", "O", "    iretd")
    + handler("divide", "D", "    add dword [esp], 2\n    iretd")
    + handler(
        "page", "P", "    mov dword [0x42180], 0x60007\n    invlpg [0x60000]\n    add esp, 4\n    iretd"
    )
    + """
timer:  push ds
    push eax
    mov ax, 0x10
    mov ds, ax
    inc dword [ticks]
    mov al, 0x20
    out 0x20, al
    pop eax
    pop ds
    iretd
"""
)
GATES = {
    0: ("divide", 0x8E00), 4: ("overflow", 0x8E00), 13: ("protection", 0x8E00), 14: ("page", 0x8E00),
    32: ("timer", 0x8E00), 33: ("call", 0x8E00), 48: ("call", 0xEE00), 49: ("call", 0xEF00),
}  # fmt: skip
TABLES = """
    align 4
data:
ticks:  dd 0
message: db "xyz", 0
pointer: dd 0x90000
    dw 0x10
    align 8
gdt:    dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00cffb000000ffff, 0x00cff3000000ffff
    dw 0x67, tss - 0x10000, 0x8901, 0
gdt_pointer: dw 47
    dd gdt
tss:    times 26 dd 0
idt_pointer: dw 511
    dd idt
"""


def idt() -> str:
    rows = (GATES.get(vector, ("other", 0x8E00)) for vector in range(64))
    return "idt:\n" + "".join(f"    dw {name} - 0x10000, 8, {kind:#x}, 1\n" for name, kind in rows)


def to_ring_3(label: str, flags: int = 0x202) -> str:
    return (
        f"    push 0x23\n    push 0x80000\n    push {flags:#x}\n    push 0x1b\n    push {label}\n    iretd\n"
        f"{label}: mov ax, 0x23\n    mov ds, ax\n    mov es, ax\n"
    )


def paging(flags: int = 0) -> str:
    """The first 4 MiB as they are, for everybody, but for the page at 60000h."""
    return f"""
    mov edi, 0x42000
    mov eax, 7
    mov ecx, 1024
    cld
fill: stosd
    add eax, 0x1000
    loop fill
    mov dword [0x42180], 0
    mov dword [0x41000], 0x42007
    mov eax, 0x41000
    mov cr3, eax
    mov eax, cr0
    or eax, {0x80000000 | flags:#x}
    mov cr0, eax
"""


WAIT = "    mov ecx, 100000\nwait_: loop wait_\n"
KERNELS = {
    "sti, then a loop, with a tick waiting": (
        TIMER + "    cli\n" + WAIT + "    sti\nagain: cmp dword [ticks], 2\n    jb again\n" + put("A") + END
    ),
    "hlt with interrupts off and a tick waiting ends": TIMER + "    cli\n" + WAIT + "    hlt\n" + put("X"),
    "sti, hlt": (
        TIMER + "again: sti\n    hlt\n    cli\n    cmp dword [ticks], 3\n    jb again\n" + put("H") + END
    ),
    "a frame of its own to ring 3, with a tick waiting": (
        TIMER + WAIT + to_ring_3("user") + "again: cmp dword [ticks], 2\n    jb again\n    int 48\n    hlt\n"
    ),
    "a frame of its own to ring 3, a tick comes there": (
        PIT + PIC + to_ring_3("user") + "again: cmp dword [ticks], 2\n    jb again\n    int 48\n    hlt\n"
    ),
    "ring 3 with interrupts off": (
        TIMER + to_ring_3("user", 2) + WAIT + "    cmp dword [ticks], 0\n    je none\n    int 48\nnone: hlt\n"
    ),
    "pushf and popf": (
        TIMER + "    sti\n    pushfd\n    cli\n" + WAIT
        + "    popfd\nagain: cmp dword [ticks], 2\n    jb again\n"
        "    pushfd\n    pop eax\n    shr eax, 9\n    and eax, 1\n    add al, '0'\n    out 0xe9, al\n" + END
    ),
    "cs by retf": "    push 8\n    push there\n    retf\nthere:\n" + put("R") + END,
    "pop ss": "    push 0x10\n    pop ss\n" + put("P") + END,
    "clts and lldt": (
        "    mov eax, cr0\n    or eax, 8\n    mov cr0, eax\n    clts\n    xor eax, eax\n    lldt ax\n"
        "    mov eax, cr0\n    shr eax, 3\n    and eax, 1\n    add al, '0'\n    out 0xe9, al\n" + END
    ),
    "into": "    mov al, 0x7f\n    add al, 1\n    into\n" + put("a") + END,
    "int from ring 0": "    int 33\n    int 48\n    int 49\n" + put("b") + END,
    "int from ring 3 as the gates allow": to_ring_3("user") + "    int 48\n    int 49\n    int 33\n    hlt\n",
    "a gate that is opened after lidt": (
        "    mov word [idt + 8 * 50], call - 0x10000\n    mov word [idt + 8 * 50 + 4], 0xee00\n"
        + to_ring_3("user") + "    int 50\n    hlt\n"
    ),
    "strings and sizes of in and out": (
        "    mov dx, 0xe9\n    mov esi, message\n    mov ecx, 3\n    cld\n    rep outsb\n    outsb\n"
        "    mov ax, 0x4241\n    out 0xe9, ax\n    mov dx, 0xcf8\n    mov eax, 0x80000000\n    out dx, eax\n"
        "    in eax, dx\n    shr eax, 24\n    add al, 0xc0\n    out 0xe9, al\n"
        "    mov dx, 0xcfc\n    in ax, dx\n    out 0xe9, al\n    in al, 0x21\n    out 0xe9, al\n" + END
    ),
    "addresses of 16 bits, a table with a base of 24": (
        "    mov dword [0x8000], 'xyz'\n    mov dx, 0xe9\n    mov esi, 0x50008000\n    mov ecx, 0x10003\n"
        "    cld\n    a16 rep outsb\n    shr ecx, 16\n    lea eax, [ecx + '0']\n    out 0xe9, al\n"
        "    mov byte [gdt_pointer + 5], 0x55\n    o16 lgdt [gdt_pointer]\n    mov ax, 0x10\n    mov es, ax\n"
        + put("L") + END
    ),
    "division in ring 0 and ring 3": (
        "    xor ecx, ecx\n    div ecx\n" + put("0") + to_ring_3("user")
        + "    xor ecx, ecx\n    div ecx\n    int 48\n    hlt\n"
    ),
    "a page on demand in ring 3": (
        paging() + to_ring_3("user") + "    mov dword [0x60000], 'K'\n    int 48\n    hlt\n"
    ),
    "a page on demand in ring 0": (
        paging() + "    mov dword [0x60000], 'K'\n    mov al, [0x60000]\n    out 0xe9, al\n"
        "    mov eax, cr2\n    shr eax, 12\n    out 0xe9, al\n" + END
    ),
    "write protection for the kernel": (
        paging(1 << 16) + "    mov dword [0x42180], 0x60001\n    mov byte [0x60000], 1\n" + put("W") + END
    ),
}  # fmt: skip


def runs(name: str, patched: bool = True) -> list[tuple[str, str]]:
    """What a kernel prints on bare metal and under the monitor, and how it ends."""
    code = assemble(START + KERNELS[name] + HANDLERS + TABLES + idt(), bits=32, origin=ORIGIN)
    results = []
    for monitored in (False, True):
        m = Machine(ram="2MiB")
        m.load(code, at=ORIGIN)
        m.enter_protected_mode(eip=ORIGIN, esp=0x90000)
        patch = (ORIGIN, code.symbols["data"]) if patched else (0, 0)
        runner = TrapAndEmulate(m, patch).gates if monitored else m
        out = runner.run(max_instructions=LIMIT)
        results.append((m.console.text, out.reason))
    return results


@pytest.mark.parametrize("name", KERNELS)
def test_prints_what_it_prints_on_bare_metal(name: str) -> None:
    bare, monitored = runs(name)
    assert monitored == bare
    text, reason = bare
    assert reason == "halt"
    assert "!" not in text
    assert text or "waiting ends" in name


def test_ring_3_has_interrupts_though_nobody_saw_the_iret() -> None:
    """Without the patch the kernel's IRET to ring 3 does not trap; programs run with IF set."""
    bare, monitored = runs("a frame of its own to ring 3, a tick comes there", patched=False)
    assert monitored == bare
    assert bare[1] == "halt"
