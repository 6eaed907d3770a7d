"""Several unmodified guests on one machine: each prints and writes what it does on bare metal."""

from __future__ import annotations

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.guests import sprout
from pyvirt_edu.guests.tiny import program, text_range
from pyvirt_edu.hypervisor.domain_config import DomainConfig
from pyvirt_edu.hypervisor.several_guests import SeveralGuests
from pyvirt_edu.machine.errors import MachineError

TINY2 = program("tiny2")
SECTOR = b"a guest's own sector".ljust(512)
DISK = SECTOR * 64


def tiny2(name: str, disk: bytes = DISK) -> DomainConfig:
    return DomainConfig(name, bytes(TINY2), memory="4MiB", disk=disk, silent=text_range(TINY2))


def bare(disk: bytes = DISK) -> str:
    m = Machine(ram="4MiB")
    m.boot(bytes(TINY2), disk=disk)
    m.run(max_instructions=5_000_000)
    return m.console.text


def test_two_tiny2_are_as_on_bare_metal_and_all_frames_return() -> None:
    hv = SeveralGuests(Machine(ram="32MiB"))
    free = hv.frames.held("free")
    a, b = hv.create(tiny2("a")), hv.create(tiny2("b", b"another disk".ljust(512) * 64))
    hv.run(until=lambda: a.halted() and b.halted(), max_instructions=3_000_000)
    assert a.end == b.end == "halt"
    assert a.console.text == bare()
    assert b.console.text == bare(b"another disk".ljust(512) * 64) != a.console.text
    hv.check()
    hv.destroy(a)
    hv.destroy(b)
    assert hv.frames.held("free") == free


def test_a_guest_that_crashes_harms_no_other() -> None:
    hv = SeveralGuests(Machine(ram="32MiB"))
    bad = hv.create(DomainConfig("bad", assemble("lidt [0]\nud2"), "1MiB", format="flat"))
    good = hv.create(tiny2("good"))
    hv.run(until=good.halted, max_instructions=3_000_000)
    assert bad.crashed
    assert good.console.text == bare()


def test_the_host_goes_back_with_all_guests() -> None:
    hv = SeveralGuests(Machine(ram="32MiB"))
    a, b = hv.create(tiny2("a")), hv.create(tiny2("b"))
    hv.run(max_instructions=100_000)
    digest, text = hv.machine.digest(), (a.console.text, b.console.text)
    hv.run(max_instructions=50_000)
    assert hv.machine.digest() != digest
    hv.machine.back(50_000)
    assert (a.console.text, b.console.text) == text
    assert hv.machine.digest() == digest


def test_a_paused_guest_stands_still_and_a_snapshot_is_a_guest() -> None:
    hv = SeveralGuests(Machine(ram="32MiB"))
    a, b = hv.create(tiny2("a")), hv.create(tiny2("b"))
    hv.run(max_instructions=100_000)
    a.pause()
    saved, text = a.snapshot(), a.console.text
    hv.run(until=b.halted, max_instructions=3_000_000)
    assert a.console.text == text != b.console.text == bare()
    b.restore(saved)
    a.resume()
    hv.run(until=lambda: a.halted() and b.halted(), max_instructions=3_000_000)
    assert a.console.text == bare()
    assert b.end == "halt"


def test_what_is_wrong_is_named() -> None:
    with pytest.raises(MachineError, match="no such file"):
        DomainConfig("a", "nowhere.elf")
    hv = SeveralGuests(Machine(ram="8MiB"))
    free = hv.frames.held("free")
    with pytest.raises(MachineError, match="give the machine more RAM"):
        hv.create(DomainConfig("a", bytes(TINY2), memory="16MiB"))
    assert hv.frames.held("free") == free


def test_two_sprouts() -> None:
    hv = SeveralGuests(Machine(ram="48MiB"))
    guests = [
        hv.create(DomainConfig(name, sprout.image(), initrd=sprout.root(), memory="16MiB")) for name in "ab"
    ]
    hv.run(until=lambda: all(g.console.text.endswith("$ ") for g in guests), max_instructions=8_000_000)
    for guest in guests:
        guest.console.type(f"echo I am {guest.name}\npoweroff\n")
    hv.run(until=lambda: all(g.halted() for g in guests), max_instructions=8_000_000)
    for guest in guests:
        assert f"I am {guest.name}" in guest.console.text
        assert "power off" in guest.console.text


def test_a_guest_is_destroyed_while_it_has_the_processor() -> None:
    hv = SeveralGuests(Machine(ram="32MiB"))
    free = hv.frames.held("free")
    guests = [hv.create(tiny2("a")), hv.create(tiny2("b"))]
    for _ in range(50):
        hv.run(max_instructions=997)
        if hv.current is not None:
            break
    running = hv.current
    assert running is not None
    hv.destroy(running)
    assert hv.current is not running
    (other,) = (guest for guest in guests if guest is not running)
    hv.run(until=other.halted, max_instructions=3_000_000)
    assert other.console.text == bare()
    hv.destroy(other)
    assert hv.frames.held("free") == free


def test_what_is_no_snapshot_of_a_guest() -> None:
    guest = SeveralGuests(Machine(ram="32MiB")).create(tiny2("a"))
    with pytest.raises(MachineError, match="is no snapshot of a guest"):
        guest.restore({"vm": {}})
    with pytest.raises(MachineError, match="1,024 bytes of memory"):
        guest.restore({"memory": bytes(1024)})
