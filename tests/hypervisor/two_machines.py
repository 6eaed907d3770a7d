"""The same on bare metal and on a virtual processor's record.

`virtual` makes a guest whose frames are shuffled, so that no page lies where its address says. `Both`
runs the cases of the matrix on the two machines and says where they differ. A page-table walk and a TLB
miss are free here: the guest's processor has more of them, and all else that the clock shows must agree.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pyvirt_edu import Exit, Machine
from pyvirt_edu.hypervisor.frames import Frames
from pyvirt_edu.hypervisor.virtual_machine import VirtualMachine, lend
from pyvirt_edu.machine.costs import CostModel
from pyvirt_edu.machine.errors import MachineError
from pyvirt_edu.machine.state.layout import CPU_DTYPE, PAGE
from pyvirt_edu.machine.time_travel.state_digest import canonical_row

from ..machine.matrix import world as w
from ..machine.matrix.bench import Bench
from ..machine.matrix.cases import Case
from ..machine.matrix.cells import Cell, cases_of

COSTS = CostModel(walk=0, tlb_miss=0)
MIB = 1 << 20
FIRST = MIB // PAGE  #: the frames that guests get begin here

#: What a guest's record has and means nothing to the guest: how it is translated, and how often.
NOT_COMPARED = (
    "data_accesses", "data_misses", "fetch_accesses", "fetch_misses", "walk_references",
    "nested_root", "nested_mode",
)  # fmt: skip
NAMES = {
    place // 8 + i: name if kind.itemsize == 8 else f"{name}[{i}]"
    for name, (kind, place, *_) in (CPU_DTYPE.fields or {}).items()
    for i in range(kind.itemsize // 8)
}


def words_of(*names: str) -> np.ndarray:
    return np.array([i for i, name in NAMES.items() if name.split("[")[0] in names])


IGNORED = words_of(*NOT_COMPARED)
#: Where bare metal has a device that answers with ones and the guest has nothing, one has been asked,
#: and the instruction began anew.
ANSWERS = words_of(*NOT_COMPARED, "replay", "replay_count", "cycles", "delivered_at")


def bare(ram: int, **more: object) -> Machine:
    return Machine(ram=ram, costs=COSTS, history=False, **more)  # type: ignore[arg-type]


def lender(room: int, **more: object) -> tuple[Machine, Frames]:
    """A machine that lends `room` bytes and what tables need."""
    host = bare(2 * MIB + room + room // 16, **more)
    return host, Frames(FIRST, host.ram_size // PAGE)


def virtual(ram: int, seed: int, pc: bool = False, name: str = "guest") -> VirtualMachine:
    host, frames = lender(ram + (2 * MIB if pc else 0), devices=())
    m = lend(host, frames, name, ram, None if pc else ())
    shuffle(m, seed)
    return m


def shuffle(m: VirtualMachine, seed: int) -> None:
    """Give the guest's pages other frames of its own. Memory is lost: do it at the start."""
    frames = m.map.take(0, m.ram_size // PAGE)
    random.Random(seed).shuffle(frames)
    m.map.put(0, frames)


def row_of(m: Machine, ignored: np.ndarray = IGNORED) -> np.ndarray:
    """What the guest knows of its processor."""
    row = canonical_row(m._row)
    row[ignored] = 0
    return row


def differences(guest: Machine, other: Machine, ignored: np.ndarray = IGNORED) -> list[str]:
    """Words of the two processors that differ."""
    here, there = row_of(guest, ignored), row_of(other, ignored)
    return [f"{NAMES[i]} {here[i]:#x}, not {there[i]:#x}" for i in np.flatnonzero(here != there)[:8].tolist()]


def assert_same(guest: Machine, other: Machine) -> None:
    """Processor and memory are those of bare metal."""
    wrong = differences(guest, other)
    memory, want = guest.read(0, guest.ram_size), other.read(0, other.ram_size)
    if memory != want:
        at = np.flatnonzero(np.frombuffer(memory, np.uint8) != np.frombuffer(want, np.uint8))[:4].tolist()
        wrong += [f"[{p:#x}] {memory[p]:#x}, not {want[p]:#x}" for p in at]
    assert not wrong, "; ".join(wrong)


# --- the matrix ---------------------------------------------------------------------------

PAGES = w.RAM // PAGE
GONE, ROM, DEVICE, TRACED = "gone", "rom", "device", "traced"
#: Pages with code or page tables.
MEMORY_ONLY = {page >> 12 for page in (w.DIRECTORY, w.TABLE, w.CODE_PAGE, w.NEXT_CODE_PAGE)}
ALWAYS = [page >> 12 for page in (0, w.GDT, w.TSS, w.DIRECTORY, w.TABLE, w.CODE_PAGE, w.STACK0)]

Access = tuple[str, int, int, int]


class Hole(NamedTuple):
    page: int
    kind: str


def holes(case: Case, rng: random.Random) -> list[Hole]:
    """Up to two pages that are no plain memory, near to what the case touches."""
    touched = {case.begins(a) % w.RAM >> 12 for a in case.form.accesses}
    chosen = rng.sample(sorted(touched | set(ALWAYS)), rng.choice((0, 1, 2)))
    return [
        Hole(page, rng.choice((ROM, TRACED) if page in MEMORY_ONLY else (GONE, ROM, DEVICE, TRACED)))
        for page in chosen
    ]


class Recorder:
    """Devices of one machine, answering by address alone, and the log of who asked."""

    def __init__(self, m: Machine) -> None:
        self.machine = m
        self.log: list[Access] = []
        for port in range(0, 65536, 8):  # half of the ports: an access can meet both kinds
            m.on_port(port, self.port_in, self.port_out, 4)

    def answer(self, kind: str, where: int, size: int) -> int:
        self.log.append((kind, where, size, 0))
        return (where * 0x9E37_79B1 >> 5) & (1 << 8 * size) - 1

    def port_in(self, port: int, size: int) -> int:
        return self.answer("in", port, size)

    def port_out(self, port: int, value: int, size: int) -> None:
        self.log.append(("out", port, size, value))

    def read(self, address: int, size: int) -> int:
        return self.answer("read", address, size)

    def write(self, address: int, value: int, size: int) -> None:
        self.log.append(("write", address, size, value))


class GuestBench(Bench):
    """The matrix's bench with memory in frames; ``ram`` is what the case found there."""

    def __init__(self, m: VirtualMachine) -> None:
        super().__init__(m)
        self.guest = m
        self.ram = np.zeros(w.RAM, np.uint8)
        self.wide = self.ram.view(np.uint64)
        self.frames = np.array([(m.map.place(p * PAGE) or 0) // PAGE for p in range(PAGES)])
        self.pages = m.host._a.ram_pages

    def fill(self, case: Case) -> None:
        super().fill(case)  # the machine has the code now, `ram` has the rest
        code = case.code()
        self.ram[case.where : case.where + len(code)] = np.frombuffer(code, np.uint8)
        self.pages[self.frames] = self.ram.reshape(-1, PAGE)

    def seen(self) -> np.ndarray:
        return self.pages[self.frames]


class Both:
    def __init__(self, seed: int = 1) -> None:
        self.guest = GuestBench(virtual(w.RAM, seed))
        self.bare = Bench(bare(w.RAM, devices=()))
        self.devices = {bench: Recorder(bench.machine) for bench in (self.guest, self.bare)}
        self.cases = 0
        self.log_length = self.faults = self.stores = 0

    def run(self, cells: list[Cell]) -> list[str]:
        """What differs, as text."""
        wrong = []
        for cell in cells:
            rng = random.Random(str(cell))
            for case in cases_of(cell):
                self.cases += 1
                where = holes(case, rng)
                try:
                    problems = self.compare(case, where)
                except MachineError as problem:
                    problems = [f"{type(problem).__name__}: {problem}"]
                if problems:
                    wrong.append(f"{cell.outcome}: {case}: {where}: " + "; ".join(problems))
        return wrong

    def dig(self, where: list[Hole]) -> None:
        m, guest = self.bare.machine, self.guest.guest
        for page, kind in where:
            if kind == GONE:
                guest.map.take(page)
                m.on_mmio(page * PAGE, PAGE, lambda address, size: None, lambda address, value, size: None)
            elif kind == ROM:
                guest.map.put(page, [int(self.guest.frames[page])], writable=False)
            elif kind == DEVICE:
                for bench, devices in self.devices.items():
                    bench.machine.on_mmio(page * PAGE, PAGE, devices.read, devices.write)
            else:
                guest.map.trace(page * PAGE)

    def fill(self, where: list[Hole]) -> None:
        m, guest = self.bare.machine, self.guest.guest
        for page, kind in where:
            if kind == GONE:
                m.release_mmio(page * PAGE)
            elif kind == DEVICE:
                guest.release_mmio(page * PAGE)
                m.release_mmio(page * PAGE)
            elif kind == TRACED:
                guest.map.trace(page * PAGE, False)
            if kind in (GONE, ROM):
                guest.map.put(page, [int(self.guest.frames[page])])

    def step(self, bench: Bench, case: Case) -> Iterator[Exit]:
        self.devices[bench].log.clear()
        bench.load(case)
        for _ in range(case.steps):
            exit = bench.machine.step()
            yield exit
            if exit.reason != "limit":
                break

    def compare(self, case: Case, where: list[Hole]) -> list[str]:
        guest = self.guest.guest
        self.dig(where)
        try:
            want = [str(exit) for exit in self.step(self.bare, case)]
            got = [str(exit) for exit in self.step(self.guest, case)]
        finally:
            self.fill(where)
        wrong = [] if got == want else [f"{got}, not {want}"]
        gone = any(kind == GONE for _, kind in where)
        wrong += differences(guest, self.bare.machine, ANSWERS if gone else IGNORED)
        log, wanted = (self.devices[bench].log for bench in (self.guest, self.bare))
        if log != wanted:
            wrong.append(f"devices saw {log}, not {wanted}")
        self.log_length += len(log)
        self.faults += "exception" in got[-1]
        return wrong + self.compare_memory(where)

    def compare_memory(self, where: list[Hole]) -> list[str]:
        kinds = dict(where)
        found, before = self.guest.seen(), self.guest.ram.reshape(-1, PAGE)
        want = self.bare.ram.reshape(-1, PAGE)
        roms = [page for page, kind in kinds.items() if kind == ROM]
        if roms:
            want = want.copy()
            want[roms] = before[roms]
        wrong = []
        for page in np.flatnonzero((found != want).any(axis=1)).tolist():
            at = int(np.flatnonzero(found[page] != want[page])[0])
            wrong.append(f"[{page * PAGE + at:#x}] {found[page][at]:#x}, not {want[page][at]:#x}")
        stores = self.guest.guest.traced_stores()
        if stores is None:
            return wrong  # more than the record has room for, and it says so
        self.stores += len(stores)
        traced = [page for page, kind in kinds.items() if kind == TRACED]
        changed = {
            int(self.guest.frames[page]) * PAGE + at
            for page in traced
            for at in np.flatnonzero(found[page] != before[page]).tolist()
        }
        noted = {at for start, size in stores for at in range(start, start + size)}
        if not changed <= noted:
            wrong.append(f"not noted: stores to {[hex(at) for at in sorted(changed - noted)[:4]]}")
        frames = {int(self.guest.frames[page]) for page in traced}
        if not {at // PAGE for at in noted} <= frames:
            wrong.append(f"noted, and not traced: {stores}")
        return wrong
