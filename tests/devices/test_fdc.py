"""The floppy controller and its DMA, register by register (82077AA and 8237A data sheets)."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.disk import Disk
from pyvirt_edu.devices.floppies import KINDS
from pyvirt_edu.machine.errors import ConfigurationError, ImageError, SnapshotError
from pyvirt_edu.machine.time_travel.snapshots import Snapshot

from .lab import Ports
from .test_one_machine import by_cycles, by_rewinding, by_slices, by_snapshots, by_steps, by_trace, same

SECTOR = 512
IMAGE = random.Random(82077).randbytes(2880 * SECTOR)
DOR, STATUS, DATA, DISK = 0x3F2, 0x3F4, 0x3F5, 0x3F7
READ, WRITE, FORMAT, READ_ID = 0xE6, 0xC5, 0x4D, 0x4A
TO_MEMORY, FROM_MEMORY = 0x46, 0x4A  # DMA modes of channel 2
BUFFER = 0x4000


class Bench:
    """Drives the controller as a program does."""

    def __init__(self, image: bytes | Path | Disk | None = IMAGE, mode: str = "overlay") -> None:
        self.m = Machine(ram="2MiB", history=False)
        if image is not None:
            self.m.attach_floppy(image, mode=mode)
        self.p = Ports(self.m)
        self.p.out(0x08, 0)  # the DMA controller on
        self.p.out(DOR, 0x1C)
        for i in range(4):
            assert self.command(0x08) == [0xC0 | i, 0]
        self.command(0x03, 0xDF, 0x02)
        kind = KINDS[self.m.floppies[0].sectors] if self.m.floppies[0] else None
        self.p.out(DISK, kind.rate if kind else 0)

    @property
    def irq(self) -> bool:
        """The level of IRQ 6."""
        self.p.out(0x20, 0x0A)
        return bool(self.p.inb(0x20) & 0x40)

    @property
    def status(self) -> int:
        return self.p.inb(STATUS)

    def send(self, *command: int) -> None:
        for byte in command:
            assert self.status & 0xC0 == 0x80
            self.p.out(DATA, byte)

    def wait(self) -> None:
        """Until the interrupt has come."""
        for _ in range(4000):
            if self.irq:
                return
            self.p.wait(0.001)
        raise AssertionError("no interrupt")

    def result(self) -> list[int]:
        out = []
        while self.status & 0x40:
            out.append(self.p.inb(DATA))
        return out

    def command(self, *command: int) -> list[int]:
        """A command without interrupt: its result."""
        self.send(*command)
        return self.result()

    def transfer(self, *command: int) -> list[int]:
        self.send(*command)
        assert self.status & 0x90 == 0x10  # busy, and wants no byte
        self.wait()
        assert self.status & 0xD0 == 0xD0
        out = self.result()
        assert len(out) == 7 and not self.irq
        return out

    def seek(self, cylinder: int, drive: int = 0) -> list[int]:
        self.send(0x0F, drive, cylinder)
        self.wait()
        return self.command(0x08)

    def dma(self, mode: int, count: int, address: int = BUFFER) -> None:
        p = self.p
        p.out(0x0A, 6)
        p.out(0x0C, 0)
        p.out(0x04, address & 0xFF, address >> 8 & 0xFF)
        p.out(0x05, count - 1 & 0xFF, count - 1 >> 8)
        p.out(0x0B, mode)
        p.out(0x81, address >> 16)
        p.out(0x0A, 2)

    def read(self, cylinder: int, head: int, sector: int, count: int = 1, last: int = 18) -> list[int]:
        self.dma(TO_MEMORY, count * SECTOR)
        return self.transfer(READ, head << 2, cylinder, head, sector, 2, last, 0x1B, 0xFF)

    def write(self, cylinder: int, head: int, sector: int, data: bytes) -> list[int]:
        self.m.write(BUFFER, data)
        self.dma(FROM_MEMORY, len(data))
        return self.transfer(WRITE, head << 2, cylinder, head, sector, 2, 18, 0x1B, 0xFF)


def at(number: int, count: int = 1) -> bytes:
    return IMAGE[number * SECTOR : (number + count) * SECTOR]


# --- the controller ---------------------------------------------------------------------------


def test_reset_reports_four_drives() -> None:
    p = Ports()
    p.out(0x21, 0)
    p.out(DOR, 0x0C)
    b = Bench.__new__(Bench)
    b.p, b.m = p, p.m
    assert b.irq
    assert [b.command(0x08) for _ in range(5)] == [[0xC0, 0], [0xC1, 0], [0xC2, 0], [0xC3, 0], [0x80]]
    assert not b.irq


def test_in_reset_nothing_is_taken() -> None:
    b = Bench()
    b.p.out(DOR, 0x00)
    assert b.status == 0
    b.p.out(DATA, 0x10)
    b.p.out(DOR, 0x0C)
    assert b.status == 0x80 and b.irq


def test_the_interrupt_waits_for_the_gate() -> None:
    b = Bench()
    b.p.out(DOR, 0x10)
    b.p.out(DOR, 0x14)
    assert not b.irq
    b.p.out(DOR, 0x1C)
    assert b.irq


def test_version_lock_and_registers() -> None:
    b = Bench()
    assert b.command(0x10) == [0x90]
    assert b.command(0x13, 0, 0x57, 0x12) == []
    assert b.command(0x12, 0x04) == []
    assert b.command(0x94) == [0x10]
    b.seek(9)
    assert b.command(0x0E) == [9, 0, 0, 0, 0xDF, 0x02, 0, 0x84, 0x57, 0x12]
    b.p.out(STATUS, 0x80)  # a software reset: what is locked stays
    assert b.command(0x0E)[8:] == [0x57, 0x12]
    assert b.command(0x14) == [0]
    b.p.out(STATUS, 0x80)
    assert b.command(0x0E)[8:] == [0x20, 0]


@pytest.mark.parametrize("code", [0x00, 0x01, 0x0B, 0x18, 0x1F, 0x33, 0xFF])
def test_unknown_commands(code: int) -> None:
    b = Bench()
    assert b.command(code) == [0x80]
    assert b.status == 0x80


def test_seek_and_recalibrate_take_their_time() -> None:
    b = Bench()
    assert b.command(0x04, 0) == [0x38]  # track 0
    b.send(0x0F, 0, 40)
    assert b.status == 0x81  # drive 0 seeks, and a command may come
    b.p.wait(0.119)
    assert b.status == 0x81 and not b.irq
    b.p.wait(0.002)
    assert b.status == 0x80 and b.irq
    assert b.command(0x08) == [0x20, 40]
    assert b.command(0x04, 0) == [0x28]
    b.send(0x07, 0)
    b.wait()
    assert b.command(0x08) == [0x20, 0]


def test_a_drive_that_is_not_there() -> None:
    b = Bench()
    b.send(0x07, 1)
    b.wait()
    assert b.command(0x08) == [0x71, 0]  # no track 0 signal
    assert b.transfer(READ_ID, 1)[:3] == [0x41, 0x01, 0]
    assert Bench(None).transfer(READ_ID, 0)[:3] == [0x40, 0x01, 0]


def test_two_drives_seek_at_once() -> None:
    b = Bench()
    b.m.attach_floppy(bytes(720 * 1024), 1)
    b.send(0x0F, 0, 20)
    b.send(0x0F, 1, 10)
    assert b.status == 0x83
    b.p.wait(0.2)
    assert [b.command(0x08) for _ in range(3)] == [[0x20, 20], [0x21, 10], [0x80]]


def test_disk_change_line() -> None:
    b = Bench()
    assert b.p.inb(DISK) == 0x80
    b.seek(0)
    assert b.p.inb(DISK) == 0x80  # no step, nothing changes
    b.seek(1)
    assert b.p.inb(DISK) == 0
    b.m.attach_floppy(bytes(1440 * 1024))
    assert b.p.inb(DISK) == 0x80
    b.p.out(DOR, 0x0C)  # the motor is off: the drive is not selected
    assert b.p.inb(DISK) == 0


def test_disks_change_places(tmp_path: Path) -> None:
    """What was written to a disk is on it when it comes back."""
    path = tmp_path / "floppy.img"
    path.write_bytes(IMAGE)
    b = Bench(path)
    first = b.m.floppies[0]
    assert first is not None
    b.write(0, 0, 1, b"1" * SECTOR)
    b.m.attach_floppy(bytes(1440 * 1024))
    b.read(0, 0, 1)
    assert b.m.read(BUFFER, SECTOR) == bytes(SECTOR)
    b.m.attach_floppy(first)
    b.read(0, 0, 1, 2)
    assert b.m.read(BUFFER, 2 * SECTOR) == b"1" * SECTOR + at(1)
    first.close()


# --- sectors ----------------------------------------------------------------------------------


def test_read_a_sector() -> None:
    b = Bench()
    assert b.read(0, 1, 3) == [4, 0, 0, 0, 1, 4, 2]
    assert b.m.read(BUFFER, SECTOR) == at(20)
    assert b.p.inb(0x08) == 4  # terminal count at channel 2 ...
    assert b.p.inb(0x08) == 0  # ... said once
    assert b.p.inb(0x0F) & 4  # and its mask is on


def test_a_track_and_the_other_side() -> None:
    b = Bench()
    b.seek(5)
    start = b.m.cycles
    assert b.read(5, 0, 10, 18) == [4, 0, 0, 5, 1, 10, 2]
    assert b.m.read(BUFFER, 18 * SECTOR) == at(5 * 36 + 9, 18)
    assert 0.19 < (b.m.cycles - start) / 200e6 < 0.25  # one turn
    assert b.read(5, 1, 18) == [4, 0, 0, 6, 0, 1, 2]  # the next one is on another cylinder


def test_end_of_cylinder() -> None:
    """More is asked for than the cylinder has: terminal count does not come."""
    b = Bench()
    assert b.read(0, 1, 18, 2) == [0x44, 0x80, 0, 1, 0, 1, 2]
    assert b.m.read(BUFFER, SECTOR) == at(35)
    b.dma(TO_MEMORY, 5 * SECTOR)
    assert b.transfer(0x46, 0, 0, 0, 17, 2, 18, 0x1B, 0xFF) == [0x40, 0x80, 0, 1, 0, 1, 2]  # one side only


def test_less_than_a_sector() -> None:
    b = Bench()
    b.m.write(BUFFER, bytes(SECTOR))
    b.dma(TO_MEMORY, 100)
    assert b.transfer(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)[:3] == [0, 0, 0]
    assert b.m.read(BUFFER, SECTOR) == at(0)[:100] + bytes(SECTOR - 100)
    b.m.write(BUFFER, b"x" * 100)
    b.dma(FROM_MEMORY, 100)
    assert b.transfer(WRITE, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)[:3] == [0, 0, 0]
    assert b.m.floppies[0] is not None and b.m.floppies[0].read(0) == b"x" * 100 + bytes(SECTOR - 100)


def test_write_and_read_back() -> None:
    b = Bench()
    data = random.Random(1).randbytes(3 * SECTOR)
    b.seek(79)
    assert b.write(79, 1, 16, data) == [4, 0, 0, 80, 0, 1, 2]
    disk = b.m.floppies[0]
    assert disk is not None and disk.changed == [2877, 2878, 2879]
    b.m.write(BUFFER, bytes(3 * SECTOR))
    b.read(79, 1, 16, 3)
    assert b.m.read(BUFFER, 3 * SECTOR) == data
    assert disk.contents() == IMAGE[: -3 * SECTOR] + data


@pytest.mark.parametrize(
    "cylinder, head, sector, size, status",
    [
        (1, 0, 1, 2, [0x40, 0x04, 0x10]),  # the heads are elsewhere
        (0, 0, 0, 2, [0x40, 0x04, 0]),
        (0, 0, 19, 2, [0x40, 0x04, 0]),
        (0, 0, 1, 3, [0x40, 0x04, 0]),  # sectors of 1024 bytes
    ],
)
def test_sectors_that_are_not_there(
    cylinder: int, head: int, sector: int, size: int, status: list[int]
) -> None:
    b = Bench()
    b.dma(TO_MEMORY, SECTOR)
    assert b.transfer(READ, head << 2, cylinder, head, sector, size, 20, 0x1B, 0xFF)[:3] == status


def test_beyond_the_disk() -> None:
    b = Bench()
    b.seek(80)
    assert b.read(80, 0, 1)[:3] == [0x40, 0x01, 0]
    assert b.transfer(READ_ID, 0)[:3] == [0x40, 0x01, 0]
    single = Bench(bytes(160 * 1024))
    assert single.read(0, 0, 8)[:3] == [0, 0, 0]
    assert single.read(0, 1, 1)[:3] == [0x44, 0x01, 0]  # it has one side


def test_the_data_rate_must_fit() -> None:
    b = Bench()
    for rate in (1, 2, 3):
        b.p.out(DISK, rate)
        assert b.read(0, 0, 1)[:3] == [0x40, 0x01, 0]
    b.p.out(STATUS, 0)
    assert b.read(0, 0, 1)[:3] == [0, 0, 0]
    double = Bench(bytes(360 * 1024))
    for rate in (1, 2):
        double.p.out(DISK, rate)
        assert double.read(0, 0, 9)[:3] == [0, 0, 0]


def test_read_id_names_a_sector() -> None:
    b = Bench()
    b.seek(7)
    seen = {tuple(b.transfer(READ_ID, 4)) for _ in range(30)}
    assert {answer[:5] for answer in seen} == {(4, 0, 0, 7, 1)}
    assert {answer[5] for answer in seen} <= set(range(1, 19)) and len(seen) > 1


def test_implied_seek() -> None:
    b = Bench()
    b.command(0x13, 0, 0x40, 0)
    assert b.read(33, 0, 2)[:3] == [0, 0, 0]
    assert b.m.read(BUFFER, SECTOR) == at(33 * 36 + 1)


def test_format_a_track() -> None:
    b = Bench()
    b.seek(2)
    b.m.write(BUFFER, b"".join(bytes([2, 1, sector, 2]) for sector in range(1, 19)))
    b.dma(FROM_MEMORY, 72)
    assert b.transfer(FORMAT, 4, 2, 18, 0x6C, 0xF6)[:3] == [4, 0, 0]
    disk = b.m.floppies[0]
    assert disk is not None
    assert disk.contents() == at(0, 90) + b"\xf6" * 18 * SECTOR + at(108, 2880 - 108)


def test_write_protection() -> None:
    b = Bench(mode="read-only")
    assert b.command(0x04, 0) == [0x78]
    assert b.write(0, 0, 1, bytes(SECTOR))[:3] == [0x40, 0x02, 0]
    b.dma(FROM_MEMORY, 4)
    assert b.transfer(FORMAT, 0, 2, 1, 0x6C, 0xF6)[:3] == [0x40, 0x02, 0]
    assert b.m.floppies[0] is not None and b.m.floppies[0].contents() == IMAGE


def test_no_dma_is_an_overrun() -> None:
    """The channel is masked, set up for the other direction, or the controller told to do without."""
    b = Bench()
    read = (READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
    b.dma(TO_MEMORY, SECTOR)
    b.p.out(0x0A, 6)
    assert b.transfer(*read)[:3] == [0x40, 0x10, 0]
    b.dma(FROM_MEMORY, SECTOR)
    assert b.transfer(*read)[:3] == [0x40, 0x10, 0]
    b.dma(TO_MEMORY, SECTOR)
    b.p.out(0x08, 4)
    assert b.transfer(*read)[:3] == [0x40, 0x10, 0]
    b.p.out(0x08, 0)
    b.command(0x03, 0xDF, 0x03)
    assert b.transfer(*read)[:3] == [0x40, 0x10, 0]


# --- DMA --------------------------------------------------------------------------------------


def test_dma_addresses() -> None:
    """Current address and count move; the page does not; the A20 gate is not asked."""
    b = Bench()
    b.p.out(0x92, 0)
    b.dma(TO_MEMORY, SECTOR, 0x10FF80)
    b.transfer(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
    assert b.m.read(0x10FF80, 0x80) == at(0)[:0x80]
    assert b.m.read(0x100000, 0x180) == at(0)[0x80:]  # within the same 64 KiB
    b.p.out(0x0C, 0)
    assert [b.p.inb(0x04), b.p.inb(0x04)] == [0x80, 0x01]
    assert [b.p.inb(0x05), b.p.inb(0x05)] == [0xFF, 0xFF]


def test_dma_downwards_and_again() -> None:
    b = Bench()
    b.dma(TO_MEMORY | 0x30, SECTOR, BUFFER + SECTOR - 1)
    b.transfer(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
    assert b.m.read(BUFFER, SECTOR) == at(0)[::-1]
    assert not b.p.inb(0x0F) & 4  # auto-initialize: ready for the same once more
    b.transfer(READ, 0, 0, 0, 2, 2, 18, 0x1B, 0xFF)
    assert b.m.read(BUFFER, SECTOR) == at(1)[::-1]


def test_dma_to_verify_leaves_memory_alone() -> None:
    b = Bench()
    b.m.write(BUFFER, bytes(SECTOR))
    b.dma(0x42, SECTOR)
    assert b.transfer(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)[:3] == [0, 0, 0]
    assert b.m.read(BUFFER, SECTOR) == bytes(SECTOR)
    assert b.p.inb(0x08) == 4


def test_dma_where_no_memory_is() -> None:
    b = Bench()
    b.dma(TO_MEMORY, SECTOR, 0xFF0000)
    assert b.transfer(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)[:3] == [0, 0, 0]
    b.dma(FROM_MEMORY, SECTOR, 0xFF0000)
    assert b.transfer(WRITE, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)[:3] == [0, 0, 0]
    assert b.m.floppies[0] is not None and b.m.floppies[0].read(0) == b"\xff" * SECTOR


def test_dma_replaces_code_and_marks_pages() -> None:
    """Code that has run is not what runs after other code came by DMA."""
    five, six = (assemble(f"mov ax, {n}\nhlt", bits=16, origin=BUFFER) for n in (5, 6))
    b = Bench(six.ljust(1440 * 1024, b"\0"))
    m = b.m

    def value() -> int:
        m.cpu.cs, m.cpu.ip = 0, BUFFER
        assert m.run().reason == "halt"
        return int(m.cpu.ax)

    m.write(BUFFER, five)
    assert value() == 5
    b.dma(TO_MEMORY, SECTOR)
    b.transfer(READ, 0, 0, 0, 1, 2, 18, 0x1B, 0xFF)
    assert value() == 6


# --- a program, however it is run -------------------------------------------------------------

# Reads half a track and half of the other side by interrupts, adds it up, and writes it to the next
# cylinder.
GUEST = """
    mov al, 0x11
    out 0x20, al
    mov al, 0x08
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xbf            ; IRQ 6 only
    out 0x21, al
    sti
    mov bl, 0
    mov dx, 0x3f2
    mov al, 0
    out dx, al
    mov al, 0x1c
    out dx, al
    call wait
    mov cx, 4
