"""Disk images: overlay, files that are written, locks, snapshots; and disks however a machine is run."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.disk import Disk
from pyvirt_edu.machine.errors import ConfigurationError, ImageError, SnapshotError
from pyvirt_edu.machine.time_travel.snapshots import Snapshot

from .test_ide import Bench
from .test_one_machine import (
    by_cycles,
    by_rewinding,
    by_slices,
    by_snapshots,
    by_steps,
    by_trace,
    same,
)

SECTOR = 512
IMAGE = random.Random(3).randbytes(64 * SECTOR)

# Reads 4 sectors, adds what it finds, and writes each back to another place; by interrupts.
GUEST = """
    mov al, 0x11
    out 0x20, al
    out 0xa0, al
    mov al, 0x08
    out 0x21, al
    mov al, 0x70
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, 0xfb            ; the cascade only
    out 0x21, al
    mov al, 0xbf            ; IRQ 14 only
    out 0xa1, al
    cld
    sti
    mov bl, 0               ; the sector
next:
    mov bh, 0
    mov ah, 0x20            ; READ SECTORS
    mov al, bl
    call command
    call wait
    mov di, 0x4000
    mov cx, 256
    mov dx, 0x1f0
    rep insw
    mov si, 0x4000
    mov cx, 256
add:
    lodsw
    add bp, ax
    loop add
    mov ah, 0x30            ; WRITE SECTORS
    mov al, bl
    add al, 32
    mov bh, 0
    call command
    mov dx, 0x3f6
poll:
    in al, dx
    test al, 8
    jz poll
    mov si, 0x4000
    mov cx, 256
    mov dx, 0x1f0
    rep outsw
    call wait
    inc bl
    cmp bl, 4
    jne next
    mov bh, 0
    mov ax, 0xe700          ; FLUSH CACHE
    call command
    call wait
    cli
    hlt
command:
    mov dx, 0x1f3
    out dx, al
    mov al, 1
    mov dx, 0x1f2
    out dx, al
    mov al, 0
    mov dx, 0x1f4
    out dx, al
    inc dx
    out dx, al
    inc dx
    mov al, 0xe0
    out dx, al
    inc dx
    mov al, ah
    out dx, al
    ret
wait:
    cli
    cmp bh, 0
    jne came
    sti
    hlt
    jmp wait
came:
    sti
    ret
"""
HANDLER = """
    push ax
    push dx
    mov dx, 0x1f7
    in al, dx
    mov bh, 1
    mov al, 0x20
    out 0xa0, al
    out 0x20, al
    pop dx
    pop ax
    iret
