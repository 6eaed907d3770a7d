"""What a recorded run looked like, step by step.

The core appends words to a buffer (attention.py, physical.py). A record is

    stores of the step   1<<63 | size<<56 | physical address,  old | new<<32
    one header           rip | number of changes<<48 | delivered<<56
    its changes          1<<62 | word of the processor's row,  new value

The buffer is cut in chunks; each chunk keeps the registers at its start, so that any step
is decoded without those before it. Decoding happens when somebody looks.
"""

from __future__ import annotations

import html
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from ..errors import MachineError
from ..exits import Exit
from ..registers import NAMES32, Segment, flag_names
from ..state.layout import (
    A20_MASK,
    ATTRIBUTES,
    BASE,
    CR0,
    CR2,
    CR3,
    CR4,
    CS,
    EFLAGS,
    RIP,
    SELECTOR,
    VM,
)
from .past_memory import Paging, PastMemory

if TYPE_CHECKING:
    from .rewindable import Rewindable
    from .snapshots import SavedPages

STORE, CHANGE = 1 << 63, 1 << 62
#: Registers that are recorded, by word of the row.
NAMES: dict[int, str] = {
    **dict(enumerate(NAMES32)),
    EFLAGS: "eflags",
    **{SELECTOR + i: name for i, name in enumerate(("es", "cs", "ss", "ds", "fs", "gs"))},
    CR0: "cr0",
    CR2: "cr2",
    CR3: "cr3",
    CR4: "cr4",
}
LONGEST_INSTRUCTION = 15
KEPT_CHUNKS = 8


def traced_words(row: np.ndarray, eflags: int) -> dict[str, int]:
    """The registers of a row, by name, and EIP."""
    words = {name: int(row[offset]) & 0xFFFF_FFFF for offset, name in NAMES.items()}
    words["eflags"] = eflags
    words["eip"] = int(row[RIP]) & 0xFFFF_FFFF
    return words


@dataclass
class TraceChunk:
    words: np.ndarray
    start: dict[str, int]  # registers before the first step
    end_count: int  # instructions executed when the chunk ended

    def switches(self) -> bool:
        """Whether CR3 changes in it. (A stored value may look like it: then the answer is yes, too.)"""
        return bool((self.words == np.uint64(CHANGE | CR3)).any())


@dataclass(frozen=True)
class Store:
    """A write to physical memory."""

    address: int
    size: int
    old: int
    new: int

    def __repr__(self) -> str:
        digits = 2 * self.size
        return f"[{self.address:#x}]: {self.old:0{digits}x} -> {self.new:0{digits}x}"


@dataclass(frozen=True)
class Step:
    """One executed instruction: where, what, and what it changed."""

    index: int
    eip: int
    code: bytes
    text: str
    registers: dict[str, tuple[int, int]]  # name: (old, new)
    memory: tuple[Store, ...]
    delivered: bool = False  # an exception or interrupt instead of an instruction
    cs: int = 0
    ring: int = 0  # before it

    @property
    def address(self) -> int:
        return self.eip

    def changes(self) -> list[str]:
        """The changes as text; flags by name."""
        out = []
        for name, (old, new) in self.registers.items():
            if name == "eflags":
                out.append(f"flags: {flag_names(old)} -> {flag_names(new)}")
            else:
                out.append(f"{name}: {old:x} -> {new:x}")
        return out + [repr(store) for store in self.memory]

    def __repr__(self) -> str:
        changes = "; ".join(self.changes())
        return f"{self.index:>6}  {self.eip:08x}  {self.code.hex():<16}  {self.text:<30}  {changes}"


@dataclass
class _Raw:
    """A step as recorded, before its code is looked up."""

    eip: int
    delivered: bool
    registers: dict[str, tuple[int, int]]
    memory: tuple[Store, ...]
    cs: int
    eflags: int
    paging: Paging


