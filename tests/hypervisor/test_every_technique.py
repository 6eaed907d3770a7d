"""The suite that any hypervisor must pass (techniques.py has those that there are)."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu.hypervisor.meter import hardware_prices
from pyvirt_edu.hypervisor.own_work import own_work

from .techniques import GUESTS, TECHNIQUES, bare_metal, written

pytestmark = pytest.mark.parametrize("technique", TECHNIQUES)
UNEXPLAINED = 0.01


@pytest.mark.parametrize("name", GUESTS)
def test_does_what_it_does_on_bare_metal(technique: str, name: str) -> None:
    guest, under = GUESTS[name], TECHNIQUES[technique](GUESTS[name])
    out = guest.play(under.machine, under.run)
    text, disks, reason = bare_metal(name)
    assert guest.told(under.machine.console.text) == text
    assert written(under.machine) == disks
    assert out.reason == reason
    under.check()
    assert not under.frames_left()


@pytest.mark.parametrize("name", GUESTS)
def test_no_instruction_of_the_guest_runs_in_ring_0(technique: str, name: str) -> None:
    under, rng = TECHNIQUES[technique](GUESTS[name]), random.Random(2)
    for _ in range(40):
        under.run(rng.randrange(1, 4000))
        for _ in range(60):
            under.run(1)
            assert not under.guest_in_ring_0()


@pytest.mark.parametrize("name", GUESTS)
def test_the_invariants_hold_all_the_way(technique: str, name: str) -> None:
    under, rng = TECHNIQUES[technique](GUESTS[name]), random.Random(3)
    for _ in range(30):
        under.run(rng.randrange(1, 30_000))
        under.check()


def test_the_ledger_adds_up_to_the_clock(technique: str) -> None:
    """Cycles in exits, the guest's own, and those asleep are all cycles that there were."""
    under = TECHNIQUES[technique](GUESTS["tiny2"])
    m, meter = under.machine, under.meter
    setting_up = m.cycles
    own, out = own_work(m, lambda: under.run(1), True)
    assert out.reason == "halt"
    outside = m.cycles - setting_up - meter.cycles - m.idle_cycles
    assert outside > 0
    inside = [(r.start, r.end) for r in meter.timeline]
    assert all(a[1] <= b[0] for a, b in zip(inside, inside[1:]))  # no two overlap
    priced = sum(meter.prices[p] * n for p, n in meter.primitives().items())
    hardware = hardware_prices(m.costs)
    gates = sum(hardware[p] * n for account in meter.accounts.values() for p, n in account.hardware.items())
    stubs = meter.cycles - priced - gates
    assert 0 <= stubs <= 80 * meter.exits  # PUSH, JMP, ADD, and the walks for them
    assert own["exception entry"] == 0, "the guest takes no exception that the monitor does not see"


def test_state_survives_rewinding(technique: str) -> None:
    under = TECHNIQUES[technique](GUESTS["tiny2"], history=True)
    m, rng = under.machine, random.Random(4)
    seen = {}
    for _ in range(12):
        under.run(rng.randrange(1, 9000))
        seen[m.instructions] = m.digest(), repr(under.meter)
    for count in rng.sample(sorted(seen), 6):
        m.back(m.instructions - count) if m.instructions >= count else under.run(count - m.instructions)
        assert (m.digest(), repr(under.meter)) == seen[count]
        under.check()
