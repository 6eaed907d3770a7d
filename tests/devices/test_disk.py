"""Disk images: overlay, files that are written, locks, snapshots; and disks however a machine is run."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.devices.disk import Disk
from pyvirt_edu.machine.errors import ImageError, SnapshotError
from pyvirt_edu.machine.snapshots import Snapshot

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


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot open the disk image"):
        Disk(tmp_path / "nothing.img")
    with pytest.raises(ImageError, match="overlay, read-write, read-only"):
        Disk(IMAGE, "rw")
    with pytest.raises(ImageError, match="bytes cannot be changed"):
        Disk(IMAGE, "read-write")
    with pytest.raises(ImageError, match="disk of 64"):
        Disk(IMAGE).read(63, 2)


def test_a_file_that_shrinks_is_an_error_of_the_guest(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(IMAGE)
    bench = Bench(path)
    path.write_bytes(IMAGE[: 2 * SECTOR])
    bench.command(0x20, 2)
    assert bench.finish() == 0x51
    assert bench.error == 0x40  # data that cannot be read
