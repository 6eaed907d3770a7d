"""The file system on disk: what it keeps, through power cuts and damage."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.guests import sprout

from .cowfs_reader import BLOCK, Reader
from .lab import boot, lines, needs_qemu, qemu, run_script

SIZE = 2 << 20
BLANK = bytes(SIZE)
SECTOR = 512


def image(machine: Machine) -> bytes:
    return machine.disks[0].contents()  # type: ignore[attr-defined]


def run_on(disk: bytes, script: str) -> tuple[list[str], bytes]:
    """What a script prints that finds the disk mounted on /mnt, and the disk afterwards."""
    files = {"etc/script": f"mount /dev/hda /mnt\n{script}\n".encode()}
    machine = boot(sprout.root_with(files), "run=/etc/script", disk=disk)
    out = machine.run(max_instructions=1_000_000_000)
    text = lines(machine.console.text)
    assert out.reason == "exit" and text[-1] == "power off", "\n".join(text[-30:])
    return text[3:-2], image(machine)


def test_format_and_keep() -> None:
    said, disk = run_on(BLANK, "mkdir /mnt/d; echo text > /mnt/d/f; cp /bin/sh /mnt/sh; ls /mnt; sync")
    assert said == ["cowfs: a blank disk, it is formatted", "d/", "sh"]
    files = Reader(disk).files()
    assert files == {"": None, "/d": None, "/d/f": b"text\n", "/sh": sprout.program("sh")}
    said, _ = run_on(disk, "cat /mnt/d/f; /mnt/sh -c 'echo a program from the disk'; rm /mnt/d")
    assert said == ["text", "a program from the disk", "rm: /mnt/d: directory not empty"]


def test_umount_writes_back_and_a_full_disk_says_so() -> None:
    fill = "\n".join(f"cat /bin/wild /bin/ubench /bin/sh > /mnt/big{i}" for i in range(80))
    said, disk = run_on(
        BLANK, f"{fill}\nrm /mnt/big3; echo small > /mnt/small; cat /mnt/small; umount /mnt; ls /mnt"
    )
    assert "small" in said
    files = Reader(disk).files()
    assert files["/small"] == b"small\n"
    whole = b"".join(map(sprout.program, ("wild", "ubench", "sh")))
    assert files["/big0"] == whole
    assert "/big3" not in files and len([name for name in files if (files[name] or b"") == whole]) > 30


def test_removed_files_give_their_blocks_back() -> None:
    step = "cat /bin/wild > /mnt/a; cat /bin/ubench > /mnt/b; rm /mnt/a /mnt/b; sync; "
    _, once = run_on(BLANK, step)
    _, often = run_on(BLANK, step * 60)
    assert len(Reader(often).owner) == len(Reader(once).owner)
    assert Reader(often).generation > Reader(once).generation + 50


WORK = """
mkdir /mnt/d
echo state 0 > /mnt/n
sync
echo synced 0
{steps}
"""
STEP = """
echo state {i} > /mnt/n
cat /bin/echo > /mnt/d/f{i}
rm /mnt/d/f{before}
mkdir /mnt/d/dir{i}
cat /bin/sync >> /mnt/log
{round}
sync
echo synced {i}
"""
# Written and removed again: so blocks are given out all around the disk between two commits.
ROUND = "cat /bin/sh /bin/wild /bin/ubench /bin/ls /bin/ps /bin/cp > /mnt/t\nrm /mnt/t\n" * 12
STEPS = 24
SMALL = bytes(768 << 10)  # so small that blocks are used again
SUPERBLOCKS = (0, 8)  # their sectors


def states() -> list[dict[str, bytes | None]]:
    """What the disk must hold after sync number i."""
    echo, sync = sprout.program("echo"), sprout.program("sync")
    found: list[dict[str, bytes | None]] = []
    for i in range(STEPS + 1):
        state: dict[str, bytes | None] = {"": None, "/d": None, "/n": b"state %d\n" % i}
        state |= {f"/d/dir{k}": None for k in range(1, i + 1)}
        if i:
            state |= {f"/d/f{i}": echo, "/log": sync * i}
        found.append(state)
    return found


def cut(machine: Machine, random_writes: random.Random) -> bytes:
    """The medium if the power goes now: of what is in the drive's cache, any part may be on it."""
    disk = machine.disks[0]  # type: ignore[attr-defined]
    medium = bytearray(SMALL)
    for layer, keep in ((disk._written, 1.0), (disk._cache, random_writes.random())):
        for sector, data in layer.items():
            if random_writes.random() < keep:
                medium[sector * SECTOR : (sector + 1) * SECTOR] = data
    return bytes(medium)


def work(steps: int) -> bytes:
    """A root file system with a script that changes the disk and syncs, step by step."""
    text = "".join(STEP.format(i=i, before=i - 1, round=ROUND) for i in range(1, steps + 1))
    return sprout.root_with({"etc/script": ("mount /dev/hda /mnt\n" + WORK.format(steps=text)).encode()})


def at_work(root: bytes) -> Machine:
    """The machine just after the first sync."""
    machine = boot(root, "run=/etc/script", disk=SMALL)
    machine.run(max_instructions=1_000_000_000, until=lambda m: "synced 0" in m.console.text)
    return machine


def check_cut(machine: Machine, generator: random.Random, wanted: list[dict[str, bytes | None]]) -> int:
    """Cut the power now: what was synced is there, whole. Returns the last sync."""
    synced = max(int(n) for n in re.findall(r"synced (\d+)", machine.console.text))
    # the last commit that is complete, or the one whose sync is just about to return
    possible = wanted[synced : synced + 2]
    assert Reader(cut(machine, generator)).files() in possible, f"at instruction {machine.instructions}"
    return synced


