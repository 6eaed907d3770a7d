"""The same floppy commands on our PC and on QEMU: results, data and the DMA registers must agree."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble

from .lab import QEMU

TABLE, BUFFER = 0x8000, 0x4000
AT_ONCE, TRANSFER, SEEK = 0, 1, 2
RESULT, AFTER_DMA, END = 10, 7, 0xFF
READ, WRITE, READ_ID = 0xE6, 0xC5, 0x4A
TO_MEMORY, FROM_MEMORY = 0x46, 0x4A

# For each row of 16 bytes (kind, DMA mode and count, length, command): the result padded to ten
# bytes; after transfers the sum of the buffer and channel 2's address, count and status as well.
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
    mov ax, 0
    mov di, {BUFFER:#x}
    mov cx, 4608
    rep stosw
    mov al, 0                   ; DMA and the floppy controller as after a reset
    out 0x0d, al
    out 0x08, al
    mov dx, 0x3f2
    out dx, al
    mov al, 0x1c
    out dx, al
    mov dx, 0x3f7
    mov al, 0
    out dx, al
    mov si, {TABLE:#x}
row:
    lodsb
    cmp al, {END}
    je done
    mov bl, al
    cmp al, {TRANSFER}
    jne command
    mov al, 6
    out 0x0a, al
    out 0x0c, al
    mov al, 0
    out 0x04, al
    mov al, {BUFFER >> 8}
    out 0x04, al
    mov al, [si]
    out 0x0b, al
    mov al, [si+1]
    out 0x05, al
    mov al, [si+2]
    out 0x05, al
    mov al, 0
    out 0x81, al
    mov al, 2
    out 0x0a, al
command:
    add si, 3
    lodsb
    mov cl, al
    mov ch, 0
    push si
next:
    lodsb
    call send
    loop next
    pop si
    add si, 11
    cmp bl, {SEEK}
    je sense
    cmp bl, {TRANSFER}
    jne result
waiting:
    mov dx, 0x3f4
    in al, dx
    and al, 0xc0
    cmp al, 0xc0
    jne waiting
result:
    mov cx, {RESULT}
each:
    call receive
    call tell
    loop each
    cmp bl, {TRANSFER}
    jne row
    push si
    mov si, {BUFFER:#x}
    mov cx, 4608
    mov di, 0
sum:
    lodsw
    add di, ax
    rol di, 1
    loop sum
    pop si
    mov ax, di
    call tell
    mov al, ah
    call tell
    out 0x0c, al
    in al, 0x04
    call tell
    in al, 0x04
    call tell
    in al, 0x05
    call tell
    in al, 0x05
    call tell
    in al, 0x08
    and al, 4
    call tell
    jmp row
sense:                          ; until the seek has ended
    mov al, 8
    call send
    call receive
    cmp al, 0x80
    je sense
    call tell
    mov cx, {RESULT - 1}
    jmp each
send:
    mov ah, al
    mov dx, 0x3f4
ready:
    in al, dx
    and al, 0xc0
    cmp al, 0x80
    jne ready
    mov al, ah
    inc dx
    out dx, al
    ret
receive:                        ; a byte of the result, or EEh where there is none
    mov dx, 0x3f4
    in al, dx
    and al, 0xd0
    cmp al, 0xd0
    mov al, 0xee
    jne nothing
    inc dx
    in al, dx
nothing:
    ret
tell:
    mov dx, 0xe9
    out dx, al
    ret
done:
    mov al, 0
    out 0xf4, al
hang:
    jmp hang
"""


def row(*command: int, kind: int = AT_ONCE, mode: int = 0, count: int = 1) -> bytes:
    text = bytes([kind, mode]) + (count - 1).to_bytes(2, "little") + bytes([len(command), *command])
    return text.ljust(16, b"\0")


