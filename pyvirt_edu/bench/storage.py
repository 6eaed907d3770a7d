"""How fast a guest reads a disk through the data port."""

from __future__ import annotations

import time
from collections.abc import Callable

from ..computer import Machine
from .results import Result

SECTOR, COUNT = 512, 8192
TARGET = 2.0  # MB/s
AT = 0x1000

# 16-bit code: commands of 128 sectors each, polled, as many as BP says, all to one buffer.
READ = """
    bb 00 00                    ; mov bx, 0             first sector
next:
    ba f2 01 b0 80 ee 42        ; count 128 to 1F2h
    88 d8 ee 42                 ; low byte of the sector
    88 f8 ee 42                 ; middle byte
    b0 00 ee 42                 ; high byte
    b0 e0 ee 42                 ; LBA, drive 0
    b0 20 ee                    ; READ SECTORS
    be 80 00                    ; mov si, 128
sector:
    ba f7 01                    ; mov dx, 1F7h
poll:
    ec a8 08 74 fb              ; in al, dx; test al, 8; jz poll
    bf 00 40 b9 00 01           ; mov di, 4000h; mov cx, 256
    ba f0 01 f3 6d              ; mov dx, 1F0h; rep insw
    4e 75 ea                    ; dec si; jnz sector
    81 c3 80 00                 ; add bx, 128
    4d 75 c2                    ; dec bp; jnz next
    f4                          ; hlt
"""


def code(text: str) -> bytes:
    rows = (line.split(";")[0] for line in text.splitlines())
    return bytes.fromhex("".join(row for row in rows if not row.rstrip().endswith(":")))


def read_speed(runs: int) -> Result:
    """Sectors from a disk in memory, so that the host's disk does not count."""
    m = Machine(ram="1MiB", history=False)
    m.attach_disk(bytes(SECTOR * COUNT))
    m.load(code(READ), at=AT)
    values = []
    for _ in range(runs + 1):
        m.cpu.cs = m.cpu.ds = m.cpu.es = m.cpu.ss = 0
        m.cpu.ip, m.cpu.bp = AT, COUNT // 128
        started = time.perf_counter()
        out = m.run()
        values.append(COUNT * SECTOR / 1e6 / (time.perf_counter() - started))
        if out.reason != "halt" or m.cpu.bx != COUNT:
            raise RuntimeError(f"the disk benchmark ended with {out}, not at its end")
        m.reset()
    return Result("IDE, read by REP INSW", "MB/s", values[1:], TARGET, detail=f"{COUNT} sectors, polled")


MEASUREMENTS: tuple[tuple[str, Callable[[int], Result]], ...] = (("reading an IDE disk", read_speed),)
