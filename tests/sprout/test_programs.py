"""C programs linked with the C library of this machine's Linux: the same binary prints the same on
Linux and on sprout. What sprout does not have it refuses, and says so by name (missing.c)."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pyvirt_edu.guests import busybox, sprout

from .lab import needs_busybox, run_script

PROGRAMS = Path(__file__).parent / "programs"
COMPLAINT = re.compile(r"\w+\[\d+\]: ")  # how a line of the kernel about a program begins
# What the kernel says about a program that does well
COMPLAINTS = {"memory": ["bad write"], "executables": ["bad jump"]}
MISSING = "missing"
pytestmark = needs_busybox


def compiled(name: str, folder: Path) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    program = folder / name
    options = ["-m32", "-static", "-march=i686", "-O2", "-w", "-o", str(program)]
    done = subprocess.run(["gcc", *options, PROGRAMS / f"{name}.c"], capture_output=True, text=True)
    if done.returncode and not (Path("/usr/include/gnu/stubs-32.h").exists()):
        pytest.skip("no 32-bit C library to link with: apt install gcc-multilib")
    assert done.returncode == 0, done.stderr
    return program


def on_linux(program: Path) -> list[str]:
    try:
        done = subprocess.run(
            [program],
            cwd=program.parent,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
    except OSError as error:
        pytest.skip(f"this system does not run 32-bit programs of Linux: {error}")
    return [*done.stdout.splitlines(), f"status {done.returncode}"]


def on_sprout(program: Path) -> tuple[list[str], list[str]]:
    """What the program printed, and what the kernel said about it meanwhile."""
    script = f"mkdir /tmp/work\ncd /tmp/work\n/bin/{program.name}\necho status $?\n"
    files = {f"bin/{program.name}": program.read_bytes(), "etc/script": script.encode()}
    tools = busybox.find()  # for popen and system
    root = sprout.root_with(files, tools, busybox.applets(tools))
    text = run_script(script, root, 64 << 20)
    said = [line for line in text if COMPLAINT.match(line)]
    return [line for line in text if line not in said], said


@pytest.mark.parametrize("name", sorted(path.stem for path in PROGRAMS.glob("*.c") if path.stem != MISSING))
def test_the_same_binary_prints_the_same(name: str, tmp_path: Path) -> None:
    program = compiled(name, tmp_path)
    text, said = on_sprout(program)
    assert text == on_linux(program)
    expected = COMPLAINTS.get(name, [])
    assert len(said) == len(expected), said
    assert all(part in line for part, line in zip(expected, said, strict=True)), said


def test_what_is_missing_is_refused_by_name(tmp_path: Path) -> None:
    text, said = on_sprout(compiled(MISSING, tmp_path))
    assert text == [
        "shmget: Function not implemented",
        "semget: Function not implemented",
        "epoll: Function not implemented",
        "inotify: Function not implemented",
        "timerfd: Function not implemented",
        "copy_file_range: Function not implemented",
        "datagrams: Protocol not supported",
        "tcp: Protocol not supported",
        "ipv6: Address family not supported by protocol",
        "status 0",
    ]
    assert [COMPLAINT.sub("", line) for line in said] == [
        "system call 117 (ipc) is not supported",
        "system call 329 (epoll_create1) is not supported",
        "system call 332 (inotify_init1) is not supported",
        "system call 322 (timerfd_create) is not supported",
        "system call 377 (copy_file_range) is not supported",
        "AF_UNIX but for streams is not supported",
        "TCP is not supported",
        "an address family but AF_INET and AF_UNIX is not supported",
    ]
