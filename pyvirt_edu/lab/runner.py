"""A guest that runs in a thread of its own, so that the notebook stays free.

The rule kept here: only one thread touches the machine at a time, the one that holds
`Runner.lock`. The thread lets go of it at least every 20 ms, and at once when somebody waits:

    with widget.held() as m:      # between two slices
        m.cpu.eax

What is typed waits in a queue and enters the machine between slices, as far as there is room.
A guest that sleeps is paced by the wall clock, and its thread sleeps too.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..devices.clock import CPU_HZ
from ..devices.keys import CODES, NAMED, SHIFTED
from ..machine.errors import MachineError
from ..machine.exits import Exit
from .terminal import Terminal

LONG, SHORT = 0.015, 0.006  # seconds that a slice should take
FIRST, FEWEST, MOST = 20_000, 500, 50_000_000  # instructions of a slice
STRIDE = 0.05  # simulated seconds that pass in a slice at most
SHOWN_EVERY = 0.06  # seconds between two pictures
KEPT_SECONDS = 120
PIECE = 64  # bytes that enter the serial port at once
KEYS_AHEAD = 32  # bytes in the keyboard's own queue

Listener = Callable[[], None]


def told(error: Exception) -> str:
    """An error for the status line; ours are sentences already."""
    return str(error) if isinstance(error, MachineError) else f"{type(error).__name__}: {error}"


class Runner:
    """Runs a machine in slices; widgets listen to it. One for each machine: `runner(machine)`."""

    def __init__(self, machine: Any, run: Callable[..., Exit] | None = None) -> None:
        self.machine = machine
        self.lock = threading.RLock()
        self.terminal = Terminal()
        self.news = self.terminal.take()  # for the listeners: what `Terminal.take` said last
        self.error = ""
        self.why = ""  # the last run's end, if it was not a pause
        self._run = run
        self._size = FIRST
        self._waiting: set[int] = set()  # threads that want the lock
        self._go = threading.Event()  # cleared: paused
        self._wake = threading.Event()  # something happened: look
        self._closed = False
        self._thread: threading.Thread | None = None
        self._serial = bytearray()
        self._keys: deque[tuple[str, ...]] = deque()
        self._listeners: list[Listener] = []
        self._output: deque[bytes] = deque()
        self._past: deque[tuple[float, int]] = deque()  # seconds of running, instructions
        self._seconds = 0.0
        self._shown = 0.0
        self.start = machine.snapshot()
        if machine._platform is not None:
            self.terminal.feed(machine.console.output)
            machine.console.attach(self._output.append)

    # --- for widgets -------------------------------------------------------------------

    def listen(self, listener: Listener) -> None:
        """Call back when there is something new to show."""
        self._listeners.append(listener)

    def forget(self, listener: Listener) -> None:
        """The last one to leave ends the thread."""
        if listener in self._listeners:
            self._listeners.remove(listener)
        if not self._listeners:
            self.close()

    def tell(self) -> None:
        """Let everybody show what there is."""
        with self.held():
            while self._output:
                self.terminal.feed(self._output.popleft())
            self.news = self.terminal.take()
            for listener in list(self._listeners):
                try:
                    listener()
                except Exception as error:  # a widget that is gone must not stop the guest
                    self.error = told(error)

    @contextmanager
    def held(self) -> Iterator[Any]:
        """The machine, between two slices."""
        me = threading.get_ident()
        self._waiting.add(me)
        try:
            self.lock.acquire()
        finally:
            self._waiting.discard(me)
        try:
            yield self.machine
        finally:
            self.lock.release()

    # --- running -----------------------------------------------------------------------

    @property
    def running(self) -> bool:
        return self._go.is_set()

    def run(self) -> None:
        """Go on."""
        if self._closed:
            raise MachineError("this widget was closed; make a new one to run the machine")
        self.error = self.why = ""
        if self._thread is None:
            # a daemon, for the notebook's end is its end; and it must not keep an abandoned runner alive
            self._thread = threading.Thread(target=_loop, args=(weakref.ref(self),), daemon=True)
            self._thread.start()
        self._past.append((self._seconds, self.machine.instructions))
        self._go.set()
        self._wake.set()

    def pause(self) -> None:
        """Stop after the slice under way; when this returns, the machine stands still."""
        self._go.clear()
        self._wake.set()
        self.tell()

    def close(self) -> None:
        """End the thread."""
        self._closed = True
        self._go.clear()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5)
        if self.machine._platform is not None and not self._listeners:
            self.machine.console.attach(None)
        _RUNNERS.pop(id(self.machine), None)

    def step(self, n: int = 1) -> None:
        """Pause, and run so many instructions."""
        self.pause()
        self._safely(lambda: self._ended(self._advance(n)))

    def back(self, n: int = 1) -> None:
        """Pause, and go back by so many instructions."""
        self.pause()
        self._safely(lambda: self._rewind(n))

    def back_seconds(self, seconds: float = 1.0) -> None:
        """Pause, and go back to where the machine stood so many seconds of running ago."""
        self.pause()
        now, before = self.machine.instructions, None
        for when, instructions in self._past:
            if before is None or when <= self._seconds - seconds:
                before = instructions
        self._safely(lambda: self._rewind(max(now - before, 0) if before is not None else 0))

    def reset(self) -> None:
        """Pause, and go back to the snapshot that was taken when the first widget was made."""
        self.pause()
        self._safely(self._restore)

    def _safely(self, action: Callable[[], Any]) -> None:
        self.error = self.why = ""
        with self.held():
            try:
                action()
            except Exception as error:
                self.error = told(error)
        self.tell()

    def _rewind(self, n: int) -> None:
        self.machine.back(n)
        self._look_again()

    def _restore(self) -> None:
        self._serial.clear()
        self._keys.clear()
        self.machine.restore(self.start)
        self._look_again()

    def _look_again(self) -> None:
        """The past has changed: what was said since is not said."""
        now = self.machine.instructions
        while self._past and self._past[-1][1] >= now:
            self._seconds = self._past.pop()[0]
        self._output.clear()
        self.terminal = Terminal()
        if self.machine._platform is not None:
            self.terminal.feed(self.machine.console.output)

    # --- typing ------------------------------------------------------------------------

    def type(self, text: str | bytes) -> None:
        """For the serial port."""
        self._serial += text.encode() if isinstance(text, str) else text
        self._enter()

    def press(self, *names: str) -> None:
        """For the keyboard: keys pressed together; a single character is typed as it stands."""
        for name in names:
            letter = len(names) == 1 and (name in NAMED or name in SHIFTED or name.lower() in CODES)
            if name not in CODES and not letter:
                raise MachineError(f"a US keyboard has no key for {name!r}")
        self._keys.append(names)
        self._enter()

    def _enter(self) -> None:
        """A waiting guest goes on; a paused one finds it when it runs."""
        if self.running:
            self._wake.set()
        elif self.why.startswith("halt") and self._thread is not None:
            self.run()
        else:
            self._safely_feed()

    def _safely_feed(self) -> None:
        with self.held():
            try:
                self._feed()
            except Exception as error:
                self.error = told(error)
        self.tell()

    def _feed(self) -> None:
        """What was typed enters the machine, as far as there is room."""
        machine = self.machine
        while self._serial and machine.console.waiting < PIECE:
            piece = bytes(self._serial[:PIECE])
            del self._serial[:PIECE]
            machine.console.type(piece)
        while self._keys and machine.keyboard.waiting < KEYS_AHEAD:
            names = self._keys.popleft()
            if len(names) == 1 and len(names[0]) == 1:
                machine.keyboard.type(names[0])
            else:
                machine.keyboard.press(*names)

    # --- in the thread -----------------------------------------------------------------

    def _slice(self) -> float:
        """Run a little; how many seconds to sleep afterwards."""
        machine = self.machine
        while self._waiting:
            time.sleep(0.0005)
        with self.lock:
            if not self.running:
                return 0.0
            started = time.perf_counter()
            cycles, idle = machine.cycles, machine.idle_cycles
            try:
                if self._serial or self._keys:
                    self._feed()
                out = self._advance(self._size)
            except Exception as error:
                self.error = told(error)
                self._go.clear()
                return 0.0
            elapsed = time.perf_counter() - started
            asleep = (machine.idle_cycles - idle) / CPU_HZ
            passed = (machine.cycles - cycles) / CPU_HZ
            if elapsed > LONG or passed > STRIDE:
                self._size = max(self._size // 2, FEWEST)
            elif elapsed < SHORT and passed < STRIDE / 2:
                self._size = min(self._size * 2, MOST)
            self._seconds += elapsed
            self._past.append((self._seconds, machine.instructions))
            while self._past[0][0] < self._seconds - KEPT_SECONDS:
                self._past.popleft()
            if out.reason not in ("limit", "deadline", "reset"):
                self._ended(out)
                self._go.clear()
            return max(passed - elapsed, 0.0) if asleep > passed / 2 else 0.0

    def _advance(self, n: int) -> Exit:
        if self._run is not None:
            return self._run(max_instructions=n)
        out: Exit = self.machine.run(max_instructions=n, max_cycles=int(STRIDE * CPU_HZ))
        return out

    def _ended(self, out: Exit) -> None:
        if out.reason in ("limit", "deadline"):
            return
        if out.reason == "exit":
            self.why = f"ended with status {out.status}"
        else:
            self.why = f"{out.reason}: {out.meaning}" if out.meaning else repr(out)

    def _turn(self) -> bool:
        """One round of the thread; False when it is over."""
        if self._closed:
            return False
        if not self.running:
            self._wake.wait(1.0)
            self._wake.clear()
            return True
        sleep = self._slice()
        now = time.perf_counter()
        if now - self._shown > SHOWN_EVERY or not self.running:
            self._shown = now
            self.tell()
        if sleep > 0:
            self._wake.wait(min(sleep, 0.5))
            self._wake.clear()
        return True

    # --- looks -------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What the status line says."""
        m = self.machine
        state = "running" if self.running else "paused"
        if self.running:
            pass
        elif self.error:
            state = "stopped"
        elif self.why.startswith("halt"):
            state = "halted"
        elif self.why:
            state = "stopped"
        return {
            "state": state,
            "why": self.error or self.why,
            "instructions": m.instructions,
            "cycles": m.cycles,
            "ring": m.cpu.cpl,
            "eip": m.cpu.eip,
        }

    def sentence(self) -> str:
        """The status as text."""
        s = self.status()
        told = (
            f"{s['state']} · {s['instructions']:,} instructions · {s['cycles']:,} cycles · ring {s['ring']}"
        )
        return f"{told} · eip {s['eip']:08x}" + (f" · {s['why']}" if s["why"] else "")


def _loop(found: weakref.ref[Runner]) -> None:
    while True:
        runner = found()
        if runner is None or not runner._turn():
            return
        del runner


#: By the number of the machine; a runner keeps its machine, so the number stays its own.
_RUNNERS: weakref.WeakValueDictionary[int, Runner] = weakref.WeakValueDictionary()


def runner(machine: Any, run: Callable[..., Exit] | None = None) -> Runner:
    """The one runner of a machine. ``run(max_instructions=n)`` lets a hypervisor do the running."""
    found = _RUNNERS.get(id(machine))
    if found is None or found._closed:
        found = _RUNNERS[id(machine)] = Runner(machine, run)
    elif run is not None:
        found._run = run
    return found
