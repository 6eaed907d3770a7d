"""The machine: processor, memory, and what Python can do with them.

`run` is the line between hardware and software: it executes guest instructions until
something needs Python, and says what in an `Exit`. Everything that enters the machine from
Python passes `_poke`, `write` or `_core`, which note it in the history, so that `back` can
replay it.
"""

from __future__ import annotations

import ctypes
import html
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from .costs import CostModel, Ledger
from .decode.operations import OP_JMPF, OP_LLDT, OP_LTR, OP_MOV_TO_CR, OP_MOV_TO_DR, OP_MOV_TO_SEGMENT
from .decode.uops import AS_PROTECTED, MANNER
from .errors import AddressError, ConfigurationError, MachineError, RegisterError, SnapshotError
from .exits import REASONS, VECTOR_NAMES, Exit
from .memory.hostaccess_ops import (
    HOST_FLUSH_FAST,
    HOST_FLUSH_PAGE,
    HOST_FLUSH_TLB,
    HOST_LOAD_SEGMENT_REAL,
    HOST_NOTIFY_WRITE,
    HOST_TRANSLATE,
)
from .registers import CPU
from .state import jit
from .state.arrays import Arrays, parse_size, segment_ends
from .state.layout import (
    A20_MASK,
    APIC_BASE,
    ATTENTION,
    ATTRIBUTES,
    BASE,
    BREAKPOINT_COUNT,
    CC_CARRIES,
    CC_RESULT,
    CPL,
    CR0,
    CR0_PG,
    CS,
    CYCLES,
    DATA_ACCESSES,
    DELIVERED_AT,
    DR6,
    DR7,
    EFLAGS,
    EVENT,
    EVENT_SHUTDOWN,
    EXIT_BREAKPOINT,
    EXIT_DEADLINE,
    EXIT_EXCEPTION,
    EXIT_IDLE,
    EXIT_LIMIT,
    EXIT_LINEAR,
    EXIT_MMIO_READ,
    EXIT_MMIO_WRITE,
    EXIT_PORT_IN,
    EXIT_PORT_OUT,
    EXIT_QUALIFICATION,
    EXIT_SERVICE,
    EXIT_SHUTDOWN,
    EXIT_TRACE_FULL,
    EXIT_VALUE,
    EXIT_VECTOR,
    EXIT_WATCHPOINT,
    FETCH_ACCESSES,
    GENERATION,
    H_REGION_COUNT,
    H_TRACE_USED,
    H_WATCH_COUNT,
    HALTED,
    IDLE_CYCLES,
    IDTR_LIMIT,
    INSTRUCTION_LIMIT,
    INSTRUCTIONS,
    INTERCEPT_VECTORS,
    INTERRUPT_LINE,
    LEDGER,
    LIMIT,
    MAX_BREAKPOINTS,
    MAX_REGIONS,
    MODE,
    MODE_CODE32,
    MODE_STACK32,
    NEVER,
    NMI_PENDING,
    NOTED_ADDRESS,
    NOTED_SHIFT,
    PAGE,
    PAGE_CODE,
    PAGE_DIRTY,
    PAGE_MMIO,
    PAGE_TRACED,
    PAT,
    POSTED,
    POSTED_COUNT,
    RAM_EVERYWHERE,
    RAM_MAP,
    RDX,
    REPLAY,
    REPLAY_COUNT,
    REPLAY_ROOM,
    RESUME_BREAKPOINT,
    RIP,
    RSP,
    RUN_DEADLINE,
    SELECTOR,
    SERVICE,
    SHADOW,
    SHADOW_DEBUG,
    SHADOW_NEXT,
    T0,
    TIMER,
    TRACING,
    TRAP_AFTER,
    WALK,
    WALK_COUNT,
    WALK_REFERENCES,
    X87_CONTROL,
    X87_VALID,
)
from .state.progress import Progress
from .time_travel import state_digest, ticker
from .time_travel.history import ANSWER, BYTES, CALL, FAULT, IDLE_UNTIL, WORDS, History
from .time_travel.snapshots import Layer, PageTable, Snapshot, next_layer_number
from .time_travel.tracing import Trace, TraceChunk, traced_words

M32 = 0xFFFF_FFFF
UNMAPPED = 0xFFFF_FFFF_FFFF_FFFF
DEVICE_READ, DEVICE_WRITE = 0, 1  # operations of the devices' unit (devices/bus.py)
SIGNATURE = 0x0652  # family 6, model 5, as CPUID says
AIM_LONG, AIM_SHORT = 0.014, 0.006  # seconds that a slice of run() should take
#: What a reset by the guest leaves: counts, the limits of the run, the debugger's words.
GOING_ON = (
    *(INSTRUCTIONS, CYCLES, IDLE_CYCLES, INSTRUCTION_LIMIT, RUN_DEADLINE, TRACING, BREAKPOINT_COUNT),
    *range(DATA_ACCESSES, WALK_REFERENCES + 1),
    *range(INTERCEPT_VECTORS, INTERCEPT_VECTORS + 4),
)
FIRST_SLICE, SHORTEST_SLICE, LONGEST_SLICE = 50_000, 2_000, 16_000_000

# `run` looks at its first argument only, and every argument that is not passed saves ctypes
# a good part of a microsecond; the calling conventions of our platforms allow it.
RUN_TYPE = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)

PortRead = Callable[[int, int], int | None]
PortWrite = Callable[[int, int, int], None]


class Platform(Protocol):
    """The devices around a processor, as the machine sees them (devices/platform.py)."""

    def reset(self) -> None: ...
    def service(self, devices: int) -> Exit | None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any]) -> None: ...
    def media(self) -> list[bytes]: ...


class _Device:
    """Who answers for a port or a range of addresses; neither: leave `run` and let the
    caller answer."""

    __slots__ = ("explicit", "read", "write")

    def __init__(self, read: PortRead | None, write: PortWrite | None, explicit: bool) -> None:
        self.read, self.write, self.explicit = read, write, explicit


class Reference(NamedTuple):
    """A paging-structure entry that a walk read: ``shift`` is the lowest address bit that its table
    decides, 12 for a page table, 21 or 22 for a page directory."""

    address: int
    entry: int
    shift: int


class PageWalk(NamedTuple):
    """Where a linear address leads, or None, and what was read to find out (manual 3A, 4.3 and 4.4)."""

    physical: int | None
    references: tuple[Reference, ...]