drives:
    mov al, 0x08            ; SENSE INTERRUPT STATUS
    call send
    call result
    loop drives
    mov dx, 0x3f7
    mov al, 0
    out dx, al
    mov si, specify
    mov cx, 3
    call command
    mov al, 0x46
    mov si, reading
    call transfer
    mov si, 0x4000
    mov cx, 4608
add:
    lodsw
    add bp, ax
    rol bp, 1
    loop add
    mov si, seeking
    mov cx, 3
    call command
    call wait
    mov al, 0x08
    call send
    call result
    mov al, 0x4a
    mov si, writing
    call transfer
    cli
    hlt
transfer:                   ; 18 sectors at 4000h
    out 0x0b, al
    out 0x0c, al
    mov al, 0
    out 0x04, al
    mov al, 0x40
    out 0x04, al
    mov al, 0xff
    out 0x05, al
    mov al, 0x23
    out 0x05, al
    mov al, 0
    out 0x81, al
    mov al, 2
    out 0x0a, al
    mov cx, 9
    call command
    call wait
    call result
    ret
command:
    lodsb
    call send
    loop command
    ret
send:
    push ax
    mov dx, 0x3f4
ready:
    in al, dx
    test al, 0x80
    jz ready
    pop ax
    inc dx
    out dx, al
    ret
