"""Code that changes: what runs is always what memory holds, wherever it lies in its page."""

from __future__ import annotations

import random
import struct

import pytest

from pyvirt_edu import Machine, assemble

START, VARIANTS, CHOICES, STACK = 0x10000, 0x11000, 0x12000, 0x90000
PAGE_END = 0x21000
ROUNDS = 200

# Each adds what its comment says to EBX; lengths and numbers of instructions differ.
PIECES = (
    ("inc ebx\n ret", 1),
    ("add ebx, 0x12345678\n ret", 0x12345678),
    ("inc ebx\n" * 9 + "ret", 9),
    ("mov eax, 0x01020304\n add ebx, eax\n ret", 0x01020304),
    ("nop\n jmp short over\n int3\n int3\nover: add ebx, 5\n ret", 5),
    ("lea ebx, [ebx + 0x40000000]\n dec ebx\n ret", 0x3FFFFFFF),
)

DRIVER = """
        mov ebp, {choices}
        mov edx, {rounds}
again:  movzx esi, byte [ebp]
        inc ebp
        shl esi, 4
        add esi, {variants}
        mov edi, {slot}
        mov ecx, 4
        rep movsd
        call {slot}
        dec edx
        jnz again
        hlt
"""


def loaded(slot: int, choices: list[int]) -> Machine:
    m = Machine("2MiB", devices=(), history=False)
    text = DRIVER.format(choices=CHOICES, rounds=len(choices), variants=VARIANTS, slot=slot)
    m.load(assemble(text, origin=START), at=START)
    for i, (piece, _) in enumerate(PIECES):
        m.load(assemble(piece), at=VARIANTS + 16 * i)
    m.load(bytes(choices), at=CHOICES)
    m.enter_protected_mode(eip=START, esp=STACK)
    return m


@pytest.mark.parametrize("slot", [0x20100, 0x2013A, *range(PAGE_END - 16, PAGE_END)])
def test_patched_code(slot: int) -> None:
    picks = random.Random(slot)
    choices = [picks.randrange(len(PIECES)) for _ in range(ROUNDS)]
    whole, stepped = loaded(slot, choices), loaded(slot, choices)
    whole.run()
    while stepped.step(7).reason == "limit":
        pass
    expected = sum(PIECES[i][1] for i in choices) & 0xFFFFFFFF
    assert whole.cpu.ebx == stepped.cpu.ebx == expected
    assert (whole.instructions, whole.cycles) == (stepped.instructions, stepped.cycles)


def test_second_page_is_mapped_elsewhere() -> None:
    """Code within a page becomes an instruction that goes on in the next, and that page moves."""
    root, table, here, first, second = 0x1000, 0x2000, 0x20000, 0x30000, 0x31000
    entry = table + 4 * ((here >> 12) + 1)
    m = Machine("1MiB", devices=(), history=False)
    m.load(struct.pack("<I", table | 3), at=root)
    m.load(b"".join(struct.pack("<I", page << 12 | 3) for page in range(256)), at=table)
    m.load(struct.pack("<I", first | 3), at=entry)
    slot = here + 0xFFE
    m.load(b"\x43\xc3", at=slot)  # inc ebx; ret
    for page, value in ((first, 0x100), (second, 0x20000)):
        m.load(struct.pack("<I", value) + b"\xc3", at=page)
    text = f"""
        call {slot}
        mov word [{slot}], 0xC381        ; add ebx, the four bytes of the next page
        call {slot}
        call {slot}
        mov dword [{entry}], {second | 3}
        invlpg [{here + 0x1000}]
        call {slot}
        mov word [{slot}], 0xC343
        call {slot}
        hlt
    """
    m.load(assemble(text, origin=START), at=START)
    m.enter_protected_mode(eip=START, esp=STACK)
    m.cpu.cr3 = root
    m.cpu.cr0 |= 0x80000000
    m.run()
    assert m.cpu.ebx == 1 + 0x100 + 0x100 + 0x20000 + 1


def test_data_beside_code_is_stored_fast_again() -> None:
    """A page that held code is an ordinary page once nothing in it runs any more."""
    m = Machine("1MiB", devices=(), history=False)
    text = """
        mov word [0x20000], 0xC343
        call 0x20000
        mov ecx, 1000
fill:   mov [0x20000 + ecx * 4 - 4], ecx
        dec ecx
        jnz fill
        hlt
    """
    m.load(assemble(text, origin=START), at=START)
    m.enter_protected_mode(eip=START, esp=STACK)
    m.run()
    assert m.read(0x20000, 8) == struct.pack("<II", 1, 2)
    assert m._a.page_code[0x20] == 0


def test_known_code_obeys_a_smaller_limit() -> None:
    """A block that ran under one CS ends one byte behind the limit of another (3A, 5.3)."""
    code = assemble("start: inc eax\ninc ebx\nmov ecx, 0x11223344\njmp start", bits=32, origin=0x10000)
    m = Machine(ram="1MiB", devices=(), history=False)
    m.load(code, at=0x10000)
    end = 0x10000 + len(code)
    for selector, limit, flags in ((0x08, 0xFFFFF, 0xC), (0x10, end - 2, 0x4), (0x18, end - 1, 0x4)):
        low = (limit & 0xFFFF) | 0x9B << 40 | (limit >> 16 & 15) << 48 | flags << 52
        m.write(0x800 + selector, low.to_bytes(8, "little"))
    m.enter_protected_mode(eip=0x10000, esp=0x90000)
    m.cpu.gdtr_base, m.cpu.gdtr_limit = 0x800, 0x1F
    m.break_on(13)
    m.cpu.cs = 0x08
    assert m.run(max_instructions=40).reason == "limit"
    m.cpu.cs, m.cpu.eip = 0x10, 0x10000
    out = m.run(max_instructions=40)
    assert (out.reason, out.vector, out.eip) == ("exception", 13, end - 2)
    m.cpu.cs, m.cpu.eip = 0x18, 0x10000
    assert m.run(max_instructions=40).reason == "limit"
