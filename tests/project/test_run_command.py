"""`pyvirt run` and `pyvirt guests`, as processes with their input, output and exit status."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pyvirt_edu import assemble


def pyvirt(*arguments: str, typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "pyvirt_edu.cli", *arguments]
    return subprocess.run(command, input=typed, capture_output=True, timeout=300)


def flat(folder: Path, source: str) -> str:
    path = folder / "guest.bin"
    path.write_bytes(assemble(source, bits=32, origin=0x10000))
    return str(path)


ECHO = """
    mov dx, 0x3fd
.wait:  in al, dx
    test al, 1              ; a character has come
    je .wait
    mov dx, 0x3f8
    in al, dx
    cmp al, 'q'
    je .end
    inc eax
    out dx, al
    mov dx, 0x3fd
    jmp .wait
.end:   mov al, 21
    out 0xf4, al
    hlt
"""


def test_serial_and_exit_status(tmp_path: Path) -> None:
    done = pyvirt("run", flat(tmp_path, ECHO), "--format", "flat", typed=b"HALq")
    assert done.stdout == b"IBM"
    assert done.returncode == 21 << 1 | 1


def test_json(tmp_path: Path) -> None:
    source = "mov al, '!'\n mov dx, 0x3f8\n out dx, al\n cli\n hlt"
    done = pyvirt("run", flat(tmp_path, source), "--format", "flat", "--json")
    report = json.loads(done.stdout)
    assert (report["reason"], report["status"], report["console"]) == ("halt", 0, "!")
    assert (report["format"], report["instructions"]) == ("flat", 5)
    assert done.returncode == 0


@pytest.mark.parametrize(
    "source, arguments, status",
    [
        ("jmp $", ["--max-instructions", "1000"], 3),
        ("ud2", [], 4),  # no IDT: a triple fault
    ],
)
def test_other_ends(tmp_path: Path, source: str, arguments: list[str], status: int) -> None:
    done = pyvirt("run", flat(tmp_path, source), "--format", "flat", *arguments)
    assert done.returncode == status


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nothing.bin"], b"cannot read the image nothing.bin"),
        (["README.md"], b"in no known format"),
        (["README.md", "--memory", "lots"], b"is not a size"),
        (["README.md", "--on", "hvm"], b"part IV"),
        (["README.md", "--cpus", "2"], b"cpus=2"),
    ],
)
def test_what_cannot_be_run(arguments: list[str], said: bytes) -> None:
    done = pyvirt("run", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_guests(tmp_path: Path) -> None:
    done = pyvirt("guests", "--write", str(tmp_path))
    assert b"tiny2" in done.stdout
    assert (tmp_path / "tiny2.bin").stat().st_size > 500


def test_floppies(tmp_path: Path) -> None:
    """--floppy puts a disk into the first drive; its controller says so in the CMOS RAM."""
    image = tmp_path / "floppy.img"
    image.write_bytes(bytes(1440 * 1024))
    source = "mov al, 0x10\n out 0x70, al\n in al, 0x71\n out 0xe9, al\n cli\n hlt"
    done = pyvirt("run", flat(tmp_path, source), "--format", "flat", "--floppy", str(image))
    assert (done.stdout, done.returncode) == (b"@", 0)  # 40h: a drive of 1.44 MB
    image.write_bytes(bytes(1000 * 1024))
    done = pyvirt("run", flat(tmp_path, source), "--format", "flat", "--floppy", str(image))
    assert done.returncode == 2 and b"floppy disks are 160K" in done.stderr


DISK_READER = """
    mov edx, 0x3f6
    mov al, 2
    out dx, al
again:
    mov edx, 0x1f2
    mov al, 1
    out dx, al
    inc edx
    out dx, al
    mov edx, 0x1f6
    mov al, 0xe0
    out dx, al
    inc edx
    mov al, 0x20
    out dx, al
wait_for_data:
    in al, dx
    test al, 0x80
    jnz wait_for_data
    test al, 1
    jnz failed
    mov edx, 0x1f0
    mov ecx, 256
    mov edi, 0x30000
    cld
    rep insw
    mov al, '.'
    out 0xe9, al
    jmp again
failed:
    mov al, 7
    out 0xf4, al
"""


def test_a_disk_image_that_somebody_else_writes(tmp_path: Path) -> None:
    """The run ends with a message and status 2, and the file is as the other program left it."""
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(1 << 20))
    guest = flat(tmp_path, DISK_READER)
    command = [sys.executable, "-m", "pyvirt_edu.cli", "run", guest, "--format", "flat", "--disk", str(image)]
    nothing, pipe = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, stdin=nothing, stdout=pipe, stderr=pipe) as run:
        assert run.stdout is not None and run.stdout.read(1) == b"."  # it reads
        image.write_bytes(b"changed".ljust(1 << 20, b"!"))
        _, said = run.communicate(timeout=60)
    assert run.returncode == 2
    assert b"changed by another program" in said and b"Traceback" not in said
    assert image.read_bytes() == b"changed".ljust(1 << 20, b"!")


def test_disks_that_cannot_be_used(tmp_path: Path) -> None:
    guest = flat(tmp_path, "hlt")
    small = tmp_path / "small.img"
    small.write_bytes(bytes(100))
    for path, message in ((tmp_path / "none", b"cannot open"), (small, b"less than one sector")):
        for option in ("--disk", "--floppy"):
            done = pyvirt("run", guest, "--format", "flat", option, str(path))
            assert done.returncode == 2
            assert message in done.stderr and str(path).encode() in done.stderr
            assert done.stderr.count(b"\n") == 1