def ring(cs: int, eflags: int, cr0: int) -> int:
    """The privilege level (manual 3A, section 5.5): real mode has none, virtual 8086 mode is ring 3."""
    return 0 if not cr0 & 1 else 3 if eflags & VM else cs & 3


def _paging(registers: dict[str, int]) -> Paging:
    return Paging(*(registers[name] for name in Paging._fields))


def _decode(chunk: TraceChunk) -> list[_Raw]:
    words: list[int] = chunk.words.tolist()
    registers = dict(chunk.start)
    paging = _paging(registers)
    steps: list[_Raw] = []
    stores: list[Store] = []
    i, end = 0, len(words)
    while i < end:
        word = words[i]
        if word & STORE:
            size = word >> 56 & 0x7F
            mask = (1 << 8 * min(size, 4)) - 1
            value = words[i + 1]
            stores.append(Store(word & 0xFF_FFFF_FFFF_FFFF, size, value & mask, value >> 32 & mask))
            i += 2
            continue
        count = word >> 48 & 0xFF
        before = (registers["cs"], registers["eflags"], paging)
        changed = {}
        for place in range(i + 1, i + 1 + 2 * count, 2):
            name = NAMES.get(words[place] & 0xFFFF, "?")
            new = words[place + 1] & 0xFFFF_FFFF
            changed[name] = (registers.get(name, 0), new)
            registers[name] = new
        if not changed.keys().isdisjoint(Paging._fields):
            paging = _paging(registers)
        steps.append(_Raw(word & 0xFFFF_FFFF, bool(word >> 56 & 1), changed, tuple(stores), *before))
        stores = []
        i += 1 + 2 * count
    return steps


def _headers(words: np.ndarray) -> np.ndarray:
    """Where the headers of a chunk's records stand."""
    top = words >> np.uint64(63) != 0
    sizes = np.where(top, 2, 1 + 2 * (words >> np.uint64(48) & np.uint64(0xFF)).astype(np.int64))
    following: list[int] = (np.arange(len(words)) + sizes).tolist()
    places, place, end = [], 0, len(words)
    while place < end:
        places.append(place)
        place = following[place]
    found = np.array(places, np.int64)
    return found[~top[found]]


def _path(chunk: TraceChunk) -> tuple[np.ndarray, np.ndarray]:
    """EIP and ring before each step of a chunk, without decoding the steps."""
    words = chunk.words
    places = _headers(words)
    headers = words[places]
    counts = (headers >> np.uint64(48) & np.uint64(0xFF)).astype(np.int64)
    steps = np.repeat(np.arange(len(places)), counts)
    nth = np.arange(len(steps)) - np.repeat(np.cumsum(counts) - counts, counts)
    changes = np.repeat(places, counts) + 1 + 2 * nth
    names, values = words[changes] & np.uint64(0xFFFF), words[changes + 1]

    def before(word: int) -> np.ndarray:
        mine = names == np.uint64(word)
        known = np.concatenate([[np.uint64(chunk.start[NAMES[word]])], values[mine]])
        return known[np.searchsorted(steps[mine], np.arange(len(places)), side="left")]

    one = np.uint64(1)
    rpl = before(SELECTOR + CS) & np.uint64(3)
    rings = np.where(before(EFLAGS) & np.uint64(VM) != 0, np.uint64(3), rpl)
    rings = np.where(before(CR0) & one != 0, rings, np.uint64(0))
    return headers.astype(np.uint32), rings.astype(np.uint8)


