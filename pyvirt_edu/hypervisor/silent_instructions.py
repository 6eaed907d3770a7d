"""Breakpoints in a kernel's code, in place of what does not trap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ..machine.decode.instruction_decoder import decode
from ..machine.opcodes import opcode
from .trap_gates import TrapGates
from .virtual_machine import VirtualMachine

BREAKPOINT, INT3 = 3, bytes((opcode("INT3"),))


def put_breakpoints(gates: TrapGates, start: int, end: int, names: Iterable[str]) -> dict[int, bytes]:
    """Put INT3 over the first byte of instructions with these names; where, and what stood there."""
    found = {}
    code, at = gates.machine.read(start, end - start), start
    while at < end:
        i = decode(code, start=at - start)
        if i and i.name in names:
            found[at] = i.code[:1]
            gates.machine.write(at, INT3)
        at += i.length if i else 1
    gates.let_through(BREAKPOINT, 3)
    return found


@contextmanager
def without_breakpoint(vm: VirtualMachine, linear: int, patched: dict[int, bytes]) -> Iterator[None]:
    """For a moment the guest's code is as it was."""
    place, _ = vm.resolve(linear & ~0xFFF, 0)
    place |= linear & 0xFFF
    vm.host.write(place, patched[linear])
    yield
    vm.host.write(place, INT3)
