"""Instructions of the arithmetic unit inside a machine: memory operands, faults, precision."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.state.layout import ARITHMETIC, ZF

CODE, DATA = 0x20000, 0x31000


def machine(code: str, *, writable: bool = True) -> Machine:
    """Identity paging of the first MiB, ring 0 that honours read-only pages (CR0.WP)."""
    m = Machine(ram="1MiB", devices=())
    m.write(0x80000, (0x81003).to_bytes(4, "little"))
    for page in range(256):
        m.write(0x81000 + 4 * page, (page << 12 | 3).to_bytes(4, "little"))
    if not writable:
        m.write(0x81000 + 4 * (DATA >> 12), (DATA | 1).to_bytes(4, "little"))
    m.load(bytes.fromhex(code) + b"\xf4", at=CODE)
    m.enter_protected_mode(eip=CODE, esp=0x90000)
    m.cpu.cr3 = 0x80000
    m.cpu.cr0 |= 0x80010000
    for vector in (0, 6, 14):
        m.break_on(vector)
    return m


@pytest.mark.parametrize("place", [DATA, DATA + 0xFFD, DATA + 3])
@pytest.mark.parametrize("equal", [True, False])
def test_cmpxchg8b(equal: bool, place: int) -> None:
    """Both outcomes, across a page end too. Only ZF changes."""
    m = machine("0FC70E")  # cmpxchg8b [esi]
    cpu, old, new = m.cpu, 0x1122334455667788, 0xAABBCCDDEEFF0102
    m.write(place, old.to_bytes(8, "little"))
    expected = old if equal else old ^ 1 << 63
    cpu.esi, cpu.eax, cpu.edx = place, expected & 0xFFFFFFFF, expected >> 32
    cpu.ebx, cpu.ecx = new & 0xFFFFFFFF, new >> 32
    cpu.eflags = 2 | (ARITHMETIC & ~ZF if equal else ARITHMETIC)
    assert m.run(max_instructions=5).reason == "halt"
    assert cpu.eflags == 2 | (ARITHMETIC if equal else ARITHMETIC & ~ZF)
    assert int.from_bytes(m.read(place, 8), "little") == (new if equal else old)
    assert cpu.edx << 32 | cpu.eax == old


@pytest.mark.parametrize("equal", [True, False])
def test_cmpxchg8b_needs_to_write_even_when_it_does_not(equal: bool) -> None:
    """The destination receives a write cycle without regard to the comparison."""
    m = machine("0FC70E", writable=False)
    m.write(DATA, bytes(8))
    m.cpu.esi, m.cpu.eax, m.cpu.edx = DATA, 0 if equal else 1, 0
    exit = m.run(max_instructions=5)
    assert (exit.reason, exit.vector, exit.error_code) == ("exception", 14, 3)
    assert (m.cpu.eip, m.cpu.eax) == (CODE, 0 if equal else 1)


def test_cmpxchg8b_of_a_register_is_undefined() -> None:
    assert machine("0FC7C9").run(max_instructions=5).vector == 6


@pytest.mark.parametrize("code", ["F636", "66F736", "F736", "F63E", "66F73E", "F73E", "D400"])
def test_divide_error_changes_nothing(code: str) -> None:
    """DIV and IDIV of each size by zero in memory, and AAM 0: #DE points at the instruction."""
    m = machine(code)
    cpu, rng = m.cpu, random.Random(code)
    m.write(DATA, bytes(4))
    cpu.esi, cpu.eax, cpu.edx, cpu.eflags = DATA, rng.getrandbits(32), rng.getrandbits(32), 2 | ARITHMETIC
    before = (cpu.eax, cpu.edx, cpu.eflags)
    exit = m.run(max_instructions=5)
    assert (exit.reason, exit.vector) == ("exception", 0)
    assert (cpu.eax, cpu.edx, cpu.eflags, cpu.eip) == (*before, CODE)


@pytest.mark.parametrize("code", [
    "C1260C", "D326", "66C12605", "C02603", "66D316", "D31E", "D216", "660FA41E07", "0FA51E", "0FAD1E",
])  # fmt: skip
def test_a_shift_in_memory_faults_before_it_changes_anything(code: str) -> None:
    m = machine(code, writable=False)
    cpu = m.cpu
    m.write(DATA, b"\x12\x34\x56\x78")
    cpu.esi, cpu.ecx, cpu.ebx, cpu.eflags = DATA, 5, 0xFFFFFFFF, 2 | ARITHMETIC
    exit = m.run(max_instructions=5)
    assert (exit.reason, exit.vector, exit.error_code) == ("exception", 14, 3)
    assert (cpu.eflags, cpu.eip, m.read(DATA, 4)) == (2 | ARITHMETIC, CODE, b"\x12\x34\x56\x78")


def test_salc() -> None:
    for carry in (0, 1):
        m = machine("D6")
        m.cpu.eax, m.cpu.eflags = 0x12345678, 2 | carry
        assert m.run(max_instructions=5).reason == "halt"
        assert (m.cpu.eax, m.cpu.eflags) == (0x123456FF if carry else 0x12345600, 2 | carry)