class BareMachine:
    """The machine without a PC around it: a 32-bit processor of the P6 family, and RAM.

    >>> m = BareMachine(ram="1MiB")
    >>> m.load(b"\\xb8\\x2a\\x00\\x00\\x00\\xf4", at=0x10000)    # mov eax, 42; hlt
    >>> m.enter_protected_mode(eip=0x10000, esp=0x90000)
    >>> m.run().reason, m.cpu.eax
    ('halt', 42)
    """

    def __init__(
        self,
        ram: str | int = "64MiB",
        *,
        cpus: int = 1,
        devices: tuple[Any, ...] | None = None,
        costs: CostModel | None = None,
        history: bool = True,
        firmware: bool = False,
    ) -> None:
        size = parse_size(ram)
        if cpus != 1:
            raise ConfigurationError(f"cpus={cpus!r}: this version has machines of one processor; use cpus=1")
        if devices:
            raise ConfigurationError(
                "devices: leave it out for the standard PC platform, or say devices=() for none and "
                "bring your own with on_port and on_mmio"
            )
        if jit.missing_units():
            with Progress("compiling the processor") as progress:
                addresses = jit.entry_points(progress)
        else:
            addresses = jit.entry_points()
        self.costs = costs or CostModel()
        self._a = Arrays(size, cpus, self.costs.array(), firmware)
        self._a.connect(addresses)
        self._units = {name: jit.ENTRY_TYPE(address) for name, address in addresses.items()}
        self._call = RUN_TYPE(addresses["run"])
        self._host = self._units["host_access"]
        self._handle = self._a.handle.ctypes.data
        self._row = self._a.words[0]
        self._c: Any = memoryview(self._row)  # type: ignore[arg-type]
        self._ram = memoryview(self._a.ram)  # type: ignore[arg-type]
        self.ram_size = size
        self.offered_ram = size  # what a kernel is told of
        self.cpu = CPU(self)
        self._ports: dict[int, _Device] = {}
        self._regions: list[tuple[int, int, _Device]] = []
        self._breakpoints: list[int] = []
        self._watches: list[tuple[int, int, int]] = []
        self._vectors: set[int] = set()
        self._exits = [0] * len(REASONS)
        self._queue: deque[tuple[int, int]] = deque()  # device writes not handed over yet
        self._pending: Exit | None = None  # a read that waits for its value
        self._running = False
        self._slice = FIRST_SLICE
        self._slice_started = 0.0  # when the slice under way began, 0 while there is none
        self._stop = (0, -1)  # linear address and instruction count of the last breakpoint
        self._chunks: list[TraceChunk] | None = None
        self._platform: Platform | None = None
        self._pump: Callable[[], None] | None = None  # called between slices of a run
        self._replaying = False  # `back` repeats the past: nothing of it is for the outside
        self._table = PageTable.empty(len(self._a.page_flags))
        self._history = History(self, history)
        self._due = 0
        self.reset()

    # --- state at reset ----------------------------------------------------------------

    def reset(self) -> None:
        """Reset the processor (manual 3A, table 9-1): real mode, at F000:FFF0. RAM stays."""
        self._reset_processor()
        self._debugger_words()
        self._pending = None
        self._queue.clear()
        self._exits = [0] * len(REASONS)
        if self._platform is not None:
            self._platform.reset()
        self._due = self._history.start(None)

    def _reset_processor(self, in_operation: bool = False) -> None:
        """Put the row into its state after RESET#; in operation, counts and limits go on."""
        row = self._row
        kept = [(GENERATION, int(row[GENERATION]))]
        if in_operation:
            kept += [(i, int(row[i])) for i in GOING_ON]
        row[:] = 0
        row[RIP] = 0xFFF0
        row[EFLAGS] = 2
        row[CR0] = 0x6000_0010
        row[DR6], row[DR7] = 0xFFFF_0FF0, 0x400
        row[RDX] = SIGNATURE
        row[LIMIT : LIMIT + 8] = 0xFFFF
        row[ATTRIBUTES : ATTRIBUTES + 6] = 0x93
        row[ATTRIBUTES + 6], row[ATTRIBUTES + 7] = 0x82, 0x8B
        row[ATTRIBUTES + CS] = 0x9B
        row[SELECTOR + CS], row[BASE + CS] = 0xF000, 0xFFFF_0000
        for segment in range(6):
            segment_ends(row, segment, True)
        row[LIMIT + 6] = row[LIMIT + 7] = 0xFFFF
        row[IDTR_LIMIT] = row[IDTR_LIMIT - 2] = 0xFFFF
        row[A20_MASK] = UNMAPPED
        row[APIC_BASE] = 0xFEE0_0100
        row[PAT] = 0x0007_0406_0007_0406
        row[CC_RESULT] = 1  # every arithmetic flag clear: not zero, parity odd
        row[CC_CARRIES] = 0
        row[RUN_DEADLINE] = row[TIMER] = NEVER
        row[X87_CONTROL], row[X87_VALID] = 0x40, 0xFF  # eight zeros, every exception unmasked
        row[RAM_MAP] = RAM_EVERYWHERE
        for offset, value in kept:
            row[offset] = value
        self._a.tlb[:] = 0
        self._a.forget_addresses()
        row[ATTENTION] = 1

    def enter_protected_mode(self, eip: int, esp: int | None = None) -> None:
        """Flat 32-bit protected mode, ring 0, paging off, as a loader leaves it.

        The segment caches are set directly, so no GDT is needed; a guest that wants to load
        segments brings its own.
        """
        words = [(RIP, _within("eip", eip, 32)), (CR0, self._c[CR0] & 0x7FFF_FFFF | 1), (CPL, 0)]
        if esp is not None:
            words.append((RSP, _within("esp", esp, 32)))
        words += [(EFLAGS, 2), (HALTED, 0), (ATTENTION, 1), (MODE, MODE_CODE32 | MODE_STACK32)]
        for segment in range(6):
            code = segment == CS
            words += [
                (SELECTOR + segment, 8 if code else 16),
                (BASE + segment, 0),
                (LIMIT + segment, M32),
                (ATTRIBUTES + segment, 0xC09B if code else 0xC093),
            ]
        scratch = self._row.copy()
        for offset, value in words:
            scratch[offset] = value
        for segment in range(6):
            segment_ends(scratch, segment, segment != CS)
        changed = np.flatnonzero(scratch != self._row)
        self._poke(tuple((int(i), int(scratch[i])) for i in changed) + ((ATTENTION, 1),))
        self._a.forget_addresses()

    # --- memory ------------------------------------------------------------------------

    def _range(self, address: int, size: int, what: str) -> None:
        if not isinstance(address, int) or not isinstance(size, int):
            raise AddressError(f"{what}: address and size are whole numbers, not {address!r}, {size!r}")
        if address < 0 or size < 0 or address + size > self.ram_size:
            raise AddressError(
                f"{what}: {size:,} bytes at {address:#x} do not lie in RAM, which ends at "
                f"{self.ram_size:#x}; use another address, or a machine with more RAM"
            )

    def read(self, address: int, size: int) -> bytes:
        """Bytes of physical memory."""
        self._range(address, size, "read")
        return bytes(self._ram[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """Write physical memory. Decoded code that lay there is dropped."""
        data = bytes(data)
        self._range(address, len(data), "write")
        self._log(BYTES, (address, data))
        self._put(address, data)

    def _put(self, address: int, data: bytes) -> None:
        if data:
            self._ram[address : address + len(data)] = data
            self._host(self._handle, HOST_NOTIFY_WRITE, address, len(data))

    def load(self, code: bytes, at: int) -> None:
        """Put a program into physical memory."""
        code = bytes(code)
        if isinstance(at, int) and 0 <= at and at + len(code) > self.ram_size:
            need = -(-(at + len(code)) // (1 << 20))
            raise AddressError(
                f"load: a program of {len(code):,} bytes at {at:#x} does not fit into RAM of "
                f'{self.ram_size:,} bytes; make the machine with ram="{max(need, 1)}MiB" or more'
            )
        self.write(at, code)

    def translate(self, linear: int) -> int | None:
        """The physical address that a linear one leads to, or None. Changes nothing."""
        physical = self._host(self._handle, HOST_TRANSLATE, _within("address", linear, 32), 0)
        return None if physical == UNMAPPED else int(physical)

    def walk(self, linear: int) -> PageWalk:
        """Each entry that a page walk for a linear address reads, and where it leads.

        Changes nothing: no accessed bit, no TLB entry, no cycle. Without paging nothing is read.
        """
        physical = self.translate(linear)
        count = self._c[WALK_COUNT] if self._c[CR0] & CR0_PG else 0
        noted = self._row[WALK : WALK + 2 * count].tolist()
        references = tuple(
            Reference(word & NOTED_ADDRESS, entry, word >> NOTED_SHIFT & 63)
            for word, entry in zip(noted[::2], noted[1::2])
        )
        return PageWalk(physical, references)

    def _linear_pieces(self, linear: int, size: int, what: str) -> list[tuple[int, int]]:
        pieces = []
        while size > 0:
            part = min(size, PAGE - linear % PAGE)
            physical = self.translate(linear)
            if physical is None:
                raise AddressError(f"{what}: the page tables map nothing at {linear:#010x}")
            self._range(physical, part, what)
            pieces.append((physical, part))
            linear, size = linear + part & M32, size - part
        return pieces

    def read_linear(self, address: int, size: int) -> bytes:
        """Bytes at a linear address, through the page tables as they are now."""
        return b"".join(self.read(*piece) for piece in self._linear_pieces(address, size, "read_linear"))

    def write_linear(self, address: int, data: bytes) -> None:
        """Write at a linear address, all of it or nothing; page protection is not asked."""
        position = 0
        for physical, part in self._linear_pieces(address, len(data), "write_linear"):
            self.write(physical, data[position : position + part])
            position += part

    def flush_tlb(self, linear: int | None = None) -> None:
        """Drop what the TLB holds: all of it, or one page as INVLPG does. Charges nothing."""
        page = None if linear is None else _within("linear", linear, 32)
        self._core_value("host_access", HOST_FLUSH_TLB if page is None else HOST_FLUSH_PAGE, page or 0, 0)

    # --- what enters from Python -------------------------------------------------------

    def _log(self, kind: int, data: Any) -> None:
        """Note an input, so that `back` can repeat it."""
        if self._history.checkpoints:
            now = self._c[INSTRUCTIONS]
            if self._c[HALTED]:  # time passes without instructions: say when, too
                self._history.log.append((now, IDLE_UNTIL, self._c[CYCLES]))
            self._history.log.append((now, kind, data))

    def _poke(self, words: tuple[tuple[int, int], ...]) -> None:
        """Write words of the processor's row."""
        c = self._c
        self._log(WORDS, words)
        for offset, value in words:
            c[offset] = value

    def _apply(self, kind: int, data: Any) -> None:
        """Replay one entry of the log."""
        if kind == WORDS:
            for offset, value in data:
                self._c[offset] = value
        elif kind == BYTES:
            self._put(*data)
        elif kind == CALL:
            self._core_silently(*data)

    def _core(self, unit: str, words: tuple[tuple[int, int], ...], a: int, b: int, c: int) -> int:
        self._log(CALL, (unit, words, a, b, c))
        return self._core_silently(unit, words, a, b, c)

    def _tell_devices(self, operation: int, a: int = 0, b: int = 0) -> None:
        """Something enters through a device: an operation of devices/layout.py, logged."""
        self._core("device_access", (), operation, a, b)

    def _core_value(self, unit: str, a: int, b: int, c: int) -> int:
        """Call a unit for its value; logged like every input."""
        self._log(CALL, (unit, (), a, b, c))
        value = int(self._units[unit](self._handle, a, b, c))
        self._c[ATTENTION] = 1
        return value

    def _core_silently(self, unit: str, words: tuple[tuple[int, int], ...], a: int, b: int, c: int) -> int:
        """Let a unit act as the guest's instruction would; returns EVENT (0: it did)."""
        row = self._c
        for offset, value in words:
            row[offset] = value
        row[EVENT] = 0
        self._units[unit](self._handle, a, b, c)
        event = int(row[EVENT])
        row[EVENT] = 0
        row[CYCLES] += row[LEDGER]
        row[LEDGER] = 0
        row[ATTENTION] = 1
        return event

    def _refuse(self, name: str, value: int, event: int) -> None:
        if event:
            fault = VECTOR_NAMES.get(event & 0xFF, f"exception {event & 0xFF}")
            raise RegisterError(
                f"{name} = {value:#x}: the processor refuses it with {fault}, error code "
                f"{self._c[EVENT + 1]:#x}; {name} keeps its value"
            )

    def _as_ring_0(self, name: str, unit: str, value: int, a: int, b: int, immediate: int = 0) -> None:
        cpl, rip = self._c[CPL], self._c[RIP]
        self._poke(((CPL, 0),))
        event = self._core(unit, ((T0, value),), a, b, immediate)
        self._poke(((CPL, cpl), (RIP, rip)))
        self._refuse(name, value, event)

    def _load_segment(self, name: str, number: int, selector: int) -> None:
        if number >= 6:
            op = OP_LLDT if name == "ldtr" else OP_LTR
            if not self._c[CR0] & 1:
                raise RegisterError(
                    f"{name} can be loaded in protected mode only; the machine is in real mode"
                )
            self._as_ring_0(name, "assist_system", selector, op, 2 | AS_PROTECTED << MANNER)
        elif not self._c[CR0] & 1:
            self._core("host_access", (), HOST_LOAD_SEGMENT_REAL, number, selector)
        elif number == CS:  # a far jump, but EIP stays, whatever the new limit
            rip = self._c[RIP]
            event = self._core("assist_transfer", (), OP_JMPF, 4, selector << 32)
            self._poke(((RIP, rip),))
            self._refuse(name, selector, event)
        else:
            packed = 2 | number << 24
            event = self._core("assist_transfer", ((T0, selector),), OP_MOV_TO_SEGMENT, packed, 0)
            self._poke(((SHADOW, 0),))
            self._refuse(name, selector, event)

    def _move_to(self, name: str, kind: str, number: int, value: int) -> None:
        op = OP_MOV_TO_CR if kind == "cr" else OP_MOV_TO_DR
        self._as_ring_0(name, "assist_system", value, op, 4 | number << 24)

    def inject(self, vector: int, error_code: int | None = None) -> None:
        """Raise an external interrupt; with an error code, deliver an exception at once.

        The interrupt is delivered when the guest can take it (IF set, no shadow).
        """
        vector = _within("vector", vector, 8)
        if error_code is not None:
            self._deliver(vector, _within("error_code", error_code, 32))
            return
        line = self._c[INTERRUPT_LINE]
        if line:
            raise MachineError(
                f"interrupt {line & 0xFF} is still waiting to be delivered; run the guest until it takes it"
            )
        self._poke(((INTERRUPT_LINE, 0x100 | vector), (ATTENTION, 1)))

    def inject_nmi(self) -> None:
        """Raise a non-maskable interrupt."""
        self._poke(((NMI_PENDING, 1), (ATTENTION, 1)))

    @property
    def interrupt_pending(self) -> bool:
        """Whether an injected interrupt has not been delivered yet."""
        return bool(self._c[INTERRUPT_LINE] or self._c[NMI_PENDING])

    @property
    def a20(self) -> bool:
        """The A20 gate: closed, bit 20 of every physical address reads as 0."""
        return bool(self._c[A20_MASK] >> 20 & 1)

    @a20.setter
    def a20(self, on: bool) -> None:
        mask = UNMAPPED if on else UNMAPPED & ~(1 << 20)
        self._poke(((A20_MASK, mask), (GENERATION, self._c[GENERATION] + 1)))
        self._host(self._handle, HOST_FLUSH_FAST, 0, 0)
        self._a.forget_addresses()

    # --- running -----------------------------------------------------------------------

    @property
    def instructions(self) -> int:
        """Instructions executed since reset. A delivered exception or interrupt counts too."""
        return self._c[INSTRUCTIONS]  # type: ignore[no-any-return]

    @property
    def cycles(self) -> int:
        """Simulated cycles since reset."""
        return self._c[CYCLES]  # type: ignore[no-any-return]

    @property
    def idle_cycles(self) -> int:
        """Cycles since reset in which the processor was halted."""
        return self._c[IDLE_CYCLES]  # type: ignore[no-any-return]

    @property
    def ledger(self) -> Ledger:
        """What was done so far, by kind."""
        c = self._c
        return Ledger(
            instructions=c[INSTRUCTIONS],
            cycles=c[CYCLES],
            data_accesses=c[DATA_ACCESSES],
            data_misses=c[DATA_ACCESSES + 1],
            fetch_accesses=c[FETCH_ACCESSES],
            fetch_misses=c[FETCH_ACCESSES + 1],
            walk_references=c[WALK_REFERENCES],
            exits={
                REASONS[i]: n for i, n in enumerate(self._exits) if n and i not in (EXIT_LIMIT, EXIT_DEADLINE)
            },
        )

    def step(self, n: int = 1) -> Exit:
        """Execute n instructions; a breakpoint on the first one is passed."""
        if n == 1 and self._pending is None and not self._queue and not self._running:
            c = self._c
            now = c[INSTRUCTIONS]
            if now >= self._due:
                self._due = self._history.checkpoint()
            c[INSTRUCTION_LIMIT] = now + 1
            if self._breakpoints:
                c[RESUME_BREAKPOINT] = 1 + (c[BASE + CS] + c[RIP] & M32)
            reason = self._call(self._handle)
            if reason == EXIT_LIMIT and c[INSTRUCTIONS] > now:
                return Exit("limit", c[RIP], now + 1)
            self._running = True
            try:
                out = self._dispatch(reason) if reason != EXIT_LIMIT else None
            finally:
                self._running = False
            if out is not None:
                return out
            if c[INSTRUCTIONS] > now:
                return Exit("limit", c[RIP], now + 1)
            return self._go(now + 1, NEVER, None)
        return self.run(max_instructions=n)

    def run(
        self,
        max_instructions: int | None = None,
        max_cycles: int | None = None,
        until: int | Callable[[BareMachine], bool] | None = None,
    ) -> Exit:
        """Execute until something needs Python.

        ``until`` is an address to stop before, or a function of the machine that is asked
        every few milliseconds and after each device access.
        """
        if max_instructions is None and max_cycles is None and until is None:
            return self._go(NEVER, NEVER, None)
        c = self._c
        target = deadline = NEVER
        if max_instructions is not None:
            target = c[INSTRUCTIONS] + _count("max_instructions", max_instructions)
        if max_cycles is not None:
            deadline = c[CYCLES] + _count("max_cycles", max_cycles)
        if until is None or callable(until):
            return self._go(target, deadline, until)
        stop = _within("until", until, 32)
        if stop in self._breakpoints:
            return self._go(target, deadline, None)
        self.break_at(stop)
        try:
            out = self._go(target, deadline, None)
        finally:
            self.clear_break(stop)
        if out.reason == "breakpoint" and out.linear == stop:
            out.reason = "until"
        return out

    def _go(self, target: int, deadline: int, until: Callable[[BareMachine], bool] | None) -> Exit:
        """Run in slices of a few milliseconds, so that Ctrl-C works and widgets live."""
        if self._running:
            raise MachineError(
                "the machine is running already: run() and step() cannot be called by a handler"
            )
        c, call, handle, pump = self._c, self._call, self._handle, self._pump
        if self._breakpoints:
            self._pass_breakpoint()
        waiting = self._pending
        if waiting is not None:
            value = waiting.value
            now = c[INSTRUCTIONS]
            if type(value) is int and now == waiting.instructions and waiting.eip == c[RIP]:
                if not value >> 8 * waiting.size:  # type: ignore[operator]
                    self._pending = None
                    self._answer(value)
            if self._pending is not None:
                self._answer_pending()
        if deadline != NEVER:
            c[RUN_DEADLINE] = deadline
        clock = time.perf_counter
        ticking = False
        self._running = True
        try:
            if self._queue:
                out = self._hand_over()
                if out is not None:
                    return out
            while True:
                now = c[INSTRUCTIONS]
                if now >= self._due:
                    self._due = self._history.checkpoint()
                end = now + self._slice
                c[INSTRUCTION_LIMIT] = end if end < target else target
                started = clock()
                if ticking:
                    self._slice_started = started
                reason = call(handle)
                if reason == EXIT_LIMIT:
                    self._slice_started = 0.0
                    elapsed = clock() - started
                    if not ticking:
                        ticking = True
                        ticker.add(self)
                    if elapsed > AIM_LONG:
                        self._slice = max(self._slice // 2, SHORTEST_SLICE)
                    elif elapsed < AIM_SHORT and c[INSTRUCTIONS] == end:
                        self._slice = min(self._slice * 2, LONGEST_SLICE)
                    if c[INSTRUCTIONS] >= target:
                        return Exit("limit", c[RIP], c[INSTRUCTIONS])
                else:
                    if reason == EXIT_PORT_IN:  # the most frequent exit takes a short way
                        self._exits[reason] += 1
                        packed = c[EXIT_QUALIFICATION]
                        device = self._ports.get(packed & 0xFFFF)
                        if device is not None and device.explicit:
                            self._pending = out = Exit("port-in", c[RIP], c[INSTRUCTIONS])
                            out.address, out.size = packed & 0xFFFF, packed >> 56
                            return out
                        out = self._device_read(reason)
                    else:
                        out = self._dispatch(reason)
                    if out is not None:
                        return out
                if pump is not None:
                    pump()
                if until is not None and until(self):
                    return Exit("until", c[RIP], c[INSTRUCTIONS])
        finally:
            self._running = False
            if deadline != NEVER:
                c[RUN_DEADLINE] = NEVER
            if pump is not None:
                pump()
            if ticking:
                self._slice_started = 0.0
                ticker.remove(self)

    def _dispatch(self, reason: int) -> Exit | None:
        """Deal with what the core came back for; an Exit if the caller has to."""
        c = self._c
        if reason == EXIT_TRACE_FULL:
            self._take_chunk()
            return None
        if reason == EXIT_IDLE:
            return None
        self._exits[reason] += 1
        if reason == EXIT_SERVICE:
            return self._service()
        if reason == EXIT_PORT_IN or reason == EXIT_MMIO_READ:
            return self._device_read(reason)
        if reason == EXIT_PORT_OUT or reason == EXIT_MMIO_WRITE:
            for i in range(POSTED, POSTED + 2 * c[POSTED_COUNT], 2):
                self._queue.append((c[i], c[i + 1]))
            c[POSTED_COUNT] = 0
            return self._hand_over()
        return self._other_exit(reason)

    def _service(self) -> Exit | None:
        """Devices that need the world outside: a disk's sectors, a frame sent, a reset."""
        devices = self._c[SERVICE]
        self._c[SERVICE] = 0
        return self._platform.service(devices) if self._platform is not None else None

    def _other_exit(self, reason: int) -> Exit:
        c = self._c
        out = Exit(REASONS[reason], c[RIP], c[INSTRUCTIONS])
        if reason == EXIT_BREAKPOINT:
            out.linear = c[EXIT_LINEAR]
            self._stop = (c[EXIT_LINEAR], c[INSTRUCTIONS])
        elif reason == EXIT_WATCHPOINT:
            out.linear = c[EXIT_LINEAR]
            out.size = c[EXIT_QUALIFICATION] >> 56
        elif reason == EXIT_EXCEPTION:
            out.vector, out.error_code = c[EXIT_VECTOR], c[EXIT_VALUE]
            if self._history.checkpoints:
                self._history.log.append((c[INSTRUCTIONS], FAULT, out.vector))
        return out

    def _pass_breakpoint(self) -> None:
        """A run that begins where the last one stopped goes on from there."""
        c = self._c
        linear = c[BASE + CS] + c[RIP] & M32
        c[RESUME_BREAKPOINT] = 1 + linear if self._stop == (linear, c[INSTRUCTIONS]) else 0

    # --- devices in Python -------------------------------------------------------------

    def on_port(
        self, port: int, read: PortRead | None = None, write: PortWrite | None = None, count: int = 1
    ) -> None:
        """Let functions answer for ``count`` ports: ``read(port, size)`` returns the value,
        ``write(port, value, size)`` takes it. A read without a function gives ones."""
        self._claim_ports(port, count, _Device(read, write, False))

    def claim_port(self, port: int, count: int = 1) -> None:
        """Make `run` return at each access: "port-in", to be answered by setting
        ``exit.value`` (or with `complete`), and "port-out"."""
        self._claim_ports(port, count, _Device(None, None, True))

    def release_port(self, port: int, count: int = 1) -> None:
        """Nobody answers for these ports any more: reads give ones, writes are lost."""
        self._claim_ports(port, count, None)

    def _claim_ports(self, port: int, count: int, device: _Device | None) -> None:
        port = _within("port", port, 16)
        if _count("count", count) < 1 or port + count > 65536:
            raise AddressError(f"ports {port:#x}..{port + count - 1:#x}: there are ports 0..0xffff")
        for number in range(port, port + count):
            if device is None:
                self._ports.pop(number, None)
            else:
                self._ports[number] = device
        self._a.ports[port : port + count] = device is not None

    def on_mmio(
        self, start: int, size: int, read: PortRead | None = None, write: PortWrite | None = None
    ) -> None:
        """Let functions answer for physical addresses: ``read(address, size)``,
        ``write(address, value, size)``. Without any, `run` returns at each access. RAM that
        lies under a claimed range is hidden, by whole pages."""
        start = _within("start", start, 36)
        if _count("size", size) < 1:
            raise AddressError("on_mmio: size must be at least 1")
        if any(start < end and first < start + size for first, end, _ in self._regions):
            raise AddressError(f"on_mmio: {start:#x}..{start + size - 1:#x} overlaps a region claimed before")
        if len(self._regions) == MAX_REGIONS:
            raise MachineError(f"on_mmio: there is room for {MAX_REGIONS} regions")
        self._regions.append((start, start + size, _Device(read, write, read is None and write is None)))
        self._regions_changed()

    def release_mmio(self, start: int) -> None:
        """Nobody answers any more for the range claimed from this address on; RAM that was under
        it is back."""
        start = _within("start", start, 36)
        kept = [region for region in self._regions if region[0] != start]
        if len(kept) == len(self._regions):
            raise AddressError(f"release_mmio: no range was claimed that begins at {start:#x}")
        self._regions = kept
        self._regions_changed()

    def _regions_changed(self) -> None:
        a = self._a
        self._regions.sort(key=lambda item: item[0])
        a.page_flags &= 0xFF - PAGE_MMIO
        for i, (first, end, _) in enumerate(self._regions):
            a.regions[2 * i], a.regions[2 * i + 1] = first, end
            a.page_flags[first // PAGE : -(-end // PAGE)] |= PAGE_MMIO
        a.handle[H_REGION_COUNT] = len(self._regions)
        self._host(self._handle, HOST_FLUSH_FAST, 0, 0)

    def _device_at(self, kind: int, where: int) -> _Device | None:
        if kind == 0:
            return self._ports.get(where)
        for first, end, device in self._regions:
            if first <= where < end:
                return device
        return None

    def _device_read(self, reason: int) -> Exit | None:
        c = self._c
        packed = c[EXIT_QUALIFICATION]
        size, where = packed >> 56, packed & 0xFF_FFFF_FFFF_FFFF
        kind = 0 if reason == EXIT_PORT_IN else 1
        device = self._device_at(1, where) if kind else self._ports.get(where)
        if device is None:  # only later bytes of the access are claimed
            value = 0
            for i in range(size):
                part = self._device_at(kind, where + i)
                byte = part.read(where + i, 1) if part and part.read else 0xFF
                value |= ((0xFF if byte is None else byte) & 0xFF) << (8 * i)
            self._answer(value)
            return None
        if device.explicit:
            self._pending = out = Exit(REASONS[reason], c[RIP], c[INSTRUCTIONS])
            out.address, out.size = where, size
            return out
        answer = device.read(where, size) if device.read is not None else None
        mask = (1 << 8 * size) - 1
        if answer is None:
            answer = mask
        try:
            self._answer(answer & mask)
        except TypeError:
            raise MachineError(
                f"the read handler of {where:#x} returned {answer!r}; return a whole number, or None for ones"
            ) from None
        return None

    def _answer(self, value: int) -> None:
        """Give the waiting read its value; the instruction restarts and takes it."""
        c = self._c
        history = self._history
        if history.checkpoints:
            history.log.append((c[INSTRUCTIONS], ANSWER, value))
            if len(history.log) > history.entries_due:
                self._due = 0
        count = c[REPLAY_COUNT]
        if count >= REPLAY_ROOM:
            raise MachineError(
                "one instruction made more device reads than there is room for; please report this"
            )
        c[REPLAY + count] = value
        c[REPLAY_COUNT] = count + 1

    def complete(self, value: int) -> None:
        """Answer the read that the last exit reported."""
        if self._pending is None:
            raise MachineError('nothing waits for a value: the last exit was no "port-in" or "mmio-read"')
        self._pending.value = value

    def _answer_pending(self) -> None:
        waiting, c = self._pending, self._c
        assert waiting is not None
        self._pending = None
        if waiting.eip != c[RIP] or waiting.instructions != c[INSTRUCTIONS]:
            self._poke(((REPLAY_COUNT, 0),))  # the program was sent elsewhere: the read is off
            return
        value, bits = waiting.value, 8 * waiting.size  # type: ignore[operator]
        if value is None:
            value = (1 << bits) - 1
        elif type(value) is not int or value >> bits:
            value = _within("exit.value", value, bits)
        self._answer(value)

    def _hand_over(self) -> Exit | None:
        """Give posted writes to their devices; an Exit for one that the caller shall see."""
        queue = self._queue
        while queue:
            where, value = queue.popleft()
            kind, size, where = where >> 60, where >> 56 & 15, where & 0xFF_FFFF_FFFF_FFFF
            device = self._device_at(kind, where)
            if device is None:
                for i in range(size):
                    part = self._device_at(kind, where + i)
                    if part and part.write:
                        part.write(where + i, value >> (8 * i) & 0xFF, 1)
            elif device.explicit:
                name = "mmio-write" if kind else "port-out"
                out = Exit(name, self._c[RIP], self._c[INSTRUCTIONS])
                out.address, out.size, out.value = where, size, value
                return out
            elif device.write is not None:
                device.write(where, value, size)
        return None

    # --- what software in ring 0 can do, for hypervisors in Python ----------------------

    def port_in(self, port: int, size: int = 1) -> int:
        """Read a port as IN would: the device sees it, the clock is charged its price.

        Ports claimed in Python (`on_port`, `claim_port`) cannot be read this way.
        """
        self._port_access(port, size)
        return self._core_value("device_access", DEVICE_READ, port | size << 16, 0) & (1 << 8 * size) - 1

    def port_out(self, port: int, value: int, size: int = 1) -> None:
        """Write a port as OUT would."""
        self._port_access(port, size)
        self._core_value("device_access", DEVICE_WRITE, port | size << 16, _within("value", value, 8 * size))

    def _port_access(self, port: int, size: int) -> None:
        port = _within("port", port, 16)
        if size not in (1, 2, 4):
            raise ValueError(f"size={size!r}: a port access has 1, 2 or 4 bytes")
        if any(number in self._ports for number in range(port, port + size)):
            raise MachineError(f"port {port:#x} is claimed in Python: ask the function that answers there")
        self.charge(self.costs.port)

    def charge(self, cycles: int) -> None:
        """Let the clock run on, for work that was done in Python but would take a processor time."""
        self._poke(((CYCLES, self._c[CYCLES] + _count("cycles", cycles)), (ATTENTION, 1)))

    @property
    def delivered_at(self) -> int:
        """The clock when the last exception or interrupt began to be delivered."""
        return self._c[DELIVERED_AT]  # type: ignore[no-any-return]

    # --- stopping ----------------------------------------------------------------------

    def break_at(self, address: int) -> None:
        """Stop before the instruction at a linear address is executed."""
        address = _within("address", address, 32)
        if address in self._breakpoints:
            return
        if len(self._breakpoints) == MAX_BREAKPOINTS:
            raise MachineError(f"there is room for {MAX_BREAKPOINTS} breakpoints; clear_break() removes them")
        self._breakpoints.append(address)
        self._debugger_words()

    def clear_break(self, address: int | None = None) -> None:
        """Remove a breakpoint, or all."""
        if address is None:
            self._breakpoints.clear()
        elif address in self._breakpoints:
            self._breakpoints.remove(address)
        else:
            known = ", ".join(f"{a:#x}" for a in self._breakpoints) or "none"
            raise MachineError(f"there is no breakpoint at {address:#x}; there are: {known}")
        self._debugger_words()

    @property
    def breakpoints(self) -> tuple[int, ...]:
        return tuple(self._breakpoints)

    def watch(self, address: int, size: int = 4, kind: str = "write") -> None:
        """Stop after an instruction that writes (or with "access": reads or writes) any of
        ``size`` bytes at a linear address."""
        address = _within("address", address, 32)
        if kind not in ("write", "access"):
            raise MachineError(f'watch: kind is "write" or "access", not {kind!r}')
        if _count("size", size) < 1 or address + size > 1 << 32:
            raise AddressError(f"watch: {size} bytes at {address:#x} are no range of addresses")
        if len(self._watches) == MAX_BREAKPOINTS:
            raise MachineError(f"there is room for {MAX_BREAKPOINTS} watchpoints; clear_watch() removes them")
        self._watches.append((address, address + size, 1 if kind == "write" else 2))
        self._debugger_words()

    def clear_watch(self, address: int | None = None) -> None:
        """Remove the watchpoints that begin at an address, or all."""
        kept = [w for w in self._watches if address is not None and w[0] != address]
        if address is not None and len(kept) == len(self._watches):
            raise MachineError(f"there is no watchpoint at {address:#x}")
        self._watches = kept
        self._debugger_words()

    def break_on(self, vector: int) -> None:
        """Stop before an exception is delivered, for example ``break_on(14)`` at page faults."""
        self._vectors.add(_within("vector", vector, 8))
        self._debugger_words()

    def clear_break_on(self, vector: int | None = None) -> None:
        """Deliver this exception, or all, without stopping."""
        self._vectors = {v for v in self._vectors if vector is not None and v != vector}
        self._debugger_words()

    def deliver(self) -> None:
        """Deliver the exception that the last exit reported; the handler is entered."""
        c = self._c
        self._deliver(c[EXIT_VECTOR], c[EXIT_VALUE])

    def _deliver(self, vector: int, error_code: int) -> None:
        c = self._c
        words = tuple((INTERCEPT_VECTORS + i, 0) for i in range(4))
        event = self._core("deliver", words, vector, 0, error_code)
        self._debugger_words()
        if event & EVENT_SHUTDOWN:
            self._exits[EXIT_SHUTDOWN] += 1
            raise MachineError(
                f"{VECTOR_NAMES.get(vector, vector)} could not be delivered, nor what followed: triple "
                "fault; restore a snapshot, rewind or reset"
            )
        self._poke(((INSTRUCTIONS, c[INSTRUCTIONS] + 1),))

    def _debugger_words(self) -> None:
        """Tell the core about breakpoints, watchpoints and vectors. No input: not logged."""
        c, a = self._c, self._a
        a.breakpoints[: len(self._breakpoints)] = self._breakpoints
        c[BREAKPOINT_COUNT] = len(self._breakpoints)
        for i, (start, end, kind) in enumerate(self._watches):
            a.watches[4 * i : 4 * i + 3] = (start, end, kind)
        a.handle[H_WATCH_COUNT] = len(self._watches)
        for i in range(4):
            c[INTERCEPT_VECTORS + i] = sum(1 << (v & 63) for v in self._vectors if v >> 6 == i)
        c[TRACING] = 0
        c[RESUME_BREAKPOINT] = 0
        c[RUN_DEADLINE] = NEVER
        c[ATTENTION] = 1
        self._host(self._handle, HOST_FLUSH_FAST, 0, 0)

    def _quiet(self, on: bool) -> None:
        """While history is replayed nothing stops."""
        self._replaying = on
        if on:
            c = self._c
            c[BREAKPOINT_COUNT] = 0
            self._a.handle[H_WATCH_COUNT] = 0
            for i in range(4):
                c[INTERCEPT_VECTORS + i] = 0
            self._host(self._handle, HOST_FLUSH_FAST, 0, 0)
        else:
            self._debugger_words()

    # --- snapshots ---------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The whole machine as data. Unchanged pages are shared with earlier snapshots."""
        a = self._a
        dirty = np.flatnonzero(a.page_flags & PAGE_DIRTY)
        if len(dirty):
            layer = Layer(next_layer_number(), a.ram_pages[dirty])
            self._table = self._table.with_pages(dirty, layer)
            a.page_flags[dirty] &= 0xFF - PAGE_DIRTY
            a.forget_writable()
        extra: dict[str, Any] = {"exits": list(self._exits), "queue": list(self._queue)}
        extra["asking"] = self._pending is not None and not self._c[REPLAY_COUNT]
        devices = None
        if self._platform is not None:
            extra["platform"] = self._platform.state()
            devices = (a.devices.copy(), a.device_bytes.copy())
        return Snapshot(self.ram_size, a.words.copy(), a.tlb.copy(), self._table, extra, devices)

    def restore(self, snapshot: Snapshot) -> None:
        """Go back (or forward) to a snapshot. The history begins anew there."""
        if self._running:
            raise MachineError("the machine is running: restore() cannot be called by a handler")
        if not isinstance(snapshot, Snapshot):
            raise SnapshotError(f"{type(snapshot).__name__} is no snapshot; take one with machine.snapshot()")
        if snapshot.ram_size != self.ram_size:
            raise SnapshotError(
                f"the snapshot has {snapshot.ram_size:,} bytes of RAM, this machine {self.ram_size:,}; "
                f"restore it in Machine(ram={snapshot.ram_size})"
            )
        if (snapshot.devices is None) != (self._platform is None):
            has, lacks = ("has none", "has") if snapshot.devices is None else ("has them", "has not")
            raise SnapshotError(
                f"the snapshot {has} of the PC's devices, this machine {lacks}: restore it in a machine "
                "made with the same devices"
            )
        self._put_back(snapshot)
        self._debugger_words()
        self._due = self._history.start(snapshot)

    def _put_back(self, snapshot: Snapshot) -> None:
        a = self._a
        differ = a.page_flags & PAGE_DIRTY != 0
        if snapshot.table is not self._table:
            differ |= snapshot.table.entries != self._table.entries
        pages = np.flatnonzero(differ)
        if len(pages):
            snapshot.table.read_into(a.ram_pages, pages)
            for page in pages[a.page_flags[pages] & PAGE_CODE != 0].tolist():
                self._host(self._handle, HOST_NOTIFY_WRITE, page * PAGE, PAGE)
            a.page_flags[pages] &= 0xFF - PAGE_DIRTY
        self._table = snapshot.table
        a.words[:] = snapshot.cpu
        a.tlb[:] = snapshot.tlb
        if snapshot.extra.get("asking"):  # nobody answers that read any more: its instruction begins anew
            self._c[TRAP_AFTER] = 0
            if self._c[SHADOW]:
                self._c[SHADOW] = self._c[SHADOW] & SHADOW_DEBUG | SHADOW_NEXT
        state_digest.recompute(a, self._host)
        if self._platform is not None and snapshot.devices is not None:
            a.devices[:], a.device_bytes[:] = snapshot.devices
            self._platform.restore(snapshot.extra["platform"])
        self._exits[:] = snapshot.extra.get("exits", [0] * len(REASONS))
        self._queue = deque((w, v) for w, v in snapshot.extra.get("queue", ()))
        self._pending = None

    def back(self, n: int = 1) -> Exit:
        """Rewind by n instructions: everything is as it was then, input included."""
        _count("n", n)
        if self._running:
            raise MachineError("the machine is running: back() cannot be called by a handler")
        if n:
            self._due = self._history.rewind(n)
        return Exit("rewound", self._c[RIP], self._c[INSTRUCTIONS])

    def digest(self) -> str:
        """A hash of the whole state, devices and RAM included (state_digest.py)."""
        more = [b"".join(word.to_bytes(8, "little") for write in self._queue for word in write)]
        if self._platform is not None:
            more += self._platform.media()
        return state_digest.digest(self._a, more)

    # --- tracing -----------------------------------------------------------------------

    def trace(self, n: int) -> Trace:
        """Run n instructions and record every change of registers and memory."""
        _count("n", n)
        a, c = self._a, self._c
        self._chunks = []
        # history has its checkpoint before the recording starts, not in the middle
        start = traced_words(self._row, self.cpu.eflags)
        segment = self.cpu.segment("cs")
        a.trace_cpu[:] = self._row
        a.trace_cpu[EFLAGS] = self.cpu.eflags
        a.handle[H_TRACE_USED] = 0
        a.page_flags |= PAGE_TRACED
        a.forget_writable()
        self._trace_start = start
        first = c[INSTRUCTIONS]
        c[TRACING], c[ATTENTION] = 1, 1
        try:
            out = self.run(max_instructions=n)
        finally:
            c[TRACING], c[ATTENTION] = 0, 1
            a.page_flags &= 0xFF - PAGE_TRACED
            a.forget_writable()
            self._take_chunk()
            chunks, self._chunks = self._chunks, None
        table = self.snapshot().table if any(chunk.switches() for chunk in chunks) else None
        return Trace(chunks, first, c[INSTRUCTIONS] - first, segment, self, out, table)

    def _take_chunk(self) -> None:
        if self._chunks is None:
            return
        a = self._a
        used = int(a.handle[H_TRACE_USED])
        if used:
            self._chunks.append(
                TraceChunk(a.trace[:used].copy(), self._trace_start, int(self._c[INSTRUCTIONS]))
            )
            self._trace_start = traced_words(self._row, self.cpu.eflags)
            a.handle[H_TRACE_USED] = 0

    # --- looks -------------------------------------------------------------------------

    def __repr__(self) -> str:
        return (
            f"Machine(ram={self.ram_size // 1024} KiB, instructions={self.instructions:,}, "
            f"cycles={self.cycles:,})\n{self.cpu!r}"
        )

    def _repr_html_(self) -> str:
        size = f"{self.ram_size // 1024:,} KiB of RAM"
        title = f"{size}, {self.instructions:,} instructions, {self.cycles:,} cycles"
        return f"<p>{html.escape(title)}</p>{self.cpu._repr_html_()}"


def _within(name: str, value: Any, bits: int) -> int:
    """A whole number of so many bits."""
    try:
        number = value.__index__()
    except AttributeError:
        raise RegisterError(f"{name} takes a whole number, not {value!r}") from None
    if not 0 <= number < 1 << bits:
        raise RegisterError(f"{name}={number:#x} is out of the range 0..{(1 << bits) - 1:#x}")
    return int(number)


def _count(name: str, value: Any) -> int:
    """A number of things."""
    try:
        number = value.__index__()
    except AttributeError:
        raise ValueError(f"{name} takes a whole number, not {value!r}") from None
    if not 0 <= number < NEVER:
        raise ValueError(f"{name}={number} is out of range; it is a count, 0 or more")
    return int(number)
