"""A hypervisor is part of the machine's past: however a run is cut, saved, restored or rewound, machine and
hypervisor are the same at the same instruction."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.guests.tiny import program, text_range
from pyvirt_edu.guests.tiny.para import para_program
from pyvirt_edu.hypervisor.hypercalls import Hypercalls
from pyvirt_edu.hypervisor.three_ways import machine
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate
from pyvirt_edu.machine.errors import MachineError, SnapshotError
from pyvirt_edu.machine.time_travel.snapshots import Snapshot

EVERY, STEPS = 4_000, 140_000
Boot = Callable[[], tuple[Machine, Any]]


def unmodified() -> tuple[Machine, Any]:
    m = machine(program("tiny2"))
    return m, TrapAndEmulate(m, text_range(program("tiny2")))


def changed() -> tuple[Machine, Any]:
    m = machine(para_program())
    return m, Hypercalls(m)


def whole(m: Machine, rng: random.Random, target: int) -> None:
    m.run(max_instructions=target - m.instructions)


def sliced(m: Machine, rng: random.Random, target: int) -> None:
    while m.instructions < target:
        before = m.instructions
        m.run(max_instructions=min(rng.randrange(1, 900), target - m.instructions))
        if m.instructions == before:
            return  # the guest has ended


def stepped(m: Machine, rng: random.Random, target: int) -> None:
    while m.instructions < target:
        before = m.instructions
        m.step()
        if m.instructions == before:
            return


def restored(m: Machine, rng: random.Random, target: int) -> None:
    sliced(m, rng, target - rng.randrange(1, EVERY))
    snapshot = m.snapshot()
    whole(m, rng, target)
    m.restore(snapshot)
    whole(m, rng, target)


def rewound(m: Machine, rng: random.Random, target: int) -> None:
    whole(m, rng, target)
    m.back(rng.randrange(1, EVERY))
    sliced(m, rng, target)


def digests(boot: Boot, how: Callable[[Machine, random.Random, int], None]) -> Iterator[tuple[int, str, str]]:
    m, hypervisor = boot()
    rng = random.Random(1)
    for target in range(EVERY, STEPS + 1, EVERY):
        how(m, rng, target)
        yield m.instructions, m.digest(), repr(hypervisor.meter)
    assert m.console.text.endswith("tiny2: done\n")


@pytest.fixture(scope="module")
def expected() -> dict[Boot, list[tuple[int, str, str]]]:
    return {boot: list(digests(boot, whole)) for boot in (unmodified, changed)}


@pytest.mark.parametrize("boot", [unmodified, changed])
@pytest.mark.parametrize("how", [sliced, stepped, restored, rewound])
def test_the_same_however_it_is_run(boot: Boot, how: Any, expected: dict[Boot, list[Any]]) -> None:
    assert list(digests(boot, how)) == expected[boot]


def test_back_from_the_end_takes_the_ledger_along() -> None:
    """The case that was seen: a ledger of 553 exits where 510 had been."""
    m, monitor = unmodified()
    seen = {}
    while not monitor.gates.stopped:
        monitor.gates.run(max_instructions=10_000)
        seen[m.instructions] = (monitor.meter.exits, m.digest())
    end = monitor.meter.exits
    m.back(100_000)
    assert monitor.meter.exits < end and not monitor.gates.stopped
    *past, (_, last) = seen.items()
    for count, state in past:
        if count >= m.instructions:
            monitor.gates.run(max_instructions=count - m.instructions)
            assert (monitor.meter.exits, m.digest()) == state
    assert monitor.gates.run().reason == "halt"
    assert (monitor.meter.exits, m.digest()) == last


def test_inputs_between_exits_come_again() -> None:
    """What a debugger does to memory while the guest stands is repeated, exits are made anew."""
    m, monitor = unmodified()
    for _ in range(30):
        monitor.gates.run(max_instructions=1_000)
        m.write(0x7000, m.instructions.to_bytes(4, "little"))
    digest, count = m.digest(), m.instructions
    m.back(20_500)
    assert int.from_bytes(m.read(0x7000, 4), "little") == (count - 20_500) // 1000 * 1000
    m.back(0)
    m.run(max_instructions=500)
    assert m.digest() != digest


def test_a_snapshot_goes_to_a_file_and_into_another_machine(tmp_path: Any) -> None:
    m, monitor = unmodified()
    monitor.gates.run(max_instructions=60_000)
    m.snapshot().save(tmp_path / "state")
    digest, text = m.digest(), repr(monitor.meter)
    other, again = unmodified()
    other.restore(Snapshot.load(tmp_path / "state"))
    assert (other.digest(), repr(again.meter)) == (digest, text)
    again.gates.run()
    monitor.gates.run()
    assert (other.digest(), repr(again.meter)) == (m.digest(), repr(monitor.meter))
    assert other.console.text == m.console.text


def test_a_snapshot_needs_its_hypervisor() -> None:
    m, monitor = unmodified()
    with pytest.raises(SnapshotError, match="parts are none"):
        machine(program("tiny2")).restore(m.snapshot())
    with pytest.raises(SnapshotError, match="gates, trap and emulate"):
        changed()[0].restore(m.snapshot())
    with pytest.raises(MachineError, match="has a hypervisor already"):
        TrapAndEmulate(m)