def test_a_thousand_power_cuts() -> None:
    """At random instructions."""
    generator = random.Random(2)
    root, wanted = work(STEPS), states()
    machine = at_work(root)
    start = machine.instructions
    machine.run(max_instructions=1_000_000_000)
    assert Reader(image(machine)).files() == wanted[STEPS]
    places = sorted(generator.sample(range(start, machine.instructions), 1000))
    machine = at_work(root)
    seen = set()
    for place in places:
        machine.run(max_instructions=place - machine.instructions)
        seen.add(check_cut(machine, generator, wanted))
    assert len(seen) >= STEPS


def test_power_cuts_while_the_superblock_is_written() -> None:
    """The short time in which a commit can go wrong: its sector is in the drive's cache."""
    generator = random.Random(4)
    wanted = states()
    machine = at_work(work(STEPS))
    cuts = 0
    while machine.run(max_instructions=200).reason == "limit":
        cache = machine.disks[0]._cache  # type: ignore[union-attr]
        if any(sector in cache for sector in SUPERBLOCKS):
            cuts += 1
            for _ in range(4):
                check_cut(machine, generator, wanted)
    assert cuts > STEPS


def test_sprout_mounts_what_a_cut_leaves() -> None:
    generator = random.Random(3)
    machine = at_work(work(3))
    for _ in range(4):
        machine.run(max_instructions=generator.randrange(150_000))
        left = cut(machine, generator)
        said, _ = run_on(left, "cat /mnt/n; ls /mnt/d; echo new > /mnt/new; sync; cat /mnt/new")
        assert said[0].startswith("state ") and said[-1] == "new"


@pytest.mark.parametrize("seed", range(4))
def test_damaged_disks(seed: int) -> None:
    """Bytes at random in what is stored: the kernel goes on, and either reads or says why not."""
    generator = random.Random(seed)
    script = "mkdir /mnt/d; cat /bin/sh > /mnt/d/sh; cat /bin/wild > /mnt/wild; echo x > /mnt/x; sync"
    _, disk = run_on(BLANK, script)
    used = sorted(Reader(disk).owner) + [0, 1]
    for _ in range(6):
        broken = bytearray(disk)
        for _ in range(generator.choice((1, 10, 1000))):
            broken[generator.choice(used) * BLOCK + generator.randrange(BLOCK)] = generator.randrange(256)
        said, _ = run_on(
            bytes(broken), "ls /mnt; ls /mnt/d; cat /mnt/x; rm /mnt/x; echo y > /mnt/y; sync; echo alive"
        )
        assert "alive" in said


@pytest.mark.parametrize("seed", [1, 700])
def test_random_calls_leave_a_whole_disk(seed: int) -> None:
    """Programs that call at random, two at a time, in a directory on the disk."""
    calls = f"wild calls 40 {seed} | wild calls 40 {seed + 100} | wild calls 40 {seed + 200}"
    script = f"umount /mnt; mount /dev/hda /tmp; {calls}; sync; ls /tmp; echo alive"
    said, disk = run_on(BLANK, script)
    assert said[-1] == "alive" and "wild/" in said
    Reader(disk).files()


def test_two_files_with_one_block() -> None:
    _, disk = run_on(BLANK, "echo one > /mnt/a; echo two > /mnt/b; sync")
    reader = Reader(disk)
    a, b = (reader.inodes[n].blocks[0] for n in sorted(reader.inodes)[1:])
    table = next(block for block, owner in reader.owner.items() if owner == 0)
    broken = bytearray(disk)
    at = broken.index(b.to_bytes(4, "little"), table * BLOCK)
    broken[at : at + 4] = a.to_bytes(4, "little")
    said, _ = run_on(bytes(broken), "cat /mnt/b; echo z > /mnt/z; rm /mnt/a; ls /mnt")
    assert said[0].endswith("which another one has too")
    assert said[1] == "cowfs: the disk is damaged, it can only be read"
    assert "one" in said and "sh: /mnt/z: read-only file system" in said and said[-2:] == ["a", "b"]


def test_not_a_file_system() -> None:
    said, disk = run_on(b"\x55" * SIZE, "echo alive")
    assert said == ["mount: /dev/hda: invalid argument", "alive"]
    assert disk == b"\x55" * SIZE


def test_no_disk() -> None:
    assert run_script("mount /dev/hda /mnt; true") == ["mount: /dev/hda: no such file or directory"]


@needs_qemu
def test_disk_in_qemu(tmp_path: Path) -> None:
    """Written in QEMU, read by the description and on our machine."""
    path = tmp_path / "disk.img"
    path.write_bytes(BLANK)
    script = b"mount /dev/hda /mnt\nmkdir /mnt/d; cp /bin/sh /mnt/d/sh; echo text > /mnt/f; umount /mnt\n"
    drive = f"file={path},format=raw,if=ide,index=0,media=disk"
    status, text = qemu(sprout.root_with({"etc/script": script}), "run=/etc/script", "-drive", drive)
    assert status == 1, text
    disk = path.read_bytes()
    assert Reader(disk).files() == {"": None, "/d": None, "/d/sh": sprout.program("sh"), "/f": b"text\n"}
    assert run_on(disk, "cat /mnt/f; /mnt/d/sh -c 'echo from the disk'")[0] == ["text", "from the disk"]
