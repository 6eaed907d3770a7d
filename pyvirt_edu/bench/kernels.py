"""The guest programs that are timed, and how one is run on our machine.

A kernel is a blob for physical 0x10000 with its work count N at offset 8. It writes ``S`` to
port 0xE9 when the timed part begins, ``E`` and eight hexadecimal digits (the checksum) when it
ends, and halts.
"""

from __future__ import annotations

import os
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from .results import Result

if TYPE_CHECKING:
    from ..computer import Machine

BASE, STACK = 0x10000, 0x90000
RAM = 32 << 20
CONSOLE = 0xE9
OF_A_PC = "k"


@dataclass(frozen=True)
class Kernel:
    letter: str
    work: str
    code: bytes
    count: int  # N for a run of some tenths of a second
    per_unit: int  # guest instructions for each unit of N
    once: int = 0
    checksum: int | None = None  # at N=3
    folder: Path | None = None  # where it came from

    def blob(self, n: int) -> bytes:
        return self.code[:8] + struct.pack("<I", n) + self.code[12:]

    def instructions(self, n: int) -> int:
        return self.per_unit * n + self.once


#: letter: (work, N of a timed run, instructions a unit, instructions once, checksum at N=3)
KNOWN = {
    "a": ("ALU loop", 40_000_000, 6, 0, 0x8E2A3632),
    "b": ("sieve over 1 MiB", 2, 18_361_317, 0, 0x04DAD749),
    "d": ("recursive calls", 20, 802_385, 0, 0x0013BA67),
    "h": ("pointer chase, paging on", 2_000_000, 3, 741_654, 0x00439000),
    "i": ("system calls from ring 3", 1_000_000, 8, 0, 0x00000104),
    "j": ("page faults in ring 3", 2_000, 4626, 0, 0x00030600),
    "k": ("port accesses", 1_000_000, 4, 0, 0x0000ABCD),
    "l": ("self-modifying code", 40_000, 5, 0, 0x00000006),
}


def find(folder: Path | None = None) -> Path | None:
    """Where the shared kernels are: as told, by PYVIRT_KERNELS, or beside the clone."""
    places = [folder, os.environ.get("PYVIRT_KERNELS")]
    places.append(str(Path(__file__).resolve().parents[3] / "shared" / "kernels"))
    for place in places:
        if place and (Path(place) / "a.bin").exists():
            return Path(place)
    return None


def get(letter: str, place: Path | None) -> Kernel | None:
    """A kernel by its letter; one of ours if the shared ones are not there."""
    work, count, per_unit, once, checksum = KNOWN[letter]
    if place is not None:
        path = place / f"{letter}.bin"
        if path.exists():
            return Kernel(letter, work, path.read_bytes(), count, per_unit, once, checksum, place)
        return None
    from .own_kernels import SOURCES, assembled

    if letter not in SOURCES:
        return None
    return Kernel(letter, work, assembled(letter), count, SOURCES[letter].per_unit)


class Console:
    """What comes out of port 0xE9, and when the timed part began and ended."""

    def __init__(self) -> None:
        self.text = ""
        self.started = self.ended = 0.0

    def put(self, character: int) -> None:
        if character == ord("S"):
            self.started = time.perf_counter()
        elif character == ord("E") and not self.ended:
            self.ended = time.perf_counter()
        self.text += chr(character)

    @property
    def seconds(self) -> float:
        return self.ended - self.started

    @property
    def checksum(self) -> int:
        digits = self.text.partition("E")[2][:8]
        return int(digits, 16)


def prepared(kernel: Kernel, n: int) -> tuple[Machine, Console]:
    """A machine with the kernel loaded, about to start; for port accesses, a PC."""
    from ..computer import Machine

    devices = None if kernel.letter in OF_A_PC else ()
    machine, console = Machine(ram=RAM, devices=devices), Console()
    machine.on_port(CONSOLE, write=lambda port, value, size: console.put(value))
    machine.load(kernel.blob(n), at=BASE)
    machine.enter_protected_mode(eip=BASE, esp=STACK)
    return machine, console


def run_ours(kernel: Kernel, n: int) -> Console:
    machine, console = prepared(kernel, n)
    out = machine.run()
    if out.reason not in ("halt", "exit"):  # a PC has the exit port
        raise RuntimeError(f"kernel {kernel.letter} ended with {out!r}")
    return console


def compare(kernel: Kernel, peer: Any, pairs: int, target: float) -> Result:
    """Our speed as a multiple of the peer's."""
    n = kernel.count
    ratios, ours, theirs = [], [], []
    for _ in range(pairs):
        mine, other = run_ours(kernel, n), peer.run(kernel, n)
        if mine.checksum != other.checksum:
            raise RuntimeError(
                f"kernel {kernel.letter}: checksum {mine.checksum:08x}, {peer.NAME} says {other.checksum:08x}"
            )
        ours.append(kernel.instructions(n) / mine.seconds / 1e6)
        theirs.append(kernel.instructions(n) / other.seconds / 1e6)
        ratios.append(other.seconds / mine.seconds)
    detail = f"{kernel.work}: {median(ours):,.4g} against {median(theirs):,.4g} million instructions a second"
    return Result(f"{kernel.letter} / {peer.NAME}", "x", ratios, target, detail=detail)
