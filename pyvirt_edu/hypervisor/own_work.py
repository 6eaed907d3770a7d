"""What a guest does by itself of the things that have a price: ports, gates and IRET.

The meter knows what a hypervisor did. To ask what another price of, say, a port access would
change, one must know the guest's own accesses too: a kernel that is allowed to use a port
pays the same price as the monitor that does it for another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from ..machine.bare_machine import BareMachine
from ..machine.exits import Exit
from ..machine.opcodes import PREFIXES, rows_for


def _opcodes(mnemonics: str) -> set[int]:
    return {row.opcode for name in mnemonics.split() for row in rows_for(name)}


PORT_OPCODES, INT_OPCODES, IRET = map(_opcodes, ("IN OUT INS OUTS", "INT INT3 INTO", "IRET"))


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
        outside, opcode, delivered = monitored and cpu.cpl == 0, _opcode(machine), machine.delivered_at
        before = machine.instructions
        out = step()
        outside = outside or (monitored and cpu.cpl == 0)
        if not outside and machine.instructions > before:
            entered = machine.delivered_at != delivered
            if entered:
                found["INT entry" if opcode in INT_OPCODES else "exception entry"] += 1
            elif opcode in PORT_OPCODES:
                found["port access"] += 1
            elif opcode in IRET:
                found["IRET"] += 1
        if out.reason != "limit":
            break
    return found, out


def _opcode(machine: BareMachine) -> int:
    """Of the next instruction, without prefixes; 0 where there is none to read."""
    at = machine.cpu.segment("cs").base + machine.cpu.eip & 0xFFFF_FFFF
    for _ in range(15):
        physical = machine.translate(at)
        if physical is None or physical >= machine.ram_size:
            return 0
        byte = machine.read(physical, 1)[0]
        if byte not in PREFIXES:
            return byte
        at = at + 1 & 0xFFFF_FFFF
    return 0
