"""What the ledger says of each exit, checked against the clock."""

from __future__ import annotations

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.hypervisor import meter as metering
from pyvirt_edu.hypervisor.meter import Meter, hardware_prices
from pyvirt_edu.hypervisor.trap_gates import Frame, TrapGates

KERNEL = """
    bits 32
    mov ecx, 3
again:
    cli             ; #GP in ring 1
    int 0x82
    loop again
    hlt
"""
CLI, BEHIND_INT, HLT = 0x10005, 0x10008, 0x1000A


def guest() -> tuple[Machine, TrapGates]:
    m = Machine(ram="2MiB", devices=())
    m.load(assemble(KERNEL, bits=32, origin=0x10000), at=0x10000)
    m.enter_protected_mode(eip=0x10000, esp=0x90000)

    def handle(frame: Frame) -> str:
        if frame.vector == 0x82:
            gates.meter.decide(2)
            return "hypercall"
        name = {CLI: "cli", HLT: "hlt"}[frame.eip]
        frame.eip += 1
        if name == "hlt":
            gates.stop()
        return name

    gates = TrapGates(m, handle)
    gates.let_through(0x82, 1)
    gates.enter_ring_1()
    return m, gates


def test_eight_bytes_are_two_stores() -> None:
    """A 32-bit guest moves a descriptor as it moves any eight bytes: a dword at a time."""
    m, _ = guest()
    meter = Meter(m)
    before = m.cycles
    meter.spend("memory write", 2)
    meter.settle()
    assert meter.prices["descriptor write"] == m.cycles - before > 0


def test_the_timeline_is_the_ledger() -> None:
    m, gates = guest()
    assert gates.run(max_instructions=1000).reason == "halt"
    meter = gates.meter
    assert [(r.reason, r.eip) for r in meter.timeline] == [("cli", CLI), ("hypercall", BEHIND_INT)] * 3 + [
        ("hlt", HLT)
    ]
    for reason, account in meter.accounts.items():
        records = [r for r in meter.timeline if r.reason == reason]
        assert account.exits == len(records)
        assert account.cycles == sum(r.end - r.start for r in records)
    ends = [0, *(r.end for r in meter.timeline)]
    assert all(before <= r.start < r.end <= m.cycles for before, r in zip(ends, meter.timeline))
    assert meter.dropped == 0


def test_an_exit_is_its_primitives_its_gates_and_its_stub() -> None:
    m, gates = guest()
    gates.run(max_instructions=1000)
    meter, hardware = gates.meter, hardware_prices(m.costs)
    assert meter.accounts["cli"].hardware == {"exception entry": 3, "IRET": 3}
    assert meter.accounts["hypercall"].hardware == {"INT entry": 3, "IRET": 3}
    for account in meter.accounts.values():
        priced = sum(meter.prices[p] * n for p, n in account.primitives.items())
        gate = sum(hardware[p] * n for p, n in account.hardware.items())
        stub = account.cycles - priced - gate
        # PUSH, JMP and ADD, and now and then a page walk
        assert 5 * account.exits <= stub <= 80 * account.exits


def test_what_is_done_is_counted_and_charged() -> None:
    m = Machine(ram="1MiB", devices=())
    meter = Meter(m)
    with meter.exit() as account:
        account.reason = "everything"
        meter.decide()
        meter.decide(3)
        meter.spend("memory read", 4)
        meter.spend("memory write", 2)
        meter.port_in(0x80)
        meter.port_in(0x80, 4)
        meter.port_out(0x80, 1)
        meter.spend("INVLPG", 2)
    everything = meter.accounts["everything"]
    assert everything.primitives == {
        "decision": 4,
        "memory read": 4,
        "memory write": 2,
        "port access": 3,
        "INVLPG": 2,
    }
    assert everything.cycles == sum(meter.prices[p] * n for p, n in everything.primitives.items())
    assert m.cycles == everything.cycles == meter.cycles


def test_a_full_timeline_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "TIMELINE_ROOM", 2)
    _, gates = guest()
    gates.run(max_instructions=1000)
    assert len(gates.meter.timeline) == 2
    assert gates.meter.dropped == gates.meter.exits - 2 == 5
