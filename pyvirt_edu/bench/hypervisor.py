"""What an exit costs a hypervisor in Python, on the clock on the wall.

Each figure is a multiple of one ``m.run(max_instructions=1)`` of the same run, which is what Python
pays for crossing into the core and back. The guest exits from over a thousand different places, as a
kernel does, so decoded code and decoded instructions are not one line in a cache. Meters are on.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

from .python_side import LOOP, _machine
from .results import Result

if TYPE_CHECKING:
    from ..computer import Machine
    from ..hypervisor.trap_frame import Frame

PLACES = 1200
ORIGIN, STACK = 0x100000, 0x90000
RAM = "16MiB"
DISK = bytes(1 << 20)
DIRECTORY, TABLE = 0x41000, 0x42000

CLI = "cli\n"
IN = "in al, dx\n"
HYPERCALL = "mov eax, 14\nmov ebx, {linear:#x}\nmov ecx, {entry:#x}\nint 0x82\n"
SECTOR = """
    mov edx, 0x1f2
    mov al, 1
    out dx, al
    mov edx, 0x1f7
    mov al, 0x20
    out dx, al
wait{n}: in al, dx
    test al, 8
    je wait{n}
    mov edx, 0x1f0
    mov ecx, 256
    mov edi, 0x60000
    rep insw
"""
TABLES = f"""
    mov edi, {TABLE:#x}
    mov eax, 7
    mov ecx, 1024
fill: mov [edi], eax
    add edi, 4
    add eax, 0x1000
    loop fill
    mov dword [{DIRECTORY:#x}], {TABLE | 7:#x}
    mov eax, 26
    mov ebx, {DIRECTORY:#x}
    int 0x82
"""


def _guest(body: str, before: str = "") -> Machine:
    """A kernel that does something at many places, for ever."""
    from ..computer import Machine
    from ..machine.assembler import assemble

    m = Machine(ram=RAM, disk=DISK, history=False)
    m.load(assemble(f"{before}\ncld\nagain:\n{body}\njmp again", bits=32, origin=ORIGIN), at=ORIGIN)
    m.enter_protected_mode(eip=ORIGIN, esp=STACK)
    return m


def _step() -> float:
    """Seconds of one run of one instruction."""
    machine = _machine(LOOP)
    count = 20_000
    started = time.perf_counter()
    for _ in range(count):
        machine.run(max_instructions=1)
    return (time.perf_counter() - started) / count


def _exits(run: Callable[[int], object], exits: Callable[[], int], instructions: int) -> float:
    """Seconds an exit, after a first round."""
    run(instructions)
    before, started = exits(), time.perf_counter()
    run(instructions)
    return (time.perf_counter() - started) / (exits() - before)


def _trapped(body: str, instructions: int) -> float:
    from ..hypervisor.trap_and_emulate import TrapAndEmulate

    monitor = TrapAndEmulate(_guest(body, "mov edx, 0x40"))
    return _exits(monitor.gates.run, lambda: monitor.meter.exits, instructions)


def _multiples(name: str, pairs: int, target: float, limit: str, seconds: Callable[[], float]) -> Result:
    values, each = [], []
    for _ in range(pairs):
        step = _step()
        each.append(seconds())
        values.append(each[-1] / step)
    detail = f"{min(each) * 1e6:.1f} us at best; {limit}"
    return Result(name, "steps", values, target, more=False, detail=detail)


def trapped_cli(pairs: int) -> Result:
    limit = "two crossings into the core, the frame, the decoder's cache, 13 words of state each way"
    return _multiples("a trapped CLI", pairs, 6, limit, lambda: _trapped(CLI * PLACES, 40_000))


def trapped_in(pairs: int) -> Result:
    limit = "as CLI, and the device is a third crossing"
    return _multiples("a trapped IN", pairs, 10, limit, lambda: _trapped(IN * PLACES, 40_000))


def hypercall(pairs: int) -> Result:
    def seconds() -> float:
        from ..hypervisor.hypercalls import Hypercalls

        pages = (0x200000 + 0x1000 * (n % 500) for n in range(PLACES))
        body = "".join(HYPERCALL.format(linear=page, entry=page | 7) for page in pages)
        domain = Hypercalls(_guest(body, TABLES))
        return _exits(domain.gates.run, lambda: domain.meter.exits, 40_000)

    limit = "the guest's table is read and written by its map, and walked for the new entry"
    return _multiples("a hypercall that maps a page", pairs, 10, limit, seconds)


def sector(pairs: int) -> Result:
    def seconds() -> float:
        from ..hypervisor.trap_and_emulate import TrapAndEmulate

        body = "".join(SECTOR.format(n=n) for n in range(1000))
        monitor = TrapAndEmulate(_guest(body))
        spent, handler = [], monitor.gates.handler

        def timed(frame: Frame) -> str:
            started = time.perf_counter()
            name = handler(frame)
            if name == "insw":
                spent.append(time.perf_counter() - started)
            return name

        monitor.gates.handler = timed
        while len(spent) < 200:
            monitor.gates.run(20_000)
        return median(spent[50:]) + _step()

    limit = "the handler, and one crossing; 256 words through the device in one call"
    return _multiples("a sector by REP INSW", pairs, 50, limit, seconds)


MEASUREMENTS = (
    ("trapped CLI", trapped_cli),
    ("trapped IN", trapped_in),
    ("hypercall", hypercall),
    ("sector by REP INSW", sector),
)
