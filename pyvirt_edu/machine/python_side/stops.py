"""What stops a run: breakpoints, watchpoints, exceptions that are looked at before they are delivered,
and host calls.

But for host calls they are the debugger's, not the guest's: no part of a snapshot, and not in the history.
Invariant: outside a replay and a delivery the words that the core looks at say what the lists here
say; whatever changes a list, or puts back the processor's row, calls `_debugger_words`.

A host call is how software in ring 0 that is written in Python gets the processor: UD2 at CPL 0 calls a
function instead of raising #UD. It belongs to the machine: `back` makes the calls of the past again, and
the state of who answers is in snapshots (`attach`).
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import AddressError, MachineError
from ..exits import REASONS, VECTOR_NAMES, Exit
from ..memory.hostaccess_ops import HOST_FLUSH_FAST
from ..state.arrays import Arrays
from ..state.layout import (
    ATTENTION,
    BASE,
    BREAKPOINT_COUNT,
    CPL,
    CS,
    EVENT_SHUTDOWN,
    EXIT_BREAKPOINT,
    EXIT_EXCEPTION,
    EXIT_LINEAR,
    EXIT_QUALIFICATION,
    EXIT_SHUTDOWN,
    EXIT_VALUE,
    EXIT_VECTOR,
    EXIT_WATCHPOINT,
    H_WATCH_COUNT,
    INSTRUCTIONS,
    INTERCEPT_VECTORS,
    MAX_BREAKPOINTS,
    NEVER,
    RESUME_BREAKPOINT,
    RIP,
    RUN_DEADLINE,
    TRACING,
    UD,
)
from .checks import amount, within
from .inputs import CALLED, FAULT, Inputs

M32 = 0xFFFF_FFFF


class Stops(Inputs):
    """Where to stop, and where the last run did."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._breakpoints: list[int] = []
        self._watches: list[tuple[int, int, int]] = []
        self._vectors: set[int] = set()
        self._host_call: Callable[[], Exit | None] | None = None
        self._stop = (0, -1)  # linear address and instruction count of the last breakpoint
        self._replaying = False  # `back` repeats the past: nothing of it is for the outside

    def break_at(self, address: int) -> None:
        """Stop before the instruction at a linear address is executed."""
        address = within("address", address, 32)
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
        address = within("address", address, 32)
        if kind not in ("write", "access"):
            raise MachineError(f'watch: kind is "write" or "access", not {kind!r}')
        if amount("size", size) < 1 or address + size > 1 << 32:
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
        self._vectors.add(within("vector", vector, 8))
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

    def on_host_call(self, function: Callable[[], Exit | None]) -> None:
        """Let a function play the program in ring 0: it is called when UD2 is to be executed there, and
        returns None to go on, wherever it has put EIP, or an Exit that ends the run. UD2 further out
        is #UD as ever."""
        if self._host_call is not None:
            raise MachineError("this machine has a hypervisor already; make another machine")
        self._host_call = function
        self._debugger_words()

    def _make_host_call(self) -> Exit | None:
        """The core has met UD2."""
        assert self._host_call is not None
        c = self._c
        self._in_host_call = True
        try:
            if c[CPL] == 0:
                return self._host_call()
            self.deliver()
            return None
        finally:
            self._in_host_call = False

    # --- the core's side -------------------------------------------------------------

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
        c[INTERCEPT_VECTORS] |= self._host_vector()
        c[TRACING] = 0
        c[RESUME_BREAKPOINT] = 0
        c[RUN_DEADLINE] = NEVER
        c[ATTENTION] = 1
        self._host(self._handle, HOST_FLUSH_FAST, 0, 0)

    def _host_vector(self) -> int:
        """The bit of INTERCEPT_VECTORS that host calls need."""
        return 1 << UD if self._host_call is not None else 0

    def _quiet(self, on: bool) -> None:
        """While history is replayed nothing stops."""
        self._replaying = on
        if on:
            c = self._c
            c[BREAKPOINT_COUNT] = 0
            self._a.handle[H_WATCH_COUNT] = 0
            for i in range(4):
                c[INTERCEPT_VECTORS + i] = 0
            c[INTERCEPT_VECTORS] = self._host_vector()
            self._host(self._handle, HOST_FLUSH_FAST, 0, 0)
        else:
            self._debugger_words()

    def _other_exit(self, reason: int) -> Exit | None:
        c = self._c
        if reason == EXIT_EXCEPTION and self._host_call is not None and c[EXIT_VECTOR] == UD:
            now, out = c[INSTRUCTIONS], self._make_host_call()
            if out is not None and self._history.checkpoints:
                self._history.log.append((now, CALLED, None))
            return out
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
