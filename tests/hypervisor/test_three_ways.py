"""tiny2 prints the same on bare metal, in ring 1 under a monitor, and changed to make hypercalls."""

from __future__ import annotations

import functools

from pyvirt_edu import Machine, assemble
from pyvirt_edu.guests.tiny import ORIGIN, source
from pyvirt_edu.guests.tiny.para import para_source
from pyvirt_edu.hypervisor.hypercalls import Hypercalls
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate

TEXT_END = 0x1002A0


@functools.cache
def without_disk(text: str) -> bytes:
    return bytes(assemble(text.replace("        call read_disk\n", ""), bits=32, origin=ORIGIN))


def machine(text: str) -> Machine:
    m = Machine(ram="8MiB")
    m.boot(without_disk(text))
    return m


def bare() -> Machine:
    m = machine(source("tiny2"))
    assert m.run(max_instructions=10_000_000).reason == "halt"
    return m


def test_bare() -> None:
    assert bare().console.text.splitlines() == [
        "tiny2: up",
        "tiny2: one page, two frames",
        "tiny2: 128 pages more",
        "program: hello from ring 3",
        "program: five ticks",
        "tiny2: done",
    ]


def test_trap_and_emulate() -> None:
    m = machine(source("tiny2"))
    monitor = TrapAndEmulate(m)
    monitor.patch_popf(ORIGIN + 0x20, TEXT_END)
    assert monitor.gates.run(max_instructions=10_000_000).reason == "halt"
    assert m.console.text == bare().console.text
    exits = {reason: account.exits for reason, account in monitor.meter.accounts.items()}
    assert exits["interrupt"] >= 5
    assert exits["#GP lgdt"] == exits["#GP lidt"] == exits["#GP ltr"] == exits["#GP hlt"] == 1
    assert exits["popf"] == len(m.console.text.splitlines())


def test_popf_fails_silently() -> None:
    """Without the patch interrupts stay off after the first CLI, and nothing says so."""
    m = machine(source("tiny2"))
    monitor = TrapAndEmulate(m)
    assert monitor.gates.run(max_instructions=1_000_000).reason == "limit"
    assert m.console.text.splitlines()[-1] == "program: hello from ring 3"
    assert monitor.pending
    assert not monitor.virtual_if


def test_para_virtual() -> None:
    m = machine(para_source())
    hypervisor = Hypercalls(m)
    assert hypervisor.gates.run(max_instructions=10_000_000).reason == "halt"
    assert m.console.text == bare().console.text
    exits = {reason: account.exits for reason, account in hypervisor.meter.accounts.items()}
    assert exits["console_io"] == len(m.console.text.splitlines())
    assert not any(reason.startswith(("#", "crash")) for reason in exits)


def test_the_ledger_is_the_clock() -> None:
    """Cycles in the ledger and cycles outside make up the whole time."""
    m = machine(source("tiny2"))
    monitor = TrapAndEmulate(m)
    monitor.patch_popf(ORIGIN + 0x20, TEXT_END)
    monitor.gates.run(max_instructions=10_000_000)
    assert 0 < monitor.meter.cycles < m.cycles
    priced = sum(monitor.meter.prices[p] * n for p, n in monitor.meter.primitives().items())
    assert priced < monitor.meter.cycles  # the rest: gates, stubs and IRET, executed


def test_runs_alike_in_slices() -> None:
    whole = machine(source("tiny2"))
    TrapAndEmulate(whole).gates.run(max_instructions=40_000)
    sliced = machine(source("tiny2"))
    monitor = TrapAndEmulate(sliced)
    while sliced.instructions < whole.instructions:
        monitor.gates.run(max_instructions=min(997, whole.instructions - sliced.instructions))
    assert (sliced.instructions, sliced.cycles) == (whole.instructions, whole.cycles)
    assert sliced.digest() == whole.digest()
