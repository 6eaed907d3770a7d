"""Runs a case on our machine and compares what is left with what should be."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pyvirt_edu import Exit, Machine
from pyvirt_edu.machine.memory.hostaccess_ops import HOST_FLUSH_TLB, HOST_UPDATE_SEGMENTS
from pyvirt_edu.machine.registers import lazy_pair
from pyvirt_edu.machine.state import layout as at

from . import world as w
from .cases import Case

IMAGE = np.frombuffer(w.IMAGE, np.uint8)

#: The words of the processor's row that a program can see, EFLAGS apart.
VISIBLE: dict[int, str] = dict(enumerate("EAX ECX EDX EBX ESP EBP ESI EDI".split()))
VISIBLE |= {at.RIP: "EIP", at.CPL: "CPL", at.HALTED: "halted"}
for _field, _name in (
    (at.SELECTOR, ""),
    (at.BASE, " base"),
    (at.LIMIT, " limit"),
    (at.ATTRIBUTES, " attributes"),
):
    VISIBLE |= {_field + i: n + _name for i, n in enumerate("ES CS SS DS FS GS LDTR TR".split())}
VISIBLE |= {at.GDTR_BASE: "GDTR base", at.GDTR_LIMIT: "GDTR limit"}
VISIBLE |= {at.IDTR_BASE: "IDTR base", at.IDTR_LIMIT: "IDTR limit"}
VISIBLE |= {at.CR0: "CR0", at.CR2: "CR2", at.CR3: "CR3", at.CR4: "CR4"}
VISIBLE |= {at.DR + i: f"DR{i}" for i in (0, 1, 2, 3, 6, 7)}
VISIBLE |= {at.SYSENTER_CS: "SYSENTER_CS", at.SYSENTER_ESP: "SYSENTER_ESP", at.SYSENTER_EIP: "SYSENTER_EIP"}
_x87 = (at.CPU_DTYPE.fields or {})["x87"]
VISIBLE |= {int(_x87[1]) // 8 + i: f"x87 word {i}" for i in range(_x87[0].shape[0])}
PLACES, NAMES = np.array(list(VISIBLE), np.intp), list(VISIBLE.values())
POSITION = {place: i for i, place in enumerate(VISIBLE)}
WORD32 = 0xFFFF_FFFF


@dataclass
class Expected:
    """How things should be afterwards, where they differ from before."""

    words: dict[int, int] = field(default_factory=dict)  #: words of the row
    eflags: int | None = None
    undefined: int = 0  #: EFLAGS bits that are not compared
    memory: list[tuple[int, bytes]] = field(default_factory=list)
    ram: np.ndarray | None = None  #: all memory, from an oracle that has it
    free: frozenset[int] = frozenset()  #: words that are not compared
    vector: int | None = None
    steps: int = 1  #: a trap or the fault of a second iteration come one later
    error: int = 0
    cr2: range | None = None


class Bench:
    """``ram`` is what a case finds in memory and leaves there."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.machine = m = machine or Machine(ram=w.RAM, devices=(), history=False)
        for vector in range(32):
            m.break_on(vector)
        m.enter_protected_mode(eip=0)
        m.write(0, b"\xdb\xe3")  # FNINIT: every x87 exception masked
        m.step()
        self.templates = {mode.name: self.template(mode) for mode in w.MODES}
        self.ram = m._a.ram
        self.wide = self.ram.view(np.uint64)

    def template(self, mode: w.Mode) -> np.ndarray:
        """The processor's row at the start of a case, as the manual's figures would have it."""
        m = self.machine
        c = m._c
        for segment in range(6):
            c[at.SELECTOR + segment] = mode.selectors[segment]
            c[at.BASE + segment] = mode.base(segment)
            c[at.LIMIT + segment] = mode.limit(segment)
            c[at.ATTRIBUTES + segment] = mode.attributes(segment)
        c[at.CPL] = mode.cpl
        c[at.CR0] = 0x10 | (1 if mode.pages else 0)
        c[at.CR3] = w.DIRECTORY
        c[at.EFLAGS] = 2 | (at.VM if mode.v86 else 0)
        if mode.pages:
            c[at.GDTR_BASE], c[at.GDTR_LIMIT] = w.GDT, w.GDT_LIMIT
            c[at.IDTR_BASE] = w.IDT32 if mode.bits == 32 or mode.v86 else w.IDT16
            c[at.IDTR_LIMIT] = 8 * w.VECTORS - 1
            tss = w.NAMES[w.TSS_BUSY]
            c[at.SELECTOR + at.TR], c[at.BASE + at.TR] = w.TSS_BUSY, tss.base
            c[at.LIMIT + at.TR], c[at.ATTRIBUTES + at.TR] = tss.limit, tss.kind
        else:
            c[at.IDTR_BASE], c[at.IDTR_LIMIT] = 0, 0x3FF
        m._host(m._handle, HOST_UPDATE_SEGMENTS, 0, 0)
        return m._row.copy()

    def load(self, case: Case) -> None:
        """Put the machine into the state at the start of a case."""
        m, c = self.machine, self.machine._c
        generation = c[at.GENERATION]
        m._row[:] = self.templates[case.form.mode.name]
        c[at.GENERATION] = generation
        self.fill(case)
        for number, value in enumerate(case.registers):
            c[number] = value
        c[at.RIP] = case.where - case.form.mode.base(w.CS)
        c[at.EFLAGS] = c[at.EFLAGS] & at.VM | case.eflags & ~at.ARITHMETIC | 2
        c[at.CC_RESULT], c[at.CC_CARRIES] = lazy_pair(case.eflags)
        for place, value in case.words.items():
            c[place] = value
        c[at.ATTENTION] = 1
        m._host(m._handle, HOST_UPDATE_SEGMENTS, 0, 0)
        m._host(m._handle, HOST_FLUSH_TLB, 0, 0)

    def fill(self, case: Case) -> None:
        """Memory at the start of a case."""
        self.ram[:] = IMAGE
        for address, data in [*case.memory, *case.page_entries()]:
            self.ram[address : address + len(data)] = np.frombuffer(data, np.uint8)
        self.machine._put(case.where, case.code())

    def check(self, case: Case, expected: Expected) -> list[str]:
        """What is wrong, as text."""
        m, c = self.machine, self.machine._c
        self.load(case)
        before = m._row[PLACES]
        memory = self.wide.copy()
        eflags = m.cpu.eflags
        exit = m.step()
        for _ in range(expected.steps - 1):
            if exit.reason == "limit":
                exit = m.step()
        wrong = compare_exit(exit, expected, case)
        if expected.cr2 and c[at.CR2] not in expected.cr2:
            wrong.append(f"CR2 {c[at.CR2]:#x}, not {expected.cr2}")
        after = m._row[PLACES]
        for place, value in expected.words.items():
            before[POSITION[place]] = value
        for place in expected.free | ({at.CR2} if expected.cr2 else set()):
            before[POSITION[place]] = after[POSITION[place]]
        for i in np.flatnonzero(before != after).tolist():
            wrong.append(f"{NAMES[i]} {after[i]:#x}, not {before[i]:#x}")
        flags = eflags if expected.eflags is None else expected.eflags
        if (m.cpu.eflags ^ flags) & ~expected.undefined:
            wrong.append(f"EFLAGS {m.cpu.eflags:#x}, not {flags:#x}")
        wrong += self.compare_memory(memory, expected)
        return wrong

    def compare_memory(self, before: np.ndarray, expected: Expected) -> list[str]:
        want = before if expected.ram is None else expected.ram.view(np.uint64)
        if expected.memory:
            want = want.copy()
            bytes_ = want.view(np.uint8)
            for address, data in expected.memory:
                bytes_[address : address + len(data)] = np.frombuffer(data, np.uint8)
        if np.array_equal(self.wide, want):
            return []
        places = np.flatnonzero(self.ram != want.view(np.uint8))[:4].tolist()
        return [f"[{p:#x}] {self.ram[p]:#x}, not {want.view(np.uint8)[p]:#x}" for p in places]


def compare_exit(exit: Exit, expected: Expected, case: Case) -> list[str]:
    if expected.vector is None:
        return [] if exit.reason == "limit" else [f"{exit.reason} {exit.vector}, not the next instruction"]
    if exit.vector != expected.vector:
        return [f"{exit.reason} {exit.vector}, not exception {expected.vector}"]
    wrong = []
    if case.form.mode is not w.REAL and (exit.error_code or 0) != expected.error:
        wrong.append(f"error code {exit.error_code}, not {expected.error:#x}")
    return wrong
