"""A load of SS holds off what would use the stack before ESP is loaded, too (manual 3A, 6.8.3).

Each kind of trap, in ring 3: what our processor reports first, and the host's, where a child may
be traced. A program ends with UD2. Interrupts and NMI, which a program cannot see, are in
test_interrupts.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

from pyvirt_edu import assemble

from ..silicon import CODE, DATA, HOST, PAGE, USER_DATA, Ours, Silicon, Trap

TF = 0x100
STEP, HIT = 0x4000, 1  # DR6.BS, DR6.B0
ON_FETCH, ON_WRITE, ON_ACCESS = 0x1, 0x1_0001, 0x3_0001  # DR7: breakpoint 0, one byte
SELECTOR, OTHER, TOP = DATA + 0x100, DATA + 0x200, DATA + 0x800
REGISTERS = dict.fromkeys("ecx ebp".split(), 3) | {
    "eax": USER_DATA, "ebx": SELECTOR, "edx": OTHER, "esi": OTHER, "edi": OTHER + 64, "esp": TOP,
}  # fmt: skip
MOV, LOAD, POP, NOPS = "mov ss, ax\n", "mov ss, [ebx]\n", "pop ss\n", "nop\nnop\nnop\n"
NOTHING = Trap(0, 0, "UD")

CASES = {
    # single step: that of the load is lost, the next instruction's comes
    "step": (MOV + NOPS, TF, 0, 0, Trap(3, STEP)),
    "step, POP": (POP + NOPS, TF, 0, 0, Trap(2, STEP)),
    "step, LSS holds nothing off": ("lss esp, [edx]\n" + NOPS, TF, 0, 0, Trap(3, STEP)),
    "step, two in a row": (MOV * 2 + NOPS, TF, 0, 0, Trap(4, STEP)),
    "step, three in a row": (MOV * 3 + NOPS, TF, 0, 0, Trap(4, STEP)),
    "step, a jump": (MOV + "jmp $+3\n" + NOPS, TF, 0, 0, Trap(5, STEP)),
    "step, one iteration of REP": (MOV + "rep movsb\n", TF, 0, 0, Trap(2, STEP)),
    "step, TF set before": ("push dword 0x302\npopfd\n" + MOV + NOPS, 0, 0, 0, Trap(9, STEP)),
    "step, TF set behind": ("push dword 0x302\n" + MOV + "popfd\n" + NOPS, 0, 0, 0, Trap(9, STEP)),
    "step, TF cleared behind": ("push dword 0x202\n" + MOV + "popfd\n" + NOPS, TF, 0, 0, Trap(5, STEP)),
    "step, a fault behind": (MOV, TF, 0, 0, NOTHING._replace(place=2)),
    # data breakpoints wait, for one instruction
    "data": (LOAD + NOPS, 0, SELECTOR, ON_ACCESS, Trap(3, HIT)),
    "data, POP": (POP + NOPS, 0, TOP, ON_ACCESS, Trap(2, HIT)),
    "data, step": (LOAD + NOPS, TF, SELECTOR, ON_ACCESS, Trap(3, STEP | HIT)),
    "data of the first of two": (LOAD + MOV + NOPS, 0, SELECTOR, ON_ACCESS, Trap(4, HIT)),
    "data of the second of two": (MOV + LOAD + NOPS, 0, SELECTOR, ON_ACCESS, Trap(4, HIT)),
    "data of the next": (MOV + "mov [edx], al\n" + NOPS, 0, OTHER, ON_WRITE, Trap(4, HIT)),
    "data of both": (LOAD + "mov [ebx], al\n" + NOPS, 0, SELECTOR, ON_ACCESS, Trap(4, HIT)),
    # breakpoints on the next instruction are lost
    "fetch": (MOV + NOPS, 0, CODE + 2, ON_FETCH, NOTHING._replace(place=5)),
    "fetch, POP": (POP + NOPS, 0, CODE + 1, ON_FETCH, NOTHING._replace(place=4)),
    "fetch of the second behind": (MOV + NOPS, 0, CODE + 3, ON_FETCH, Trap(3, HIT)),
    "fetch of the second of two": (MOV * 2 + NOPS, 0, CODE + 2, ON_FETCH, NOTHING._replace(place=7)),
    "fetch behind two": (MOV * 2 + NOPS, 0, CODE + 4, ON_FETCH, Trap(4, HIT)),
    "fetch, LSS": ("lss esp, [edx]\n" + NOPS, 0, CODE + 3, ON_FETCH, Trap(3, HIT)),
    "fetch of the load": (NOPS + MOV, 0, CODE + 3, ON_FETCH, Trap(3, HIT)),
}


@pytest.fixture(scope="module")
def ours() -> Ours:
    return Ours()


@pytest.fixture(scope="module")
def silicon() -> Iterator[Silicon]:
    if not HOST.answers:
        pytest.skip("no x86 Linux beneath that lets a child be traced")
    with Silicon() as child:
        yield child


def run(side: Ours | Silicon, name: str) -> Trap:
    source, flags, dr0, dr7, _ = CASES[name]
    side.write(DATA, bytes(PAGE))
    side.write(SELECTOR, struct.pack("<I", USER_DATA))
    side.write(OTHER, struct.pack("<IH", TOP - 64, USER_DATA))
    side.write(TOP, struct.pack("<I", USER_DATA))
    code = bytes(assemble("bits 32\n" + source + "ud2", origin=CODE))
    return side.first_trap(code, REGISTERS | {"eflags": 0x202 | flags}, dr0, dr7)


@pytest.mark.parametrize("name", CASES)
def test_ours(ours: Ours, name: str) -> None:
    assert run(ours, name) == CASES[name][-1]


@pytest.mark.parametrize("name", CASES)
def test_silicon(silicon: Silicon, name: str) -> None:
    assert run(silicon, name) == CASES[name][-1]
