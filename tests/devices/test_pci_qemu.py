"""Configuration space beside QEMU's board: who is there, and which bits can be written."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble

from .lab import QEMU

TABLE = 0x8000
HOST, ISA, IDE, DISPLAY, NETWORK = 0, 0x800, 0x900, 0x1000, 0x1800
READ, WRITE = 0, 1

# Rows of 9 bytes: read (print four bytes on port E9h) or write, where, value.
PROGRAM = f"""
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7000
    mov ax, 0x0204              ; the BIOS reads the table behind this sector
    mov cx, 2
    mov dx, 0
    mov bx, {TABLE:#x}
    int 0x13
    cli
    cld
    mov si, {TABLE:#x}
row:
    lodsb
    cmp al, 0xff
    je done
    mov bl, al
    lodsd
    mov dx, 0xcf8
    out dx, eax
    lodsd
    mov dx, 0xcfc
    cmp bl, 1
    je write
    in eax, dx
    mov dx, 0xe9
    mov cx, 4
show:
    out dx, al
    shr eax, 8
    loop show
    jmp row
write:
    out dx, eax
    jmp row
done:
    mov al, 0
    out 0xf4, al
hang:
    jmp hang
"""


def row(operation: int, where: int, value: int = 0) -> bytes:
    return bytes([operation]) + (1 << 31 | where).to_bytes(4, "little") + value.to_bytes(4, "little")


#: What is read, and the bits of it that are judged: identity, class, what stays of all ones.
READS: list[tuple[int, int]] = [
    *((where, 0xFFFF_FFFF) for where in (HOST, ISA, IDE, DISPLAY, NETWORK, 0x2000, 0x10000, 0x801 << 8)),
    *((where + 8, 0xFFFF_0000) for where in (HOST, ISA, IDE, DISPLAY, NETWORK)),
    *((where + 0x0C, 0x00FF_0000) for where in (HOST, ISA, IDE, DISPLAY, NETWORK)),
    *((where + 0x2C, 0xFFFF_FFFF) for where in (HOST, ISA, IDE, DISPLAY, NETWORK)),
    (HOST + 0x3C, 0x0000_FF00),
    (NETWORK + 0x3C, 0x0000_FF00),
]
WRITTEN: list[tuple[int, int, int]] = [
    (NETWORK + 0x10, 0xFFFF_FFFF, 0xFFFF_FF01),  # an RTL8029 has 32 ports, QEMU gives it 256
    (NETWORK + 0x10, 0x0000_D000, 0xFFFF_FFFF),
    (HOST, 0, 0xFFFF_FFFF),
    (ISA + 0x60, 0x0B0A_0980, 0xFFFF_FFFF),
    (HOST + 0x5C, 0x3021_1203, 0x3333_3333),
]


def table() -> bytes:
    rows = [row(READ, where) for where, _ in READS]
    for where, value, _ in WRITTEN:
        rows += [row(WRITE, where, value), row(READ, where)]
    return b"".join(rows) + b"\xff"


def ours() -> bytes:
    m = Machine(ram="1MiB", history=False)
    code = assemble(PROGRAM, bits=16, origin=0x7C00)
    m.load(code, at=0x7C00)
    m.load(table(), at=TABLE)
    m.cpu.cs = m.cpu.ds = m.cpu.es = m.cpu.ss = 0
    m.cpu.sp, m.cpu.ip = 0x7000, 0x7C00 + code.index(bytes.fromhex("cd13")) + 2
    assert m.run(max_instructions=100_000).reason == "exit"
    return m.console.output


def theirs(folder: Path) -> bytes:
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed: no comparison with it")
    start = assemble(PROGRAM, bits=16, origin=0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    (folder / "floppy.img").write_bytes((start + table()).ljust(1440 * 1024, b"\0"))
    command = [QEMU, "-accel", "tcg", "-M", "pc,acpi=off", "-m", "16", "-display", "none", "-no-reboot"]
    command += ["-drive", f"file={folder / 'floppy.img'},format=raw,if=floppy", "-boot", "a"]
    command += ["-net", "none", "-device", "ne2k_pci,addr=3"]
    command += ["-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr.decode()
    return done.stdout


def test_configuration_space_as_on_qemu(tmp_path: Path) -> None:
    other, mine = theirs(tmp_path), ours()
    judged = READS + [(where, mask) for where, _, mask in WRITTEN]
    assert len(mine) == len(other) == 4 * len(judged)
    for i, (where, mask) in enumerate(judged):
        a, b = (int.from_bytes(x[4 * i : 4 * i + 4], "little") & mask for x in (mine, other))
        assert a == b, f"{where:#06x}: {a:#010x}, QEMU says {b:#010x}"
