"""The same IDE commands on our PC and on QEMU: status, error register and data must agree."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble

from .lab import QEMU

TABLE = 0x8000
IMAGE = random.Random(11).randbytes(1024 * 512)
PLAIN, DATA_OUT, HIDE = 0, 1, 2

# For each row of 8 bytes (kind, then the registers 1F1h to 1F7h): the command, as many blocks of
# data as the drive wants to move, and on port E9h the sum of the words read, the status at the
# end, and the error register.
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
start:
    cli
    cld
    mov al, 2
    mov dx, 0x3f6
    out dx, al
    mov si, {TABLE:#x}
row:
    lodsb
    cmp al, 0xff
    je done
    mov bl, al
    mov dx, 0x1f1
    mov cx, 7
    push bx
set:
    lodsb
    out dx, al
    inc dx
    loop set
    mov bx, 0
block:
    mov dx, 0x3f6
    mov cx, 50
settle:
    in al, dx
    loop settle
busy:
    in al, dx
    test al, 0x80
    jnz busy
    test al, 8
    jz end
    pop ax
    push ax
    test al, 1
    mov dx, 0x1f0
    mov cx, 256
    jnz give
take:
    in ax, dx
    add bx, ax
    rol bx, 1
    loop take
    jmp block
give:
    mov ax, cx
    out dx, ax
    loop give
    jmp block
end:
    mov dx, 0x1f7
    in al, dx
    mov cl, al
    pop ax
    test al, 2
    jz show
    mov bx, 0
show:
    mov dx, 0xe9
    mov al, bl
    out dx, al
    mov al, bh
    out dx, al
    mov al, cl
    out dx, al
    mov dx, 0x1f1
    in al, dx
    mov dx, 0xe9
    out dx, al
    jmp row
done:
    mov al, 0
    out 0xf4, al
hang:
    jmp hang
"""


def row(code: int, lba: int = 0, count: int = 1, kind: int = PLAIN, features: int = 0) -> bytes:
    address = lba.to_bytes(4, "little")
    return bytes([kind, features, count]) + address[:3] + bytes([0xE0 | address[3], code])


def chs(code: int, cylinder: int, head: int, sector: int, count: int = 1) -> bytes:
    return bytes([PLAIN, 0, count, sector, cylinder & 0xFF, cylinder >> 8, 0xA0 | head, code])


ROWS = [
    row(0xEC, kind=HIDE),
    row(0x20, 5),
    row(0x20, 0, 20),
    row(0x21, 1000, 24),
    row(0x30, 40, 3, DATA_OUT),
    row(0x20, 39, 5),
    chs(0x20, 0, 3, 7, 2),
    chs(0x91, 0, 3, 0, 10),
    chs(0x20, 1, 2, 10, 4),
    row(0xC6, count=8),
    row(0xC4, 30, 20),
    row(0xC5, 100, 11, DATA_OUT),
    row(0xC4, 98, 16),
    row(0xC6, count=3),
    row(0x40, 10, 5),
    row(0x10),
    row(0x70, 500),
    row(0xEF, features=0x02),
    row(0xEF, features=0x82),
    row(0xEF, features=0x03, count=0x08),
    row(0xEF, features=0x77),
    row(0xE7),
    row(0xE5),
    row(0xE1),
    row(0x08),
    row(0xA0),
    row(0xA1),
    row(0x99),
    row(0x89),
    row(0x20, 7),
]


def table() -> bytes:
    return b"".join(ROWS) + b"\xff"


def ours() -> bytes:
    m = Machine(ram="1MiB", history=False)
    m.attach_disk(IMAGE)
    code = assemble(PROGRAM, bits=16, origin=0x7C00)
    m.load(code, at=0x7C00)
    m.load(table(), at=TABLE)
    m.cpu.cs = m.cpu.ds = m.cpu.es = m.cpu.ss = 0
    m.cpu.sp, m.cpu.ip = 0x7000, 0x7C00 + code.index(bytes.fromhex("cd13")) + 2
    assert m.run(max_instructions=3_000_000).reason == "exit"
    return m.console.output


def theirs(folder: Path) -> bytes:
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed: no comparison with it")
    start = assemble(PROGRAM, bits=16, origin=0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    (folder / "floppy.img").write_bytes((start + table()).ljust(1440 * 1024, b"\0"))
    (folder / "disk.img").write_bytes(IMAGE)
    command = [
        QEMU,
        "-accel",
        "tcg",
        "-m",
        "16",
        "-display",
        "none",
        "-no-reboot",
        "-net",
        "none",
        "-boot",
        "a",
    ]
    for name, kind in (("floppy.img", "floppy"), ("disk.img", "ide")):
        command += ["-drive", f"file={folder / name},format=raw,if={kind}"]
    command += ["-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr.decode()
    return done.stdout


def judged(answer: bytes) -> bytes:
    """Without DSC: QEMU clears it with errors and some commands, in ATA-3 it is the heads' alone."""
    return bytes([*answer[:2], answer[2] & ~0x10, answer[3]])


def test_commands_as_on_qemu(tmp_path: Path) -> None:
    other, mine = theirs(tmp_path), ours()
    assert len(mine) == len(other) == 4 * len(ROWS)
    for i, text in enumerate(ROWS):
        a, b = judged(mine[4 * i : 4 * i + 4]), judged(other[4 * i : 4 * i + 4])
        assert a == b, f"row {i}, command {text[7]:#04x}: {a.hex()}, QEMU says {b.hex()}"
