"""A monitor under a system that is about to run: the machine's memory becomes the guest's, all but its top.

The chapters' small monitors begin so. The guest keeps its addresses: the map is the identity. Hypervisors
of several guests lend them memory instead (virtual_machine.py).
"""

from __future__ import annotations

from .direct_execution import DirectExecution
from .frames import Frames
from .memory_map import MemoryMap
from .trap_gates import OWN_BYTES, TrapGates
from .virtual_machine import VirtualMachine

PAGE = 4096


def lend_all(gates: TrapGates) -> tuple[VirtualMachine, Frames]:
    """A virtual processor on the memory below the gates' own; and the frames left for its monitor."""
    pages = gates.physical // PAGE
    frames = Frames(0, gates.machine.ram_size // PAGE)
    memory = frames.allocate("guest", pages)
    frames.allocate("monitor", OWN_BYTES // PAGE)
    identity = MemoryMap(gates.machine, frames, "guest", pages)
    identity.put(0, memory)
    return VirtualMachine(identity, gates.physical, devices=()), frames


def take_over(gates: TrapGates) -> DirectExecution:
    """Make what the machine stands at the guest of these gates: a kernel that knows of nothing."""
    guest = DirectExecution(gates, *lend_all(gates))
    guest.take_over()
    return guest