class _CodeMemory:
    """What the pages with code held at each step: their contents at the end of the trace,
    and the recorded stores, undone backwards."""

    def __init__(self, machine: Rewindable, segment: Segment) -> None:
        self.machine = machine
        self.first = segment
        self.translated: dict[int, int | None] = {}
        self.pages: dict[int, bytes] = {}
        self.undo: dict[int, list[tuple[int, int]]] = {}  # byte address: (step, old value), ascending
        self.segments: dict[tuple[int, bool], tuple[int, int]] = {
            (segment.selector, True): (segment.base, 32 if segment.attributes & 0x4000 else 16)
        }
        row = machine._row
        last = (int(row[SELECTOR + CS]), bool(row[CR0] & np.uint64(1)) and not row[EFLAGS] & np.uint64(VM))
        if last[1]:
            self.segments[last] = (int(row[BASE + CS]), 32 if int(row[ATTRIBUTES + CS]) & 0x4000 else 16)
        self.mask = int(row[A20_MASK]) & 0xFF_FFFF_FFFF

    def place(self, raw: _Raw) -> tuple[int, int]:
        """Base and bits of the code segment of a step."""
        protected = bool(raw.paging.cr0 & 1) and not raw.eflags & VM
        known = self.segments.get((raw.cs, protected))
        if known:
            return known
        if raw.cs == self.first.selector and not protected:
            return self.first.base, 32 if self.first.attributes & 0x4000 else 16
        if not protected:
            return raw.cs << 4, 16
        found = self.segments[raw.cs, True] = self._descriptor(raw.cs)
        return found

    def _descriptor(self, selector: int) -> tuple[int, int]:
        machine = self.machine
        try:
            table = machine.cpu.segment("ldtr").base if selector & 4 else machine.cpu.gdtr_base
            entry = int.from_bytes(machine.read_linear(table + (selector & 0xFFF8), 8), "little")
        except ValueError:
            return 0, 32
        return (entry >> 16 & 0xFF_FFFF) | (entry >> 32 & 0xFF00_0000), 32 if entry >> 54 & 1 else 16

    def bytes_at(self, linear: int, step: int) -> bytes:
        """An instruction where the address space did not change."""
        out = bytearray()
        for i in range(LONGEST_INSTRUCTION):
            physical = self._physical(linear + i & 0xFFFF_FFFF)
            if physical is None:
                break
            value = self._byte(physical)
            for when, old in self.undo.get(physical, ()):
                if when >= step:
                    value = old
                    break
            out.append(value)
        return bytes(out)

    def _physical(self, linear: int) -> int | None:
        page = linear & 0xFFFF_F000
        if page not in self.translated:
            self.translated[page] = self.machine.translate(page)
        base = self.translated[page]
        if base is None or (base | 0xFFF) >= self.machine.ram_size:
            return None
        return base | linear & 0xFFF

    def _byte(self, physical: int) -> int:
        page = physical & ~0xFFF
        if page not in self.pages:
            self.pages[page] = self.machine.read(page, 4096)
        return self.pages[page][physical & 0xFFF]


@cache
def _decoder() -> Callable[[bytes, int, int], tuple[int, str, str] | None]:
    from ..assembler.disassembler import _decode_one  # brings Capstone: only when text is asked for

    return _decode_one


def _text(code: bytes, eip: int, bits: int) -> tuple[bytes, str]:
    found = _decoder()(code, eip, bits) if code else None
    if found is None:
        return code[:1], f"db {code[0]:#04x}" if code else "(not mapped)"
    size, mnemonic, operands = found
    return code[:size], f"{mnemonic} {operands}".rstrip()


