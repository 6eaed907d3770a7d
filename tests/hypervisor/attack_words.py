"""The words that the grammar of attacks makes its programs of: choices, addresses, selectors, uses.

Code is text as `attack_kernel` takes it: a semicolon between instructions. Between alternatives of
which one is taken stands a bar.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from pyvirt_edu.hypervisor import trap_gates
from pyvirt_edu.hypervisor.descriptors import descriptor
from pyvirt_edu.hypervisor.trap_gates import MONITOR_AT, SIZE

from .attack_kernel import (
    CALL,
    CODE,
    DATA,
    FREE_SLOT,
    FREE_VECTOR,
    LEAVE,
    LOOT,
    RAM,
    SCRATCH,
    TASK,
    TSS,
    USER_CALL,
    USER_CODE,
    USER_DATA,
    to_ring_3,
)

M32 = 0xFFFF_FFFF
G, BIG = 8, 4  # of a descriptor's flags: limit in pages, 32 bits
SMALL = (0, 1, 2, 3, 4, 7, 8, 0x7F, 0xFF, 0xFFC, 0xFFD, 0xFFE, 0xFFF)
ORDINARY = (0, 1, 3, CODE, DATA, DATA | 3, USER_CODE, USER_DATA, TSS, 0x1F8, 0x200, 0xFFF8, 4, 0xC)
MONITOR_PAGES = [*range(0, SIZE, 0x1000), *range(SIZE // 2, SIZE, 0x1000)]  # its secret is in the upper half
FIRST_OF_MONITOR = trap_gates.USER_CODE & ~7  # the first of the selectors that it keeps for itself


class Words:
    """The choices that productions make, and what they leave for the tables of the kernel."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.is_wild = False
        self.slots, self.data, self.gates, self.labels = list[str](), list[str](), dict[int, str](), 0

    def wild(self) -> None:
        """What was chosen may end otherwise under a monitor, with good reason."""
        self.is_wild = True

    def pick(self, *alternatives: str) -> str:
        """One of them, or of those between the bars of a text."""
        options = alternatives[0].split(" | ") if len(alternatives) == 1 else alternatives
        return self.random.choice(options)

    def number(self, *options: int) -> int:
        return self.random.choice(options)

    def chance(self, part: float) -> bool:
        return self.random.random() < part

    def perhaps(self, part: float, code: str) -> str:
        """The code, or none. More must follow."""
        return f"{code}; " if self.chance(part) else ""

    def some(self, count: int, texts: str, between: str = "; ") -> str:
        """Several of the texts between bars."""
        return between.join(self.random.sample(texts.split(" | "), count))

    def bits(self, positions: tuple[int, ...]) -> int:
        """Some of these bits."""
        return sum(1 << p for p in self.random.sample(positions, self.number(1, 1, 2, 3)))

    def label(self) -> str:
        self.labels += 1
        return f"label{self.labels}"

    # --- addresses -----------------------------------------------------------------------------

    def low(self) -> int:
        return self.number(SCRATCH, LOOT) + self.number(0, 0x1000, 0x5000) + self.number(*SMALL)

    def in_monitor(self) -> int:
        """A linear address of the monitor's, or the last ones before."""
        self.wild()
        page = self.number(*MONITOR_PAGES)
        inside = page + self.number(*SMALL, 0x10, 0x1C, self.random.randrange(0x1000))
        edge = self.number(SIZE, -1, -2, -4, -8, 0x3F_FFFC, 0x3F_FFFF)
        stub = trap_gates.STUBS + trap_gates.STUB_SIZE * self.random.randrange(258)
        return MONITOR_AT + self.number(inside, inside, inside, edge, stub)

    def in_its_frames(self) -> int:
        """A physical address of the monitor's."""
        self.wild()
        return RAM - SIZE + self.number(*MONITOR_PAGES) + self.number(0, 0, 4, 0xFFC)

    def stub(self) -> int:
        """An address in the monitor's code."""
        self.wild()
        stub = trap_gates.STUB_SIZE * self.random.randrange(257)
        return MONITOR_AT + trap_gates.STUBS + stub + self.number(0, 0, 2, 7)

    def address(self) -> int:
        kind = self.random.randrange(10)
        if kind < 4:
            return self.low()
        if kind < 7:
            return self.in_monitor()
        if kind < 8:
            return self.in_its_frames()
        return self.number(0, 1, RAM, RAM - 2 + SIZE, 0x1000_0000, 0x7FFF_FFFE, 0xFF00_0000)

    def around(self, at: int, size: int) -> int:
        """An address around which so much is used: not over an end of the address space, not in the
        monitor's frames."""
        if not size <= at < MONITOR_AT - size or RAM - SIZE - size < at < RAM + size:
            self.wild()
        return at

    # --- descriptors, gates, selectors --------------------------------------------------------

    def slot(self, text: str) -> int:
        """Put a line of data into the GDT; its selector."""
        self.slots.append(text)
        return FREE_SLOT + 8 * (len(self.slots) - 1)

    def segment(self, base: int, limit: int, access: int, flags: int = 0) -> int:
        """Put a descriptor into the GDT; its selector."""
        value = descriptor(base & M32, limit, access, flags)
        return self.slot(f"dd {value & M32:#x}, {value >> 32:#x}")

    def task(self, base: int = TASK, limit: int = 0x67, access: int = 0x89) -> int:
        return self.segment(base, limit, access)

    def vector(self, text: str) -> int:
        """Put a gate into the IDT; its vector."""
        vector = FREE_VECTOR + len(self.gates) % 12
        self.gates[vector] = text
        return vector

    def monitor_selector(self) -> int:
        self.wild()
        return FIRST_OF_MONITOR + 8 * self.random.randrange(7) | self.random.randrange(4)

    def selector(self) -> int:
        return self.monitor_selector() if self.chance(0.25) else self.number(*ORDINARY)

    # --- pieces of code ---------------------------------------------------------------------------

    def ring_3(self, part: float = 1, flags: int = 2) -> str:
        """Perhaps go there. More must follow."""
        return self.perhaps(part, to_ring_3(self.label(), flags))

    def load(self, segment: str, selector: int) -> str:
        """A selector into a segment register."""
        pointer = self.label()
        self.data.append(f"{pointer}: dd {self.low():#x}, {selector:#x}")
        plain = f"mov ax, {selector:#x}; mov {segment}, ax"
        pop = f"push {selector:#x}; pop {segment}"
        return self.pick(plain, plain, pop, f"l{segment} ebp, [cs:{pointer}]")

    def touch(self, segment: str, offset: int) -> str:
        """A load or a store; what was loaded is kept."""
        at = f"[{segment}:{offset & M32:#x}]"
        keep = f"mov [ss:{LOOT + 4 * self.random.randrange(64):#x}], eax"
        copy = f"mov esi, {offset & M32:#x}; mov edi, {LOOT:#x}; mov ecx, 16; {segment} rep movsb"
        load = f"mov eax, {at}; {keep}"
        loads = f"{load} | {load} | mov al, {at}; {keep} | push dword {at}; pop edx | {copy} | fld qword {at}"
        stores = (
            f"mov dword {at}, 0x41414141 | mov byte {at}, 0 | pop dword {at} | fnstenv {at} | fnsave {at}"
        )
        both = f"add dword {at}, 1 | xchg eax, {at}; {keep} | lock inc dword {at} | bts dword {at}, 5"
        return self.pick(f"{loads} | {stores} | {both} | cmpxchg8b {at} | call dword {at}")

    def kick(self) -> str:
        """Use the stack: by an interrupt, an exception, a call, a return (manual 3A, 6.12)."""
        there = self.label()
        vector = self.number(0, 1, 3, 13, CALL, LEAVE, USER_CALL, 0x80)
        events = f"int {vector:#x} | int {USER_CALL:#x} | int3 | xor ecx, ecx; div ecx | ud2 | into"
        moves = (
            "pushad | popad | pusha | pushfd | popfd | pop es | pop ss | pop dword [esp + 4] | push esp; hlt"
        )
        enter = f"mov ebp, esp; enter {self.number(0, 8, 0xFFFF)}, 31"
        frames = f"{enter} | mov ebp, esp; leave | iretd | retf | ret"
        returns = f"push cs; push {there}; retf | pushfd; push cs; push {there}; iretd"
        calls = f"call {there} | call {CODE}:far_call | mov eax, [0xfffffffe]"
        return self.pick(f"{events} | {moves} | {frames} | {returns} | {calls}") + f"; {there}: nop"

    def port_map(self) -> str:
        """A task with an I/O permission bit map of some length, which allows all (manual 1, 19.5.2)."""
        task = self.task(limit=self.number(0x67, 0x68, 0x88, 0x2068, 0x2068))
        return f"call make_task; mov ax, {task:#x}; ltr ax; "


Production = Callable[[Words], str]
