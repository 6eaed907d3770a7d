"""What a kernel's own GDT, IDT and TSS say, taken over into a hypervisor's."""

from __future__ import annotations

from collections.abc import Iterable

from ..machine.decode.instruction_decoder import decode
from ..machine.opcodes import opcode
from .descriptors import Gate, base_in
from .trap_gates import TrapGates

BREAKPOINT, INT3 = 3, bytes((opcode("INT3"),))


def copy_gdt(gates: TrapGates, limit: int, base: int) -> int:
    """Give the guest the segments of its GDT, as `outward` has them; its base."""
    for at in range(8, limit, 8):
        gates.set_descriptor(at, gates.meter.read(base + at, 8))
    return base


def read_gate(gates: TrapGates, at: int) -> Gate:
    """A gate of a kernel's IDT."""
    return Gate.unpack(gates.meter.read(at), gates.meter.read(at + 4))


def base_of(gates: TrapGates, gdt: int, selector: int) -> int:
    """Of a segment in a kernel's GDT."""
    low, high = (gates.meter.read(gdt + (selector & ~7) + n) for n in (0, 4))
    return base_in(low, high)


def kernel_stack(gates: TrapGates, tss: int) -> tuple[int, int]:
    """SS, for ring 1, and ESP that a kernel's TSS has for entries from outside."""
    return gates.meter.read(tss + 8) | 1, gates.meter.read(tss + 4)


def put_breakpoints(gates: TrapGates, start: int, end: int, names: Iterable[str]) -> dict[int, bytes]:
    """Replace instructions of one byte by INT3; where, and what stood there."""
    found = {}
    code, at = gates.machine.read(start, end - start), start
    while at < end:
        i = decode(code, start=at - start)
        if i and i.name in names and i.length == 1:
            found[at] = i.code
            gates.machine.write(at, INT3)
        at += i.length if i else 1
    gates.let_through(BREAKPOINT, 3)
    return found
