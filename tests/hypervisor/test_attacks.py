"""A thousand attacks by grammar on the monitor of ring 1; a tenth of them in every run.

After each: no Python exception, an ordinary end, the monitor's memory as it was, a secret in it not
told, no instruction of the guest in ring 0; and what is printed is what bare metal prints. One seed:

    python -m tests.hypervisor.attack_grammar SEED
    python -m pytest tests/hypervisor/test_attacks.py -m long -k "test_every_attack[SEED]"
"""

from __future__ import annotations

import signal
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any, Protocol

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.hypervisor import trap_gates
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate
from pyvirt_edu.machine.assembler import Program
from pyvirt_edu.machine.exits import Exit

from .attack_grammar import PRODUCTIONS, Attack, attack
from .attack_kernel import LOOT, ORIGIN, RAM, STACK, Part, kernel, put, to_ring_3

ATTACKS, EVERY_RUN = 1000, 100
STEP_ONE_IN = 8  # attacks that run in single steps, so that every instruction's ring is seen
LIMIT = 40_000  # instructions on bare metal; a monitor's own come on top
SECONDS = 10  # of the processor's time, for one attack
CYCLES = 50_000_000  # for one that sleeps and never wakes
ENDS = {reason: reason for reason in ("halt", "limit", "exit", "reset", "crash")}
ENDS |= {"shutdown": "crash", "deadline": "limit"}
REGISTERS = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "cr2")


class Attacked(Protocol):
    """A monitor with a guest in it, as an attack sees it."""

    machine: Machine
    linear: range  # where the monitor is in every address space

    def run(self, max_instructions: int) -> Exit: ...

    def monitor_memory(self) -> tuple[int, int]:
        """Where it is in physical memory, and its size."""

    def spare_memory(self) -> tuple[int, int]:
        """A part of that which the monitor never uses: here the secret lies."""

    def constant(self) -> Mapping[str, Any]:
        """What never changes while a guest runs."""

    def refused(self) -> int:
        """How often it has openly done otherwise than the processor."""


Make = Callable[[Program], Attacked]


def loaded(code: Program, ram: int) -> Machine:
    m = Machine(ram=ram, history=False)
    m.load(bytes(code), at=ORIGIN)
    m.enter_protected_mode(eip=ORIGIN, esp=STACK)
    return m


class RingOneMonitor:
    """`TrapAndEmulate`, its parts by name."""

    linear = range(trap_gates.MONITOR_AT, 1 << 32)

    def __init__(self, code: Program) -> None:
        self.machine = loaded(code, RAM)
        self.monitor = TrapAndEmulate(self.machine, (ORIGIN, code.symbols["data"]))

    def run(self, max_instructions: int) -> Exit:
        return self.monitor.gates.run(max_instructions, CYCLES)

    def refused(self) -> int:
        return self.monitor.guest.refused

    def monitor_memory(self) -> tuple[int, int]:
        return RAM - trap_gates.SIZE, trap_gates.SIZE

    def spare_memory(self) -> tuple[int, int]:
        return RAM - 0x6000, 0x6000

    def constant(self) -> Mapping[str, Any]:
        cpu, start = self.machine.cpu, RAM - trap_gates.SIZE
        own = (trap_gates.HOST_CODE, trap_gates.HOST_DATA, trap_gates.HOST_TSS, trap_gates.HOST_LDT)
        entries = struct.unpack("<1024I", self.machine.read(start + trap_gates.PAGE_TABLE, 4096))
        return {
            "IDT": self.machine.read(start + trap_gates.IDT, 0x800),
            "descriptors": [self.machine.read(start + trap_gates.GDT + at, 8) for at in own],
            "stubs": self.machine.read(start + trap_gates.STUBS, trap_gates.IDLE),
            "stack of ring 0": self.machine.read(start + trap_gates.TSS + 4, 8),
            "I/O bit map": self.machine.read(start + trap_gates.TSS + 0x66, trap_gates.PORT_BYTES + 2),
            "page table": [entry & ~0x60 for entry in entries],  # without accessed and dirty bits
            "registers": (cpu.gdtr_base, cpu.gdtr_limit, cpu.idtr_base, cpu.idtr_limit, cpu.tr, cpu.cr3),
            "address line 20": self.machine.a20,
        }


