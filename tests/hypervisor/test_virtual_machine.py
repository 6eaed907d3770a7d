"""What a virtual machine owes the machine that lends it memory, and others beside it; and faults planted
in the glue, each of which a check of these two files finds."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("unicorn", reason="the matrix names it as an oracle of its cells")

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.disk import Disk
from pyvirt_edu.guests import sprout
from pyvirt_edu.hypervisor import memory_map
from pyvirt_edu.hypervisor.frames import Frames, OutOfFrames
from pyvirt_edu.hypervisor.memory_map import MemoryMap
from pyvirt_edu.hypervisor.virtual_machine import VirtualMachine, lend
from pyvirt_edu.machine.errors import AddressError, ConfigurationError, MachineError, SnapshotError
from pyvirt_edu.machine.python_side.device_claims import DeviceClaims
from pyvirt_edu.machine.python_side.ring_0 import Ring0
from pyvirt_edu.machine.state.arrays import MOST_PROCESSORS, Arrays
from pyvirt_edu.machine.state.layout import A20_MASK, A20_OPEN, PAGE, PAGE_MMIO, PAGE_TRACED

from ..machine import every_mode
from ..machine.time_travel import test_one_machine as one_machine
from . import test_interpreter as interpreter
from .test_interpreter import put_code
from .two_machines import FIRST, MIB, assert_same, bare, lender, row_of, shuffle, virtual

# --- the host is left alone -----------------------------------------------------------------


class Host:
    """All of a machine but the memory that it lends."""

    def __init__(self, host: Machine, lent: Frames) -> None:
        self.host, self.lent = host, lent
        a = host._a
        self.own = np.array([lent.owner(f) in ("reserved", "free") for f in range(host.ram_size // PAGE)])
        self.arrays = (a.words, a.tlb, a.devices, a.device_bytes, a.ports, a.regions)
        self.seen = self.look()

    def look(self) -> dict[str, Any]:
        a, host = self.host._a, self.host
        return {
            "arrays": [array.tobytes() for array in self.arrays],
            "memory": a.ram_pages[: len(self.own)][self.own].tobytes(),
            "claims": (a.page_flags & PAGE_MMIO).tobytes(),
            "console": host.console.text,
            "time": (host.instructions, host.cycles, str(host.ledger)),
            "answers": [host.translate(at) for at in range(0, 1 << 32, 1 << 26)],
        }

    def check(self) -> None:
        for name, value in self.look().items():
            assert value == self.seen[name], f"the host's {name} changed"


def check_isolation() -> None:
    """IN and OUT at every port, every kind of address, and a reset of the guest: the host sees nothing."""
    host, frames = lender(8 * MIB)
    host.write(0x500, b"the host's")
    host.console.type("for the host")
    guest = lend(host, frames, "guest", 4 * MIB)
    shuffle(guest, 1)
    here = Host(host, frames)
    guest.load(bytes(assemble("in al, dx\nin eax, dx\nout dx, al\nout dx, eax", bits=32)), at=0x1000)
    rng = random.Random(1)
    ends = set()
    for port in range(65536):
        if port & 0xFFF == 0 or guest.cpu.cs != 8:
            guest.enter_protected_mode(eip=0x1000)
        guest.cpu.eip, guest.cpu.edx, guest.cpu.eax = 0x1000, port, rng.getrandbits(32)
        ends.add(guest.run(max_instructions=4).reason)
    put_code(guest, "mov dx, 0xcf9\nmov al, 6\nout dx, al\nhlt")
    ends.add(guest.run(max_instructions=9).reason)
    assert ends >= {"limit", "exit", "reset"}
    here.check()
    put_code(
        guest,
        """
        mov esi, 0xa0000
    again: mov eax, [esi]
        mov [esi], esi
        add byte [esi + 0xffe], 1
        add esi, 0x1000
        cmp esi, 0x100000
        jne .next
        mov esi, 0x400000
    .next: cmp esi, 0x1200000
        jne .far
        mov esi, 0xfe000000
    .far: test esi, esi
        jne again
        hlt
    """,
    )
    assert guest.run(max_instructions=200_000).reason == "halt"
    here.check()
    guest.on_mmio(0xFEC0_0000, PAGE, lambda address, size: 7, lambda address, value, size: None)
    guest.on_mmio(0x3000, PAGE, lambda address, size: 7, lambda address, value, size: None)
    guest.on_port(0x80, lambda port, size: 5)
    put_code(guest, "mov eax, [0xfec00000]\nmov ebx, [0x3000]\nin al, 0x80\nmov [0x3004], eax\nhlt")
    assert guest.run(max_instructions=100).reason == "halt"
    assert (guest.cpu.eax, guest.cpu.ebx) == (5, 7)
    here.check()
    guest.release_mmio(0x3000)
    assert guest.read(0x3000, 8) == bytes(8)
    guest.reset()
    guest.destroy()
    here.check()


def test_nothing_a_guest_does_reaches_the_host() -> None:
    check_isolation()


def check_neighbours() -> None:
    """Two guests by turns are each what they are alone."""
    host, frames = lender(4 * MIB, devices=())
    alone, together = [], []
    for seed in (1, 2):
        one = lend(host, frames, f"guest {seed}", MIB, ())
        shuffle(one, seed)
        together.append(every_mode.guest(seed, one))
        alone.append(every_mode.guest(seed, bare(MIB, devices=())))
    rng = random.Random(3)
    while together[1].instructions < 4000:
        for m in rng.sample(together, 2):
            m.run(max_instructions=rng.randrange(1, 300))
    for m, other in zip(together, alone):
        other.run(max_instructions=m.instructions)
        assert_same(m, other)
    owned = [set(frames.owned(f"guest {seed}")) for seed in (1, 2)]
    assert not owned[0] & owned[1]
    with pytest.raises(AddressError):
        together[0].map.put(0, [next(iter(owned[1]))])


def test_neighbours_do_not_meet() -> None:
    check_neighbours()


# --- code and maps that change from outside ---------------------------------------------------


def check_foreign_code() -> None:
    """Who writes code that another processor has decoded is heard: Python on either side, a device's DMA,
    a program of the host in a frame of the guest, a program of the guest in code that the host runs."""
    host, frames = lender(2 * MIB, devices=())
    guest = lend(host, frames, "guest", MIB, ())
    shuffle(guest, 5)
    at = 0x5000
    place = guest.map.place(at)
    assert place is not None

    def seen(m: Machine, where: int) -> int:
        """What the function at an address of the guest or the host returns: once decoded, and once more."""
        caller = 0x9000
        put_code(m, "call ecx\ncall ecx\nhlt", caller)
        m.cpu.ecx = where
        assert m.run(max_instructions=100).reason == "halt"
        return int(m.cpu.eax)

    def store(m: Machine, where: int, value: int) -> None:
        put_code(m, "mov [ebx], ecx\nmov [ebx + 0x100], ecx\nhlt", 0xA000)
        m.cpu.ebx, m.cpu.ecx = where, value
        assert m.run(max_instructions=100).reason == "halt"

    ways: list[Callable[[int], None]] = [
        lambda value: guest.write(at + 1, value.to_bytes(4, "little")),
        lambda value: host.write(place + 1, value.to_bytes(4, "little")),
        lambda value: store(host, place + 1, value),
        lambda value: store(guest, at + 1, value),
    ]
    rng = random.Random(6)
    for way in (guest.write, None):
        if way:
            way(at, bytes(assemble("mov eax, 1\nret", bits=32)))
        for _ in range(40):
            value = rng.getrandbits(31)
            if rng.random() < 0.5:  # so that the fast path of either knows the page before it has code
                rng.choice(ways[2:])(value)
            rng.choice(ways)(value)
            assert seen(guest, at) == value, "the guest runs old code"
            if rng.random() < 0.5:
                assert seen(host, place) == value, "the host runs old code"


def test_code_written_by_others_is_decoded_anew() -> None:
    check_foreign_code()


def check_map_changes() -> None:
    """What a processor remembers of a map goes when the map changes: data by the fast path and by the TLB,
    rights, and links to code."""
    guest = virtual(MIB, 7)
    put_code(guest, "mov eax, [0x6000]\nmov [0x6004], ebx\nmov ecx, [0x6004]\ncall 0x7000\nhlt")
    for page, value in ((0x6000, 11), (0x7000, 0), (0x8000, 22), (0x9000, 0)):
        guest.write(page, value.to_bytes(4, "little") * 4)
    guest.write(0x7000, bytes(assemble("mov edx, 1\nret", bits=32)))
    guest.write(0x9000, bytes(assemble("mov edx, 2\nret", bits=32)))

    def run(ebx: int) -> tuple[int, ...]:
        guest.cpu.eip, guest.cpu.esp, guest.cpu.ebx = 0x10000, 0xA000, ebx
        for _ in range(5):
            guest.step()
        return guest.cpu.eax, guest.cpu.ecx, guest.cpu.edx

    assert run(5) == run(5) == (11, 5, 1)
    (data,) = guest.map.take(6)
    assert run(6) == (0xFFFF_FFFF, 0xFFFF_FFFF, 1), "the page is gone"
    assert guest.read(0x6000, 4) == b"\xff" * 4
    guest.map.put(6, [data], writable=False)
    assert run(7) == (11, 5, 1), "the page is ROM"
    guest.map.put(6, [data])
    assert run(8) == (11, 8, 1)
    guest.map.put(6, guest.map.take(8))
    assert run(9) == (22, 9, 1), "another frame"
    guest.map.put(8, [data])
    code = guest.map.take(9)
    guest.map.put(9, guest.map.take(7))
    guest.map.put(7, code)
    assert run(1) == (22, 1, 2), "other code"
    guest.map.check()
    calls = []
    guest.on_port(0x10, None, lambda port, value, size: calls.append(guest.map.take(6)))
    put_code(guest, "mov eax, [0x6000]\nout 0x10, al\nmov ecx, [0x6000]\nhlt")
    assert guest.run(max_instructions=10).reason == "halt"
    assert (guest.cpu.eax, guest.cpu.ecx) == (22, 0xFFFF_FFFF), "in the middle of a run"


def test_a_change_of_the_map_is_heard() -> None:
    check_map_changes()


def check_traces() -> None:
    """Stores to a traced page are noted, though the fast path knew the page, by every kind of store; and
    no longer when the trace ends. More than there is room for are owned to."""
    guest = virtual(MIB, 8)
    store = "mov dword [0x6010], 1\nmov byte [0x6fff], 2\npush eax\nstosd\nhlt"
    place = guest.map.place(0x6000)
    assert place is not None

    def run() -> list[tuple[int, int]] | None:
        guest.cpu.eip, guest.cpu.esp, guest.cpu.edi = 0x10000, 0x6804, 0x6100
        assert guest.run(max_instructions=4).reason == "limit"
        return guest.traced_stores()

    put_code(guest, store)
    assert run() == run() == []
    guest.map.trace(0x6000)
    assert run() == [(place + 0x10, 4), (place + 0xFFF, 1), (place + 0x800, 4), (place + 0x100, 4)]
    assert guest.traced_stores() == []
    guest.map.trace(0x6000, False)
    assert run() == []
    guest.map.trace(0x6000)
    put_code(guest, "mov ecx, 100\nmov edi, 0x6000\nrep stosd\nhlt")
    assert guest.run(max_instructions=200).reason == "halt"
    assert guest.traced_stores() is None and guest.traced_stores() == []


def test_traces() -> None:
    check_traces()


# --- state ------------------------------------------------------------------------------------


def look(m: VirtualMachine) -> list[Any]:
    """All that a guest and whoever watches it can know."""
    a = m._a
    return [
        row_of(m).tobytes(), a.tlb.tobytes(), a.devices.tobytes(), a.device_bytes.tobytes(),
        m.read(0, m.ram_size), m.map.state(), str(m.ledger), m.traced_stores(),
    ]  # fmt: skip


def check_state(seed: int, pc: bool) -> None:
    """Saved with its host at some moment and put back later, it goes on as it did; run another way, too.
    Meanwhile it did other things, and its map changed."""
    rng = random.Random(seed)
    host, frames = lender(18 * MIB, devices=())
    if pc:
        m = lend(host, frames, "guest", 16 * MIB)
        shuffle(m, seed)
        m.boot(sprout.image(), initrd=sprout.root(), disk=Disk(bytes(MIB), "overlay"))
        m.console.type("ls /bin\n")
    else:
        m = lend(host, frames, "guest", one_machine.RAM, ())
        shuffle(m, seed)
        one_machine.program(seed, m)
    part = 250_000 if pc else 700
    m.map.trace(0x10000)
    for _ in range(4):
        m.run(max_instructions=rng.randrange(1, part))
        snapshot, state = host.snapshot(), m.state()
        length = rng.randrange(1, part)
        one_machine.whole(m, rng, m.instructions + length)
        want = look(m)
        if pc:
            m.console.type("cat /etc/motd\n")
        m.run(max_instructions=part)
        m.map.trace(0x10000, False)
        m.map.trace(0x12000)
        (frame,) = m.map.take(0x14)
        m.map.put(0x14, [frame], writable=False)
        host.restore(snapshot)
        m.restore_state(state)
        m.map.check()
        target = m.instructions + length
        how = rng.choice((one_machine.whole if pc else one_machine.stepped, one_machine.sliced))
        how(m, rng, target)
        for here, there in zip(look(m), want):
            assert here == there


@pytest.mark.parametrize("pc", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_state_comes_back(seed: int, pc: bool) -> None:
    check_state(seed, pc)


def test_breakpoints_are_the_debuggers_and_not_in_the_state() -> None:
    guest = virtual(MIB, 1)
    put_code(guest, "nop\nnop\nnop\nhlt")
    guest.break_at(0x10002)
    state = guest.state()
    guest.clear_break()
    guest.restore_state(state)
    assert guest.run(max_instructions=10).reason == "halt"


def test_a_waiting_read_is_asked_again_after_a_restore() -> None:
    guest = virtual(MIB, 1)
    guest.claim_port(0x10)
    put_code(guest, "in al, 0x10\nhlt")
    assert guest.run().reason == "port-in"
    state = guest.state()
    guest.complete(1)
    guest.run()
    guest.restore_state(state)
    assert guest.run().reason == "port-in"
    guest.complete(2)
    assert guest.run().reason == "halt" and guest.cpu.al == 2


def test_time_travel_is_the_hosts() -> None:
    guest = virtual(MIB, 1)
    for call in (guest.snapshot, lambda: guest.restore(None), lambda: guest.back()):  # type: ignore[arg-type]
        with pytest.raises((SnapshotError, MachineError), match="host"):
            call()


# --- life and death ---------------------------------------------------------------------------


def made(*lent: Any) -> VirtualMachine:
    """A guest; none should be refused here."""
    try:
        return lend(*lent)
    except MachineError as problem:
        raise AssertionError(f"no guest can be made: {problem}") from problem


def check_life() -> None:
    """What was lent comes back: frames, the room for a processor, flags of pages. A guest that could not be
    made has taken nothing. The next one finds its memory empty."""
    host, frames = lender(3 * MIB, devices=())
    free = frames.held("free")
    for _ in range(MOST_PROCESSORS + 3):
        guest = made(host, frames, "guest", MIB, ())
        assert guest.read(0, MIB) == bytes(MIB)
        guest.write(0x1000, b"secret" * 100)
        guest.map.trace(0x1000)
        guest.map.take(5)
        guest.destroy()
        assert frames.held("free") == free
        assert not (host._a.page_flags & PAGE_TRACED).any()
        with pytest.raises(MachineError, match="destroyed"):
            guest.step()
    guests = [made(host, frames, f"guest {i}", 64 << 10, ()) for i in range(MOST_PROCESSORS - 1)]
    before = frames.held("free")
    with pytest.raises(ConfigurationError, match="33 processors"):
        lend(host, frames, "one too many", 64 << 10, ())
    assert frames.held("free") == before
    with pytest.raises(ConfigurationError, match="another name"):
        lend(host, frames, "guest 3", 64 << 10, ())
    for guest in guests[::-2] + guests[-2::-2]:
        guest.destroy()
    assert frames.held("free") == free
    for few in (frames, Frames(FIRST, FIRST + 2)):  # no room for its memory; not even for the tables
        free = few.held("free")
        with pytest.raises(OutOfFrames):
            lend(host, few, "guest", frames.held("free") * PAGE, ())
        assert few.held("free") == free
    frames.check()


def test_what_was_lent_comes_back() -> None:
    check_life()


# --- planted faults ---------------------------------------------------------------------------

Plant = Callable[[pytest.MonkeyPatch], None]


def off_by_one(patch: pytest.MonkeyPatch) -> None:
    truth = MemoryMap._entries
    patch.setattr(MemoryMap, "_entries", lambda self, first, end: truth(self, first, end) ^ np.uint64(PAGE))


def no_right_to_write(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_map, "ALL_RIGHTS", memory_map.ALL_RIGHTS & ~memory_map.WRITABLE)


def read_only_is_writable(patch: pytest.MonkeyPatch) -> None:
    truth = MemoryMap._set
    patch.setattr(MemoryMap, "_set", lambda self, first, places, writable: truth(self, first, places, True))


def traces_are_not_noted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(memory_map, "PAGE_TRACED", 0)


def the_fast_path_misses_traces(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Arrays, "forget_writable", lambda self: None)


def nobody_hears_of_changes(patch: pytest.MonkeyPatch) -> None:
    truth = VirtualMachine.__init__

    def deaf(self: VirtualMachine, *rest: Any, **options: Any) -> None:
        truth(self, *rest, **options)
        self.map.on_change = lambda: None

    patch.setattr(VirtualMachine, "__init__", deaf)


def the_gate_keeps_the_tlb(patch: pytest.MonkeyPatch) -> None:
    def no_flush(self: VirtualMachine, on: bool) -> None:
        self._poke(((A20_MASK, A20_OPEN if on else A20_OPEN & ~(1 << 20)),))

    patch.setattr(VirtualMachine, "a20", property(Ring0.a20.fget, no_flush), raising=False)


def tables_stay(patch: pytest.MonkeyPatch) -> None:
    def half(self: MemoryMap) -> None:
        self.untrace()
        self.frames.free(self.owner, self.frames.owned(self.owner))

    patch.setattr(MemoryMap, "free", half)


def processors_stay(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Arrays, "leave", lambda self: None)


def frames_are_given_twice(patch: pytest.MonkeyPatch) -> None:
    truth = Frames.allocate

    def twice(self: Frames, owner: str, count: int = 1) -> list[int]:
        found = truth(self, owner, count)
        self._owner[found[-1]] = 1
        return found

    patch.setattr(Frames, "allocate", twice)


def without(name: str) -> Plant:
    def plant(patch: pytest.MonkeyPatch) -> None:
        truth = VirtualMachine.state

        def state(self: VirtualMachine) -> dict[str, Any]:
            saved = truth(self)
            if name in saved:
                saved[name] = bytes(len(saved[name]))
            else:
                saved["map"]["traced"] = []
            return saved

        patch.setattr(VirtualMachine, "state", state)

    plant.__name__ = f"state_without_{name}"
    return plant


def decoded_code_stays(patch: pytest.MonkeyPatch) -> None:
    def quietly(self: VirtualMachine, address: int, data: bytes) -> None:
        for i, byte in enumerate(data):
            at = self.map.place(address + i)
            if at is not None:
                self._ram[at] = byte

    patch.setattr(VirtualMachine, "_put", quietly)


def devices_at_machine_addresses(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(VirtualMachine, "_regions_changed", DeviceClaims._regions_changed)


def reading_goes_straight_on(patch: pytest.MonkeyPatch) -> None:
    def one_piece(self: VirtualMachine, address: int, size: int) -> list[tuple[int | None, int]]:
        return [(self.map.place(address), size)] if size else []

    patch.setattr(VirtualMachine, "_pieces", one_piece)


def memory_is_not_wiped(patch: pytest.MonkeyPatch) -> None:
    truth = Machine.write
    patch.setattr(
        Machine, "write", lambda self, at, data: truth(self, at, data) if any(data) else None, raising=False
    )


def small_matrix() -> None:
    interpreter.check_matrix(1, 40)


PLANTED: list[tuple[Plant, Callable[[], None]]] = [
    (off_by_one, small_matrix),
    (no_right_to_write, small_matrix),
    (read_only_is_writable, small_matrix),
    (read_only_is_writable, lambda: interpreter.check_rom(True, False)),
    (traces_are_not_noted, small_matrix),
    (devices_at_machine_addresses, small_matrix),
    (devices_at_machine_addresses, check_isolation),
    (the_fast_path_misses_traces, check_traces),
    (nobody_hears_of_changes, check_map_changes),
    (the_gate_keeps_the_tlb, lambda: interpreter.check_a20(False)),
    (tables_stay, check_life),
    (processors_stay, check_life),
    (frames_are_given_twice, check_life),
    (memory_is_not_wiped, check_life),
    (without("row"), lambda: check_state(1, False)),
    (without("devices"), lambda: check_state(1, True)),
    (without("tlb"), lambda: check_state(1, False)),
    (without("traces"), lambda: check_state(1, False)),
    (decoded_code_stays, check_foreign_code),
    (reading_goes_straight_on, interpreter.check_every_mode),
]


@pytest.mark.parametrize("plant,check", PLANTED, ids=[plant.__name__ for plant, _ in PLANTED])
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, plant: Plant, check: Callable[[], None]
) -> None:
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        check()


def test_without_a_fault_the_small_matrix_passes() -> None:
    """The other checks are tests of their own."""
    small_matrix()
