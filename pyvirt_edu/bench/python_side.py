"""What Python can do in a second: steps, port exits, recorded steps, snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from .results import Result

if TYPE_CHECKING:
    from ..machine.bare_machine import BareMachine

START, STACK = 0x10000, 0x90000
# add eax, edx; xor edx, eax; rol eax, 5; mov [esp-8], eax; inc ecx; jmp back
LOOP = bytes.fromhex("01d0 31c2 c1c005 894424f8 41 ebf2".replace(" ", ""))
# mov edx, 0x80; in al, dx; add ecx, eax; jmp back
PORT_LOOP = bytes.fromhex("ba80000000 ec 01c1 ebfb".replace(" ", ""))


def _machine(code: bytes, ram: str = "64MiB") -> BareMachine:
    from ..machine.bare_machine import BareMachine

    machine = BareMachine(ram=ram, devices=())
    machine.load(code, at=START)
    machine.enter_protected_mode(eip=START, esp=STACK)
    return machine


def steps(pairs: int) -> Result:
    """Single steps: step, and read EIP."""
    machine = _machine(LOOP)
    count, rates = 100_000, []
    for _ in range(pairs):
        started = time.perf_counter()
        for _ in range(count):
            machine.step()
            _ = machine.cpu.eip
        rates.append(count / (time.perf_counter() - started))
    return Result("single steps", "/s", rates, 300_000)


def port_exits(pairs: int) -> Result:
    """The exit is inspected, a handler runs, the guest is resumed."""
    machine = _machine(PORT_LOOP)
    machine.claim_port(0x80)
    count, rates = 100_000, []

    def handler(port: int) -> int:
        return port & 1

    for _ in range(pairs):
        started = time.perf_counter()
        for _ in range(count):
            exit_ = machine.run()
            if exit_.reason == "port-in":
                exit_.value = handler(exit_.address)  # type: ignore[arg-type]
        rates.append(count / (time.perf_counter() - started))
    return Result("port exits", "/s", rates, 400_000)


def port_handlers(pairs: int) -> Result:
    """The same with the handler registered by on_port."""
    machine = _machine(PORT_LOOP)
    machine.on_port(0x80, read=lambda port, size: port & 1)
    count, rates = 100_000, []
    for _ in range(pairs):
        started = time.perf_counter()
        machine.run(max_instructions=3 * count)
        rates.append(count / (time.perf_counter() - started))
    return Result("port handlers", "/s", rates, 400_000)


def tracing(pairs: int) -> Result:
    machine = _machine(LOOP)
    count, rates, size = 1_000_000, [], 0
    machine.trace(1000)
    for _ in range(pairs):
        started = time.perf_counter()
        trace = machine.trace(count)
        rates.append(count / (time.perf_counter() - started))
        size = trace.nbytes
    return Result("trace", "steps/s", rates, 5_000_000, detail=f"{size / count:.1f} bytes a step")


def first_snapshot(pairs: int) -> Result:
    """All of 64 MiB written, then the first snapshot."""
    times = []
    noise = np.random.default_rng(1).integers(0, 256, 64 << 20, np.uint8).tobytes()
    for _ in range(pairs):
        machine = _machine(LOOP)
        machine.write(0, noise)
        started = time.perf_counter()
        machine.snapshot()
        times.append(1000 * (time.perf_counter() - started))
    return Result("first snapshot of 64 MiB", "ms", times, 300, more=False)


def later_snapshot(pairs: int) -> Result:
    """A thousand pages written, snapshot, a thousand others written, restore."""
    machine = _machine(LOOP)
    machine.write(0, b"\1" * (64 << 20))
    machine.snapshot()
    times = []
    for turn in range(pairs):
        for page in range(1000):
            machine.write(0x100000 + 4096 * page, bytes([turn + 2]))
        started = time.perf_counter()
        snapshot = machine.snapshot()
        middle = time.perf_counter()
        for page in range(1000):
            machine.write(0x300000 + 4096 * page, bytes([turn + 3]))
        again = time.perf_counter()
        machine.restore(snapshot)
        times.append(1000 * (time.perf_counter() - again + middle - started))
    return Result("snapshot + restore, 1000 pages", "ms", times, 20, more=False)


def _instructions() -> list[bytes]:
    """The different instructions of sprout's kernel, and one of each row of the opcode table."""
    from ..guests import sprout
    from ..guests.elf import parse
    from ..machine.decode.instruction_decoder import decode
    from ..machine.decode.instruction_forms import modrm_bytes, places
    from ..machine.opcodes import ROWS

    found = {}
    for row in ROWS:
        code = bytes((0x0F, row.opcode) if row.two_byte else (row.opcode,))
        if row.has_modrm:
            code += bytes(modrm_bytes(row, places(row, 32))[:1])
        if i := decode(code + bytes(10)):
            found[i.code] = True
    text = max((segment.data for segment in parse(sprout.image().read_bytes(), "sprout").segments), key=len)
    at = 0
    while at < len(text):
        i = decode(text, 32, at, at)
        at += i.length if i else 1
        if i:
            found[i.code] = True
    return list(found)


def instructions(pairs: int) -> Result:
    """An instruction from bytes to an object and back, each met for the first time."""
    from ..machine.decode.instruction_decoder import decode
    from ..machine.decode.instruction_encoder import encode

    codes, times = _instructions(), []
    for _ in range(pairs):
        started = time.process_time()  # other programs' time does not count
        for code in codes:
            encode(decode(code))  # type: ignore[arg-type]  # all of them are instructions
        times.append(1e6 * (time.process_time() - started) / len(codes))
    detail = f"{len(codes):,} instructions"
    return Result("decode + encode in Python", "us each", times, 10, more=False, detail=detail)


MEASUREMENTS: tuple[tuple[str, Callable[[int], Result]], ...] = (
    ("single steps", steps),
    ("port exits", port_exits),
    ("port handlers", port_handlers),
    ("trace", tracing),
    ("first snapshot", first_snapshot),
    ("later snapshots", later_snapshot),
    ("decode and encode", instructions),
)
