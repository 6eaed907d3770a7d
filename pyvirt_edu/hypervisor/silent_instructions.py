"""Breakpoints in a kernel's code, in place of what does not trap.

Invariant: where an INT3 of ours stands, `places` has what stood there before. A guest that writes other code
there has overwritten it: then the place is forgotten when it is met.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ..machine.decode.instruction_decoder import decode
from ..machine.opcodes import opcode
from .trap_gates import TrapGates
from .virtual_machine import VirtualMachine

BREAKPOINT, INT3 = 3, bytes((opcode("INT3"),))


class Patches:
    """``places``: linear addresses, and the byte that stood there."""

    def __init__(self, gates: TrapGates) -> None:
        self.gates = gates
        self.places: dict[int, bytes] = {}
        self._lifted = False

    def put(self, start: int, end: int, names: Iterable[str]) -> None:
        """Put INT3 over the first byte of each instruction with one of these names."""
        code, at = self.gates.machine.read(start, end - start), start
        while at < end:
            i = decode(code, start=at - start)
            if i and i.name in names:
                self.places[at] = i.code[:1]
                self.gates.machine.write(at, INT3)
            at += i.length if i else 1
        self.gates.let_through(BREAKPOINT, 3)

    @contextmanager
    def lifted(self, vm: VirtualMachine, linear: int) -> Iterator[bool]:
        """Whether there is one; for a moment the guest's code is as it was."""
        if linear not in self.places or self._lifted:
            yield self._lifted
            return
        place, _ = vm.resolve(linear & ~0xFFF, 0)
        place |= linear & 0xFFF
        stood = self.places[linear]
        if vm.host.read(place, 1) != INT3:  # the guest has other code there now
            del self.places[linear]
            yield False
            return
        vm.host.write(place, stood)
        self._lifted = True
        yield True
        self._lifted = False
        if vm.host.read(place, 1) == stood:
            vm.host.write(place, INT3)
        else:
            del self.places[linear]

    def state(self) -> Any:
        return dict(self.places)

    def restore(self, state: Any) -> None:
        self.places = dict(state)