def transfer(
    code: int, cylinder: int, head: int, sector: int, count: int = 512, last: int = 18, mode: int = 0
) -> bytes:
    mode = mode or (FROM_MEMORY if code & 0x1F == 5 else TO_MEMORY)
    command = (code, head << 2, cylinder, head, sector, 2, last, 0x1B, 0xFF)
    return row(*command, kind=TRANSFER, mode=mode, count=count)


def seek(cylinder: int) -> bytes:
    return row(0x0F, 0, cylinder, kind=SEEK)


ROWS = [
    *[row(0x08)] * 5,
    row(0x10),
    row(0x03, 0xDF, 0x02),
    row(0x94),
    row(0x14),
    row(0x00),
    row(0x1F),
    row(0x07, 0, kind=SEEK),
    row(0x04, 0),
    transfer(READ, 0, 0, 5),
    transfer(READ, 0, 1, 18),
    transfer(READ, 0, 0, 10, 18 * 512),
    transfer(READ, 0, 0, 1, 100),
    transfer(READ, 0, 0, 2, 700),
    seek(40),
    row(0x04, 0),
    transfer(READ, 40, 1, 7, 1024),
    transfer(WRITE, 40, 0, 9, 1536),
    transfer(READ, 40, 0, 8, 5 * 512),
    transfer(READ, 40, 0, 4, 512, mode=0x42),  # verify
    seek(79),
    transfer(READ, 79, 1, 17, 1024),
    row(0x07, 0, kind=SEEK),
    transfer(READ, 0, 0, 1),
]


def image() -> bytes:
    start = assemble(PROGRAM, bits=16, origin=0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    text = start + b"".join(ROWS) + bytes([END])
    assert len(text) <= 5 * 512
    text = text.ljust(5 * 512, b"\0")
    return text + random.Random(14).randbytes(1440 * 1024 - len(text))


def ours() -> bytes:
    m = Machine(ram="1MiB", history=False)
    m.attach_floppy(image())
    code = assemble(PROGRAM, bits=16, origin=0x7C00)
    m.load(code, at=0x7C00)
    m.load(b"".join(ROWS) + bytes([END]), at=TABLE)
    m.cpu.cs = m.cpu.ds = m.cpu.es = m.cpu.ss = 0
    m.cpu.sp, m.cpu.ip = 0x7000, 0x7C00 + code.index(bytes.fromhex("cd13")) + 2
    assert m.run(max_instructions=50_000_000).reason == "exit"
    return m.console.output


def theirs(folder: Path) -> bytes:
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed: no comparison with it")
    path = folder / "floppy.img"
    path.write_bytes(image())
    command = [QEMU, "-accel", "tcg", "-m", "16", "-display", "none", "-no-reboot", "-net", "none"]
    command += ["-drive", f"file={path},format=raw,if=floppy", "-boot", "a"]
    command += ["-debugcon", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
    assert done.returncode == 1, done.stderr.decode()
    return done.stdout


def answers(output: bytes) -> list[bytes]:
    out = []
    for text in ROWS:
        size = RESULT + AFTER_DMA * (text[0] == TRANSFER)
        out.append(output[:size])
        output = output[size:]
    assert output == b""
    return out


def judged(text: bytes, answer: bytes) -> bytes:
    """Without what QEMU has its own way: ST0's "seek end" and head after reads across the sides, and
    the address after part of a sector (the data sheet's counts that sector)."""
    if text[0] != TRANSFER:
        return answer
    part = int.from_bytes(text[2:4], "little") % 512 != 511
    return bytes([answer[0] & ~0x24, *answer[1:5], 0 if part else answer[5], *answer[6:]])


def test_commands_as_on_qemu(tmp_path: Path) -> None:
    for text, a, b in zip(ROWS, answers(ours()), answers(theirs(tmp_path)), strict=True):
        mine, other = judged(text, a), judged(text, b)
        assert mine == other, f"{text.hex(' ')}: {mine.hex(' ')}, QEMU says {other.hex(' ')}"
