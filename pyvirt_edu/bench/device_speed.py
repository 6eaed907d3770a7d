"""How fast a guest gets data through devices, in megabytes a second of the host's time."""

from __future__ import annotations

import time
from collections.abc import Callable

from .results import Result

CODE, STACK, DATA = 0x10000, 0x9000, 0x20000
BYTES = 500_000
POLLED = """
    mov esi, 0x20000
    mov ecx, {count}
next:
    mov edx, 0x3fd
wait:
    in al, dx               ; until the transmitter is free
    test al, 0x20
    jz wait
    mov edx, 0x3f8
    lodsb
    out dx, al
    dec ecx
    jnz next
    hlt
"""
REPEATED = """
    mov esi, 0x20000
    mov ecx, {count}
    mov edx, 0x3f8
    rep outsb
    hlt
"""


def _serial(name: str, source: str, pairs: int) -> Result:
    from ..computer import Machine
    from ..machine.assembler import assemble

    machine = Machine(ram="4MiB")
    text = bytes(32 + i % 64 for i in range(BYTES))
    machine.load(text, at=DATA)
    machine.load(assemble(source.format(count=BYTES), bits=32, origin=CODE), at=CODE)
    rates = []
    for _ in range(pairs):
        machine.reset()
        machine.enter_protected_mode(eip=CODE, esp=STACK)
        started = time.perf_counter()
        machine.run()
        output = machine.console.output
        rates.append(BYTES / (time.perf_counter() - started) / 1e6)
        if output != text:
            raise RuntimeError(f"{name}: {len(output):,} bytes came out, not the {BYTES:,} that were sent")
    return Result(name, "MB/s", rates, 2.0)


def serial_polled(pairs: int) -> Result:
    """A loop that asks LSR before each byte."""
    return _serial("serial output, polled", POLLED, pairs)


def serial_repeated(pairs: int) -> Result:
    """REP OUTSB to the transmitter."""
    return _serial("serial output, REP OUTSB", REPEATED, pairs)


MEASUREMENTS: tuple[tuple[str, Callable[[int], Result]], ...] = (
    ("serial output, polled", serial_polled),
    ("serial output, REP OUTSB", serial_repeated),
)