class TimeIsUp(Exception):
    """A monitor that does not come back."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeIsUp(f"{seconds} s of the processor's time")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def guest_in_ring_0(a: Attacked) -> bool:
    """Whether the next instruction would be somebody else's than the monitor's, in ring 0."""
    cpu = a.machine.cpu
    return cpu.cpl == 0 and cpu.segment("cs").base + cpu.eip & 0xFFFF_FFFF not in a.linear


def run(a: Attacked, limit: int, stepped: bool) -> tuple[Exit, str]:
    """To the end, or the limit; and where a guest was in ring 0."""
    if not stepped:
        return a.run(limit), ""
    for _ in range(limit):
        out = a.run(1)
        if out.reason == "reset":
            break
        if guest_in_ring_0(a):
            return out, f"{a.machine.cpu.eip:#x}"
        if out.reason != "limit":
            break
    return out, ""


def bare_metal(code: Program) -> tuple[str, str]:
    """What a program prints on a computer without the monitor's memory, and how it ends."""
    m = loaded(code, RAM - trap_gates.SIZE)
    out = m.run(max_instructions=LIMIT, max_cycles=CYCLES)
    return m.console.text, ENDS[out.reason]


def told(a: Attacked, secret: bytes) -> Iterator[str]:
    """Where four bytes of the secret are."""
    start, size = a.monitor_memory()
    m = a.machine
    places = {"memory": m.read(0, start) + m.read(start + size, m.ram_size - start - size)}
    places |= {name: getattr(m.cpu, name).to_bytes(4, "little") for name in REGISTERS}
    places["the console"] = m.console.output
    pieces = [(secret * 2)[i : i + 4] for i in range(len(secret))]
    yield from (name for name, content in places.items() if any(piece in content for piece in pieces))


