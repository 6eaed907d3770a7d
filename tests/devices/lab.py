"""Port accesses from Python, and the same ones on our PC and on QEMU."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.clock import CPU_HZ
from pyvirt_edu.devices.layout import OP_ACKNOWLEDGE, OP_EVENT
from pyvirt_edu.devices.pit import BEGIN, cycles_at
from pyvirt_edu.machine.state.layout import CYCLES, INTERRUPT_PIN, TIMER

QEMU = "qemu-system-i386"
TABLE = 0x8000
BY_INSTRUCTIONS = ("-icount", "shift=2,sleep=off")  # options of QEMU: time does not depend on the host


class Ports:
    """IN and OUT from Python: each executes one instruction of the guest."""

    def __init__(self, machine: Machine | None = None) -> None:
        self.m = machine or Machine(ram="1MiB", history=False)
        self.m.load(bytes.fromhex("ec ee 66ed 66ef ed ef"), at=0x1000)
        self.m.cpu.cs = self.m.cpu.ss = self.m.cpu.ds = 0
        self.m.cpu.sp = 0x9000

    def _do(self, offset: int, port: int, value: int) -> int:
        m = self.m
        m.cpu.edx, m.cpu.eax, m.cpu.eip = port, value, 0x1000 + offset
        m.step()
        return int(m.cpu.eax)

    def inb(self, port: int) -> int:
        return self._do(0, port, 0) & 0xFF

    def inl(self, port: int) -> int:
        return self._do(2, port, 0)

    def out(self, port: int, *values: int) -> None:
        for value in values:
            self._do(1, port, value)

    def wait_cycles(self, cycles: int) -> None:
        """Let time pass, event by event."""
        m = self.m
        end = m.cycles + cycles
        while m._c[TIMER] <= end:
            m._poke(((CYCLES, max(m._c[TIMER], m.cycles)),))
            m._tell_devices(OP_EVENT)
        m._poke(((CYCLES, end),))

    def wait(self, seconds: float) -> None:
        self.wait_cycles(round(seconds * CPU_HZ))

    @property
    def intr(self) -> int:
        """The level of the processor's INTR pin."""
        return int(self.m._c[INTERRUPT_PIN])

    def acknowledge(self) -> int:
        """INTA cycles: the vector that comes."""
        return int(self.m._units["device_access"](self.m._handle, OP_ACKNOWLEDGE, 0, 0))

    def to_tick(self, tick: int) -> None:
        """Go on to just after a pulse of the timer chip."""
        self.wait_cycles(int(cycles_at.py_func(tick + BEGIN)) - self.m.cycles)


# A step is ("in", port), ("drop", port) for a read whose value does not matter, or
# ("out", port, value), byte-wide. The table has an entry of four
# bytes for each; what is read goes out on port E9h at once.
INTERPRETER = f"""
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7000
    mov ax, 0x0210              ; the BIOS reads 16 sectors behind this one
    mov cx, 2
    mov dx, 0
    mov bx, {TABLE}
    int 0x13
start:
    cli
    cld
    mov si, {TABLE}
next:
    lodsb
    cmp al, 0
    je done
    mov cl, al
    lodsw
    mov dx, ax
    lodsb
    cmp cl, 1
    je read
    out dx, al
    jmp next
read:
    in al, dx
    mov dx, 0xe9
    out dx, al
    jmp next
done:
    mov al, 0
    out 0xf4, al
hang:
    jmp hang
"""
Step = tuple[str, int] | tuple[str, int, int]


def _table(steps: list[Step]) -> bytes:
    rows = []
    for step in steps:
        value = step[2] if len(step) == 3 else 0
        rows.append(bytes([2 if step[0] == "out" else 1]) + step[1].to_bytes(2, "little") + bytes([value]))
    table = b"".join(rows)
    assert len(table) < 16 * 512
    return table


def on_ours(steps: list[Step]) -> list[int]:
    m = Machine(ram="1MiB", history=False)
    code = assemble(INTERPRETER, bits=16, origin=0x7C00)
    m.load(code, at=0x7C00)
    m.load(_table(steps) + b"\0", at=TABLE)
    m.cpu.cs = m.cpu.ds = m.cpu.es = m.cpu.ss = 0
    m.cpu.ip = 0x7C00 + code.index(bytes.fromhex("cd13")) + 2
    assert m.run(max_instructions=100_000).reason == "exit"
    return list(m.console.output)


def on_qemu(steps: list[Step], *options: str) -> list[int]:
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed: no comparison with it")
    sector = assemble(INTERPRETER, bits=16, origin=0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "floppy.img"
        image.write_bytes((sector + _table(steps)).ljust(1440 * 1024, b"\0"))
        command = [QEMU, "-accel", "tcg", "-m", "16", "-display", "none", "-no-reboot", "-net", "none"]
        command += ["-drive", f"file={image},format=raw,if=floppy", "-boot", "a", *options]
        command += ["-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr.decode()
    return list(done.stdout)


def compare(
    steps: list[Step],
    *options: str,
    masks: dict[int, int] | None = None,
    mask_reads: list[int] | None = None,
) -> None:
    """Both read the same, step by step; of some ports or reads only the bits of a mask count."""
    theirs, ours = on_qemu(steps, *options), on_ours(steps)
    reads = [step for step in steps if step[0] != "out"]
    assert len(ours) == len(theirs) == len(reads)
    for i, (step, mine, other) in enumerate(zip(reads, ours, theirs, strict=True)):
        if step[0] == "drop":
            continue
        bits = mask_reads[i] if mask_reads else (masks or {}).get(step[1], 0xFF)
        assert mine & bits == other & bits, (
            f"read {i} of port {step[1]:#x}: {mine:#04x}, QEMU says {other:#04x}"
        )
