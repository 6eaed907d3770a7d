"""What a guest does by itself of the things that have a price: ports, gates and IRET.

The meter knows what a hypervisor did. To ask what another price of, say, a port access would
change, one must know the guest's own accesses too: a kernel that is allowed to use a port
pays the same price as the monitor that does it for another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..machine.bare_machine import BareMachine
from ..machine.decode.instruction import Instruction
from ..machine.decode.instruction_decoder import Undecoded
from ..machine.exits import Exit
from .instructions import instruction_at

CODE_32 = 0x4000  # among a segment's attributes
PORTS = ("IN", "OUT", "INS", "OUTS")


def own_work(
    machine: BareMachine, step: Callable[[], Exit], monitored: bool, limit: int = 10_000_000
) -> tuple[Counter[str], Exit]:
    """Run a guest to its end, an instruction at a time, and count by the names of the meter.

    ``step`` runs one instruction: ``lambda: machine.run(max_instructions=1)`` or
    ``lambda: gates.run(max_instructions=1)``. ``monitored``: ring 0 is not the guest's. The
    counts of the machine are the same as in a run at one go. Returns the exit that ended it, too.
    """
    found: Counter[str] = Counter()
    cpu, out = machine.cpu, Exit("limit", machine.cpu.eip, machine.instructions)
    for _ in range(limit):
        outside, i, delivered = monitored and cpu.cpl == 0, _next(machine), machine.delivered_at
        before = machine.instructions
        out = step()
        outside = outside or (monitored and cpu.cpl == 0)
        if not outside and machine.instructions > before:
            entered = machine.delivered_at != delivered
            if entered:
                found["INT entry" if i and i.vector is not None else "exception entry"] += 1
            elif i and i.operation in PORTS:
                found["port access"] += 1
            elif i and i.operation == "IRET":
                found["IRET"] += 1
        if out.reason != "limit":
            break
    return found, out


def _next(machine: BareMachine) -> Instruction | Undecoded:
    """The instruction that EIP points to."""
    cs = machine.cpu.segment("cs")
    bits = 32 if cs.attributes & CODE_32 else 16
    return instruction_at(machine, cs.base + machine.cpu.eip & 0xFFFF_FFFF, bits).found