"""


def guest(image: bytes | Path | Disk = IMAGE, mode: str = "overlay") -> Machine:
    m = Machine(ram="1MiB")
    m.attach_disk(image, mode=mode)
    m.load(assemble(GUEST, bits=16, origin=0x1000), at=0x1000)
    m.load(assemble(HANDLER, bits=16, origin=0x2000), at=0x2000)
    m.write(0x76 * 4, (0x2000).to_bytes(4, "little"))
    m.cpu.cs = m.cpu.ss = m.cpu.ds = m.cpu.es = 0
    m.cpu.ip, m.cpu.sp = 0x1000, 0x8000
    return m


AFTER = IMAGE[: 32 * SECTOR] + IMAGE[: 4 * SECTOR] + IMAGE[36 * SECTOR :]


@pytest.fixture(scope="module")
def whole() -> Machine:
    m = guest()
    assert m.run().reason == "halt"
    words = [int.from_bytes(IMAGE[i : i + 2], "little") for i in range(0, 4 * SECTOR, 2)]
    assert m.cpu.bp == sum(words) & 0xFFFF
    assert m.disks[0] is not None and m.disks[0].contents() == AFTER
    return m


@pytest.mark.parametrize("way", [by_steps, by_slices, by_cycles, by_trace, by_snapshots, by_rewinding])
def test_however_it_is_run(way: Callable[[Machine], None], whole: Machine) -> None:
    m = guest()
    way(m)
    assert same(m, whole)
    assert m.disks[0] is not None and m.disks[0].contents() == AFTER


def test_back_to_the_beginning_the_disk_is_as_it_was(whole: Machine) -> None:
    m = guest()
    m.run()
    m.back(m.instructions)
    assert m.disks[0] is not None and m.disks[0].contents() == IMAGE
    m.run()
    assert same(m, whole) and m.disks[0].contents() == AFTER


def test_a_snapshot_file_has_the_disk(tmp_path: Path, whole: Machine) -> None:
    m = guest()
    m.run(max_instructions=whole.instructions // 2)
    m.snapshot().save(tmp_path / "half")
    other = guest()
    other.restore(Snapshot.load(tmp_path / "half"))
    other.run()
    assert same(other, whole)
    assert other.disks[0] is not None and other.disks[0].contents() == AFTER
    with pytest.raises(SnapshotError, match="attach the same disks"):
        Machine(ram="1MiB").restore(m.snapshot())


def test_an_overlay_leaves_the_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    m = guest(path)
    m.run()
    assert m.disks[0] is not None and m.disks[0].contents() == AFTER
    assert path.read_bytes() == IMAGE


def test_a_file_that_is_written_follows_the_machine(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    m = guest(path, "read-write")
    m.run()
    disk = m.disks[0]
    assert disk is not None and path.read_bytes() == AFTER
    end = m.instructions
    m.back(end)
    assert disk.contents() == IMAGE
    disk.close()
    assert path.read_bytes() == IMAGE  # the future that was taken back is not in the file


def test_a_file_in_use_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    writer = Disk(path, "read-write")
    for mode in ("overlay", "read-write", "read-only"):
        with pytest.raises(ImageError, match="in use"):
            Disk(path, mode)
    writer.close()
    readers = [Disk(path), Disk(path)]  # many may read
    with pytest.raises(ImageError, match="in use"):
        Disk(path, "read-write")
    for reader in readers:
        reader.close()
    Disk(path, "read-write").close()


@pytest.mark.parametrize(
    "size, said", [(0, "less than one sector"), (511, "less"), (1000, "pad it to 1,024")]
)
def test_sizes_that_are_no_disk(tmp_path: Path, size: int, said: str) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(bytes(size))
    for image in (path, bytes(size)):
        with pytest.raises(ImageError, match=said):
            Disk(image)


def test_a_machine_made_with_a_disk() -> None:
    m = Machine(ram="1MiB", disk=IMAGE)
    assert m.disks[0] is not None and m.disks[0].contents() == IMAGE
    with pytest.raises(ConfigurationError, match="has no drives"):
        Machine(ram="1MiB", devices=(), disk=IMAGE)


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot open the disk image"):
        Disk(tmp_path / "nothing.img")
    with pytest.raises(ImageError, match="overlay, read-write, read-only"):
        Disk(IMAGE, "rw")
    with pytest.raises(ImageError, match="bytes cannot be changed"):
        Disk(IMAGE, "read-write")
    with pytest.raises(ImageError, match="disk of 64"):
        Disk(IMAGE).read(63, 2)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is no file"):
        Disk(tmp_path)
    m = Machine(ram="1MiB")
    with pytest.raises(ImageError, match="cannot open the disk image"):
        m.boot(b"\xf4", disk=tmp_path / "nothing.img", format="flat")
    assert m.disks == [None] * 4


def test_past_the_end_by_the_guest(tmp_path: Path) -> None:
    """The drive says ID not found; what lies before the end is there, and nothing else changes."""
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    bench = Bench(path, "read-write")
    bench.command(0x20, 64)
    assert (bench.finish(), bench.error) == (0x51, 0x10)
    bench.command(0x30, 63, 2)
    assert bench.finish() == 0x58
    bench.give(b"x" * SECTOR)
    assert (bench.finish(), bench.error) == (0x51, 0x10)
    bench.command(0xE7)  # FLUSH CACHE
    assert bench.finish() == 0x50
    bench.disk.close()
    assert path.read_bytes() == IMAGE[:-SECTOR] + b"x" * SECTOR


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """As another program would, without asking for a lock."""
    before = path.stat().st_mtime_ns
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    os.utime(path, ns=(before, before + 1_000_000))  # clocks of file systems are coarse


@pytest.mark.parametrize("mode", ["overlay", "read-write", "read-only"])
def test_a_file_that_somebody_else_changes(tmp_path: Path, mode: str) -> None:
    """The caller hears of it once, the guest gets errors, and the file stays as the other one made it."""
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    bench = Bench(path, mode)
    if mode != "read-only":
        bench.write(5, b"w" * SECTOR)
    overwrite(path, 7 * SECTOR, b"other" * 10)
    with pytest.raises(ImageError, match="changed by another program"):
        bench.command(0x20, 2)
    assert (bench.finish(), bench.error) == (0x51, 0x40)  # the machine goes on
    bench.command(0x20, 3)
    assert (bench.finish(), bench.error) == (0x51, 0x40)
    if mode != "read-only":
        assert bench.read(5) == b"w" * SECTOR == bench.disk.read(5)  # nothing of the guest's is lost
        bench.write(6, b"v" * SECTOR)
        assert bench.disk.changed == [5, 6]
    kept = bench.m.snapshot()
    bench.m.restore(kept)
    if mode == "read-write":
        bench.command(0xE7)  # FLUSH CACHE
        assert (bench.finish(), bench.error) == (0x51, 0x40)
        with pytest.raises(OSError, match="was changed"):
            bench.disk.close()
    bench.disk.close()
    assert path.read_bytes()[7 * SECTOR :] == b"other" * 10 + IMAGE[7 * SECTOR + 50 :]
    assert path.read_bytes()[: 7 * SECTOR] == IMAGE[: 7 * SECTOR]
    Disk(path).close()


def test_our_own_writes_are_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    bench = Bench(path, "read-write")
    for lba in range(20):
        bench.write(lba, bytes([lba]) * SECTOR)
        bench.command(0xE7)
        assert bench.finish() == 0x50
        assert bench.read(lba + 20) == IMAGE[(lba + 20) * SECTOR : (lba + 21) * SECTOR]
    bench.disk.close()
    assert path.read_bytes() == b"".join(bytes([i]) * SECTOR for i in range(20)) + IMAGE[20 * SECTOR :]


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    bench = Bench(path)
    path.write_bytes(IMAGE[: 2 * SECTOR])
    with pytest.raises(ImageError, match="changed by another program"):
        bench.command(0x20, 2)
    assert bench.finish() == 0x51
    assert bench.error == 0x40  # data that cannot be read


def test_a_run_that_is_ended_by_the_image(tmp_path: Path) -> None:
    """A program that reads by itself: the run raises, and can go on."""
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    m = guest(path)
    m.run(max_instructions=1500)
    overwrite(path, 0, b"?")
    with pytest.raises(ImageError, match="changed by another program"):
        m.run()
    before = m.instructions
    assert m.run(max_instructions=100).reason == "limit"
    assert m.instructions == before + 100