def violations(
    code: Program, make: Make, stepped: bool = False, bare: tuple[str, str] | None = None, limit: int = LIMIT
) -> list[str]:
    """What an attack has broken; ``bare``: what must be printed, and the end."""
    a = make(code)
    at, size = a.spare_memory()
    secret = Random(size).randbytes(16)
    a.machine.write(at, secret * (size // 16))
    before, found = a.constant(), list[str]()
    if bare and bare[1] != "limit":
        limit *= 8  # the monitor's own instructions count, too
    try:
        with time_limit(SECONDS):
            out, where = run(a, limit, stepped)
    except TimeIsUp as error:
        return [f"does not end: {error}"]
    except Exception as error:
        return [f"exception: {type(error).__name__}: {error}"]
    if out.reason not in ENDS:
        found.append(f"ends strangely: {out!r}")
    if out.reason != "reset":
        after = a.constant()
        found += [f"monitor changed: {name}" for name in before if before[name] != after[name]]
        if where or guest_in_ring_0(a):
            found.append(f"guest in ring 0: at {where or hex(a.machine.cpu.eip)}")
    if a.machine.read(at, size) != secret * (size // 16):
        found.append("monitor changed: spare memory")
    found += [f"secret told: {place}" for place in told(a, secret)]
    if bare and not a.refused():
        text, end = a.machine.console.text, ENDS.get(out.reason, "")
        both = min(len(text), len(bare[0])) if bare[1] == "limit" else None  # one gets farther in that time
        if end != bare[1] or text[:both] != bare[0][:both]:
            found.append(f"output: {text!r}, {end}; on bare metal {bare[0]!r}, {bare[1]}")
    return found


def check(seed: int, make: Make = RingOneMonitor) -> tuple[Attack, list[str]]:
    one = attack(seed)
    code = assemble(one.text, bits=32, origin=ORIGIN)
    stepped = seed % STEP_ONE_IN == 0
    return one, violations(code, make, stepped, bare_metal(code) if one.comparable else None)


def survives(seed: int) -> None:
    one, found = check(seed)
    assert not found, f"seed {seed}, {', '.join(one.productions)}:\n" + "\n".join(found) + f"\n{one.text}"


@pytest.mark.parametrize("seed", range(EVERY_RUN))
def test_attack(seed: int) -> None:
    survives(seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(ATTACKS))
def test_every_attack(seed: int) -> None:
    survives(seed)


# --- the grammar and the harness themselves ---------------------------------------------------------


def test_the_grammar() -> None:
    """A seed is a program; a tenth of the seeds has every production, a third of a thousand compare."""
    assert attack(7) == attack(7) != attack(8)
    used = {name for seed in range(EVERY_RUN) for name in attack(seed).productions}
    assert used == {production.__name__ for production in PRODUCTIONS}
    assert sum(attack(seed).comparable for seed in range(ATTACKS)) > ATTACKS / 3


class NoMonitor:
    """A kernel in ring 0, and memory that nobody protects."""

    linear = range(trap_gates.MONITOR_AT, 1 << 32)

    def __init__(self, code: Program) -> None:
        self.machine = loaded(code, RAM)

    def run(self, max_instructions: int) -> Exit:
        return self.machine.run(max_instructions, CYCLES)

    def monitor_memory(self) -> tuple[int, int]:
        return RAM - 0x10000, 0x10000

    def spare_memory(self) -> tuple[int, int]:
        return RAM - 0x1000, 0x1000

    def constant(self) -> Mapping[str, Any]:
        return {"first page": self.machine.read(RAM - 0x10000, 0x1000), "IDT": self.machine.cpu.idtr_limit}

    def refused(self) -> int:
        return 0


class Raises(NoMonitor):
    def run(self, max_instructions: int) -> Exit:
        raise IndexError("out of range")


class Hangs(NoMonitor):
    def run(self, max_instructions: int) -> Exit:
        while True:
            self.machine.run(max_instructions=1000)


class Quiet(NoMonitor):
    def constant(self) -> Mapping[str, Any]:
        return {}


def program(code: str) -> Program:
    return assemble(kernel([Part(code)], (), {}, ()), bits=32, origin=ORIGIN)


SPARE = RAM - 0x1000
FOUND = {
    "monitor changed: spare memory": f"mov byte [{SPARE + 1:#x}], 0; inc byte [{SPARE + 1:#x}]",
    "monitor changed: first page": f"mov byte [{RAM - 0x10000:#x}], 1",
    "monitor changed: IDT": "nop",  # START's LIDT
    "secret told: eax": f"mov eax, [{SPARE + 3:#x}]; cli; hlt",
    "secret told: memory": f"mov eax, [{SPARE:#x}]; mov [{LOOT + 1:#x}], eax",
    "secret told: the console": f"mov esi, {SPARE:#x}; mov ecx, 16; mov dx, 0xe9; rep outsb",
    "guest in ring 0: at": "nop",
    "output: '1!aa.', halt; on bare metal '1aa.', halt": put("!"),
    "output: '1', halt; on bare metal '1aa.', halt": "cli; hlt",
    "output: '1', limit; on bare metal '1aa.', halt": "again: jmp again",
}


@pytest.mark.parametrize("what", FOUND)
def test_the_harness_finds(what: str) -> None:
    found = violations(program(FOUND[what]), NoMonitor, bare=("1aa.", "halt"))
    assert any(line.startswith(what) for line in found), found


def test_single_steps_see_ring_0_before_ring_3() -> None:
    code = program(to_ring_3("user") + "; again: jmp again")
    assert not violations(code, Quiet)
    assert violations(code, Quiet, stepped=True)[0].startswith("guest in ring 0")


@pytest.mark.parametrize("make,what", ((Raises, "exception: IndexError"), (Hangs, "does not end")))
def test_the_harness_comes_back(make: Make, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.hypervisor.test_attacks.SECONDS", 0.2)
    code = assemble("hlt", bits=32, origin=ORIGIN)
    assert violations(code, make)[0].startswith(what)