result:
    mov dx, 0x3f4
    in al, dx
    test al, 0x40
    jz none
    inc dx
    in al, dx
    add bp, ax
    jmp result
none:
    ret
wait:
    cli
    cmp bl, 0
    jne came
    sti
    hlt
    jmp wait
came:
    mov bl, 0
    sti
    ret
specify: db 3, 0xdf, 2
reading: db 0xe6, 0, 0, 0, 10, 2, 18, 0x1b, 0xff
seeking: db 0x0f, 0, 1
writing: db 0xc5, 0, 1, 0, 10, 2, 18, 0x1b, 0xff
"""
HANDLER = "push ax\nmov bl, 1\nmov al, 0x20\nout 0x20, al\npop ax\niret"
AFTER = IMAGE[: 45 * SECTOR] + at(9, 18) + IMAGE[63 * SECTOR :]


def guest(image: bytes | Path = IMAGE, mode: str = "overlay") -> Machine:
    m = Machine(ram="1MiB")
    m.attach_floppy(image, mode=mode)
    m.load(assemble(GUEST, bits=16, origin=0x1000), at=0x1000)
    m.load(assemble(HANDLER, bits=16, origin=0x2000), at=0x2000)
    m.write(0x0E * 4, (0x2000).to_bytes(4, "little"))
    m.cpu.cs = m.cpu.ss = m.cpu.ds = m.cpu.es = 0
    m.cpu.ip, m.cpu.sp = 0x1000, 0x8000
    return m


def contents(m: Machine) -> bytes:
    disk = m.floppies[0]
    assert disk is not None
    return disk.contents()


@pytest.fixture(scope="module")
def whole() -> Machine:
    m = guest()
    assert m.run().reason == "halt"
    assert m.read(0x4000, 18 * SECTOR) == at(9, 18)
    assert contents(m) == AFTER
    return m


@pytest.mark.parametrize("way", [by_steps, by_slices, by_cycles, by_trace, by_snapshots, by_rewinding])
def test_however_it_is_run(way: Callable[[Machine], None], whole: Machine) -> None:
    m = guest()
    way(m)
    assert same(m, whole)
    assert contents(m) == AFTER


def test_a_trace_has_what_dma_wrote() -> None:
    m = guest()
    before = m.read(0x4000, 18 * SECTOR)
    trace = m.trace(100_000)
    assert before != m.read(0x4000, 18 * SECTOR)
    written = {}
    for step in trace:
        for change in step.memory:
            for i in range(change.size):
                written[change.address + i] = change.new >> 8 * i & 0xFF
    assert bytes(written[0x4000 + i] for i in range(18 * SECTOR)) == at(9, 18)


def test_a_program_that_polls_while_sectors_pass() -> None:
    """The controller needs Python between two instructions, with nothing that halts the processor."""

    def polling() -> Machine:
        m = guest()
        m.load(
            assemble(GUEST.replace("hlt\n    jmp wait", "nop\n    jmp wait"), bits=16, origin=0x1000),
            at=0x1000,
        )
        return m

    whole, pieces, back = polling(), polling(), polling()
    assert whole.run().reason == "halt" and contents(whole) == AFTER
    rng = random.Random(7)
    while pieces.run(max_instructions=rng.randrange(500_000, 1_500_000)).reason == "limit":
        assert pieces.step(3).reason in ("limit", "halt")
    back.run(max_instructions=whole.instructions // 2)
    back.back(2_000_000)
    back.run()
    assert same(pieces, whole) and same(back, whole)
    assert contents(pieces) == contents(back) == AFTER


def test_back_to_the_beginning(whole: Machine) -> None:
    m = guest()
    m.run()
    m.back(m.instructions)
    assert contents(m) == IMAGE
    m.run()
    assert same(m, whole) and contents(m) == AFTER


def test_a_snapshot_file_has_the_floppy(tmp_path: Path, whole: Machine) -> None:
    m = guest()
    m.run(max_instructions=whole.instructions // 2)
    m.snapshot().save(tmp_path / "half")
    other = guest()
    other.restore(Snapshot.load(tmp_path / "half"))
    other.run()
    assert same(other, whole) and contents(other) == AFTER
    with pytest.raises(SnapshotError, match="2880 sectors at floppy drive 0, this machine no"):
        Machine(ram="1MiB").restore(m.snapshot())


def test_a_file_that_is_written_follows_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "floppy.img"
    path.write_bytes(IMAGE)
    m = guest(path, "read-write")
    m.run()
    assert path.read_bytes() == AFTER
    m.back(m.instructions)
    disk = m.floppies[0]
    assert disk is not None
    disk.close()
    assert path.read_bytes() == IMAGE


# --- images -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sectors", KINDS)
def test_every_kind_of_disk(sectors: int) -> None:
    kind = KINDS[sectors]
    image = random.Random(sectors).randbytes(sectors * SECTOR)
    b = Bench(image)
    cylinder, head = kind.tracks - 1, kind.heads - 1
    b.seek(cylinder)
    result = b.read(cylinder, head, kind.sectors, last=kind.sectors)
    assert (result[0] & 0xC0, result[1], result[2]) == (0, 0, 0)
    assert b.m.read(BUFFER, SECTOR) == image[-SECTOR:]
    b.p.out(0x70, 0x10)
    assert b.p.inb(0x71) == kind.drive << 4
    b.p.out(0x70, 0x14)
    assert b.p.inb(0x71) == 0x07


def test_cmos_names_both_drives() -> None:
    m = Machine(ram="1MiB")
    m.attach_floppy(bytes(1440 * 1024), 0)
    m.attach_floppy(bytes(720 * 1024), 1)
    m.reset()
    p = Ports(m)
    cmos = {}
    for index in (0x10, 0x14, 0x2E, 0x2F, *range(0x10, 0x2E)):
        p.out(0x70, index)
        cmos[index] = p.inb(0x71)
    assert (cmos[0x10], cmos[0x14]) == (0x43, 0x47)
    assert cmos[0x2E] << 8 | cmos[0x2F] == sum(cmos[i] for i in range(0x10, 0x2E))


@pytest.mark.parametrize("size", [SECTOR, 1440 * 1024 - SECTOR, 1440 * 1024 + SECTOR, 10 << 20])
def test_sizes_that_are_no_floppy(size: int) -> None:
    m = Machine(ram="1MiB")
    with pytest.raises(
        ImageError, match=f"has {size:,} bytes; floppy disks are 160K .163,840., 180K.*attach_disk"
    ):
        m.attach_floppy(bytes(size))
    assert m.floppies == [None, None]


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    m = Machine(ram="1MiB")
    with pytest.raises(ImageError, match="cannot open the disk image"):
        m.attach_floppy(tmp_path / "nothing.img")
    with pytest.raises(ConfigurationError, match="drives 0 and 1"):
        m.attach_floppy(IMAGE, 2)
    with pytest.raises(ConfigurationError, match="has no floppies"):
        Machine(ram="1MiB", devices=()).attach_floppy(IMAGE)
    disk = m.attach_floppy(Disk(IMAGE))
    with pytest.raises(ConfigurationError, match="in a drive already"):
        m.attach_floppy(disk, 1)
    path = tmp_path / "small.img"
    path.write_bytes(bytes(SECTOR))
    with pytest.raises(ImageError, match="floppy disks are"):
        m.attach_floppy(path, mode="read-write")
    Disk(path, "read-write").close()  # the refused file is not locked


def test_a_file_that_somebody_else_changes(tmp_path: Path) -> None:
    """The caller hears of it once; the guest's sector has a wrong check sum."""
    path = tmp_path / "floppy.img"
    path.write_bytes(IMAGE)
    b = Bench(path)
    assert b.read(0, 0, 2)[:3] == [0, 0, 0]
    path.write_bytes(IMAGE[: 2 * SECTOR])
    with pytest.raises(ImageError, match="changed by another program"):
        b.read(0, 0, 1)
    b.wait()
    assert b.result()[:3] == [0x40, 0x20, 0]
    assert b.read(0, 0, 1)[:3] == [0x40, 0x20, 0]
    assert b.write(0, 0, 1, bytes(SECTOR))[:3] == [0, 0, 0]  # to the machine's own copy
    assert b.read(0, 0, 1)[:3] == [0, 0, 0]