@dataclass
class Trace:
    """A recorded run: ``len(trace)`` steps, ``trace[i]`` is a `Step`."""

    _chunks: list[TraceChunk]
    first: int  # instruction count before step 0
    length: int
    _segment: Segment
    _machine: Rewindable
    exit: Exit
    _saved: SavedPages | None = None  # RAM at the end, if the address space changed on the way
    _memory: _CodeMemory = field(init=False, repr=False)
    _decoded: OrderedDict[int, list[_Raw]] = field(default_factory=OrderedDict, init=False, repr=False)

    def __post_init__(self) -> None:
        self._memory = _CodeMemory(self._machine, self._segment)
        self._ends = [chunk.end_count - self.first for chunk in self._chunks]
        self._prepare()

    def _prepare(self) -> None:
        """Keep the code pages as they are now, and the stores that hit them."""
        memory = self._memory
        addresses: set[int] = set()
        for chunk in self._chunks:
            words = chunk.words
            # new register values follow a word that says which; what is left is headers and,
            # now and then, a stored value, which costs a page too many
            value = np.zeros(len(words), bool)
            value[1:] = (words[:-1] ^ np.uint64(CHANGE)) <= np.uint64(0xFFFF)
            headers = words[(words < np.uint64(CHANGE)) & ~value]
            addresses |= set(np.unique(headers & np.uint64(0xFFFF_F000)).tolist())
            if len(addresses) > 2048:
                break
        base = self._segment.base
        for eip in addresses:
            linear = int(eip) + base & 0xFFFF_F000
            for near in (linear, linear + 0x1000 & 0xFFFF_F000):
                physical = memory._physical(near)
                if physical is not None:
                    memory._byte(physical)
        pages = np.array(sorted(memory.pages), np.uint64)
        for number, chunk in enumerate(self._chunks):
            words = chunk.words
            marks = np.flatnonzero(words >= STORE)
            places = words[marks] & np.uint64(0xFF_FFFF_FFFF_F000)
            if len(pages) and np.isin(places, pages).any():
                self._note_stores(number)

    def _note_stores(self, number: int) -> None:
        undo, pages = self._memory.undo, self._memory.pages
        for step, raw in enumerate(self._raws(number), self._chunk_start(number)):
            for store in raw.memory:
                if store.address & ~0xFFF in pages:
                    for i in range(min(store.size, 4)):
                        undo.setdefault(store.address + i, []).append((step, store.old >> 8 * i & 0xFF))

    def _chunk_start(self, number: int) -> int:
        return self._ends[number - 1] if number else 0

    def _raws(self, number: int) -> list[_Raw]:
        if number in self._decoded:
            self._decoded.move_to_end(number)
        else:
            self._decoded[number] = _decode(self._chunks[number])
            if len(self._decoded) > KEPT_CHUNKS:
                self._decoded.popitem(last=False)
        return self._decoded[number]

    def __len__(self) -> int:
        return self.length

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> list[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | list[Step]:
        if isinstance(index, slice):
            return [self._step(i) for i in range(*index.indices(self.length))]
        position = index + self.length if index < 0 else index
        if not 0 <= position < self.length:
            raise IndexError(f"step {index} is outside the trace of {self.length} steps")
        return self._step(position)

    def __iter__(self) -> Iterator[Step]:
        return (self._step(i) for i in range(self.length))

    def _find(self, index: int) -> tuple[int, int]:
        number = int(np.searchsorted(self._ends, index, side="right"))
        return number, index - self._chunk_start(number)

    def _step(self, index: int) -> Step:
        number, place = self._find(index)
        raw = self._raws(number)[place]
        level = ring(raw.cs, raw.eflags, raw.paging.cr0)
        if raw.delivered:
            return Step(
                index, raw.eip, b"", "(event delivered)", raw.registers, raw.memory, True, raw.cs, level
            )
        base, bits = self._memory.place(raw)
        linear = base + raw.eip & 0xFFFF_FFFF
        if self._saved is None:
            code = self._memory.bytes_at(linear, index)
        else:
            code = self.past.read_linear(linear, LONGEST_INSTRUCTION, raw.paging, index)
        code, text = _text(code, raw.eip, bits)
        return Step(index, raw.eip, code, text, raw.registers, raw.memory, False, raw.cs, level)

    @cached_property
    def past(self) -> PastMemory:
        """Physical memory at every step. Needs a machine that has not run on since, unless the trace
        itself went through several address spaces."""
        saved = self._saved
        if saved is None:
            if self._machine.instructions != self.first + self.length:
                raise MachineError(
                    "the machine has run on since this trace ended, so its memory at the time is gone; "
                    "look at trace.past before you run on"
                )
            saved = self._machine.snapshot().saved
        stores = (
            (step, store.address, min(store.size, 4), store.old)
            for number in range(len(self._chunks))
            for step, raw in enumerate(_decode(self._chunks[number]), self._chunk_start(number))
            for store in raw.memory
        )
        return PastMemory(saved, self._machine.ram_size, stores, self.length)

    @cached_property
    def path(self) -> tuple[np.ndarray, np.ndarray]:
        """EIP (uint32) and ring (uint8) before each step."""
        parts = [_path(chunk) for chunk in self._chunks]
        if not parts:
            return np.zeros(0, np.uint32), np.zeros(0, np.uint8)
        return np.concatenate([eips for eips, _ in parts]), np.concatenate([rings for _, rings in parts])

    def paging(self, index: int) -> Paging:
        """The registers that translations depend on, before a step."""
        number, place = self._find(index)
        return self._raws(number)[place].paging

    def registers(self, index: int) -> dict[str, int]:
        """All recorded registers before a step; ``registers(len(trace))`` is the end."""
        if not 0 <= index <= self.length:
            raise IndexError(f"step {index} is outside the trace of {self.length} steps")
        if not self._chunks:
            return traced_words(self._machine._row, self._machine.cpu.eflags)
        number, place = self._find(min(index, self.length - 1))
        place += index == self.length
        state = dict(self._chunks[number].start)
        raws = self._raws(number)
        for raw in raws[:place]:
            for name, (_, new) in raw.registers.items():
                state[name] = new
        if place < len(raws):
            state["eip"] = raws[place].eip
        else:
            state["eip"] = self.exit.eip
        return state

    def to_dict(self, start: int = 0, stop: int | None = None) -> dict[str, Any]:
        """Plain data for the trace player: the registers before, and all steps."""
        stop = self.length if stop is None else min(stop, self.length)
        steps = []
        for i in range(start, stop):
            step = self._step(i)
            steps.append(
                {
                    "eip": step.eip,
                    "code": step.code.hex(),
                    "text": step.text,
                    "regs": {name: list(pair) for name, pair in step.registers.items()},
                    "mem": [[s.address, s.size, s.old, s.new] for s in step.memory],
                }
            )
        return {
            "first": self.first + start,
            "start": self.registers(start),
            "steps": steps,
            "exit": self.exit.reason,
        }

    def to_json(self, start: int = 0, stop: int | None = None) -> str:
        return json.dumps(self.to_dict(start, stop), separators=(",", ":"))

    @property
    def nbytes(self) -> int:
        """Bytes that the recording takes."""
        return sum(chunk.words.nbytes for chunk in self._chunks)

    def _rows(self, most: int) -> list[Step | None]:
        if self.length <= most:
            return list(self)
        return [*self[: most - 4], None, *self[-3:]]

    def __repr__(self) -> str:
        lines = [f"Trace of {self.length:,} steps, ended by {self.exit.reason!r}"]
        lines += ["   ..." if step is None else repr(step) for step in self._rows(20)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        def cells(step: Step) -> str:
            texts = (f"{step.eip:08x}", step.code.hex(" "), step.text, "; ".join(step.changes()))
            inner = "".join(f"<td style='text-align:left'><code>{html.escape(t)}</code></td>" for t in texts)
            return f"<tr><td>{step.index:,}</td>{inner}</tr>"

        rows = "".join("<tr><td>…</td></tr>" if s is None else cells(s) for s in self._rows(30))
        head = "<tr><th>step</th><th>eip</th><th>bytes</th><th>instruction</th><th>changes</th></tr>"
        caption = f"{self.length:,} steps, ended by {html.escape(self.exit.reason)}"
        return f"<table><caption>{caption}</caption>{head}{rows}</table>"
