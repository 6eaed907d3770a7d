"""What a kernel's own GDT, IDT and TSS say, taken over into a hypervisor's."""

from __future__ import annotations

from collections.abc import Iterable

from ..machine.disassembler import disassemble
from .descriptors import Gate
from .trap_gates import TrapGates

BREAKPOINT, INT3 = 3, b"\xcc"


def copy_gdt(gates: TrapGates, limit: int, base: int) -> int:
    """Give the guest the segments of its GDT, as `outward` has them; its base."""
    for at in range(8, limit, 8):
        gates.set_descriptor(at, gates.meter.read(base + at, 8))
    return base


def read_gate(gates: TrapGates, at: int) -> Gate:
    """A gate of a kernel's IDT."""
    return Gate.unpack(gates.meter.read(at), gates.meter.read(at + 4))


def copy_idt(gates: TrapGates, limit: int, base: int) -> tuple[int, set[int]]:
    """Let programs raise the vectors that a kernel's IDT offers to them, its system calls: they
    reach the hypervisor. Returns the table's base, and these vectors."""
    offered = set()
    for vector in range((limit + 1) // 8):
        gate = read_gate(gates, base + 8 * vector)
        gates.meter.decide(2)
        if gate.present and gate.dpl == 3:
            gates.let_through(vector, 3)
            offered.add(vector)
    return base, offered


def base_of(gates: TrapGates, gdt: int, selector: int) -> int:
    """Of a segment in a kernel's GDT."""
    low, high = (gates.meter.read(gdt + (selector & ~7) + n) for n in (0, 4))
    return low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000


def put_breakpoints(gates: TrapGates, start: int, end: int, names: Iterable[str]) -> dict[int, bytes]:
    """Replace instructions of one byte by INT3; where, and what stood there."""
    found = {}
    for i in disassemble(gates.machine.read(start, end - start), bits=32, at=start):
        if i.mnemonic in names and len(i) == 1:
            found[i.address] = i.bytes
            gates.machine.write(i.address, INT3)
    gates.let_through(BREAKPOINT, 3)
    return found
