"""C programs that compute on the x87: what GCC makes of them prints on this machine what it prints
on the host's processor. The compiled program is the same file, linked to two ways of printing."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from pyvirt_edu import Machine

SOURCES = Path(__file__).parent / "x87"
PROGRAMS = sorted(p.stem for p in SOURCES.glob("*.c") if p.stem != "runtime")
X87 = ["-m32", "-mfpmath=387", "-mno-sse", "-mno-mmx"]
ALONE = ["-ffreestanding", "-fno-pic", "-fno-stack-protector", "-fno-asynchronous-unwind-tables"]
WAYS = {
    "O0 i386": ["-O0", "-march=i386"],
    "Os i486 float-store": ["-Os", "-march=i486", "-ffloat-store"],
    "O2 i686": ["-O2", "-march=i686"],
    "O3 pentium3 fast-math": [
        "-O3",
        "-march=pentium3",
        "-funroll-loops",
        "-ffast-math",
        "-fno-finite-math-only",
    ],
}
MOST = 60_000_000  # instructions


def tool(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def link(where: Path, start: str, *options: str) -> Path:
    """The objects of a program with one of the two beginnings."""
    out = where / start
    tool("gcc", "-m32", "-c", "-o", f"{start}.o", str(SOURCES / f"{start}.S"), cwd=where)
    tool("ld", "-m", "elf_i386", *options, "-o", out.name, f"{start}.o", "program.o", "runtime.o", cwd=where)
    return out


@cache
def why_not() -> str:
    """What keeps these programs from being made and run on this host, if anything."""
    if shutil.which("gcc") is None or shutil.which("ld") is None:
        return "gcc is not installed"
    made = subprocess.run(
        ["gcc", "-m32", "-nostdlib", "-static", "-o", "/dev/null", "-xc", "-"],
        input="void _start(void) {}",
        capture_output=True,
        text=True,
    )
    return "gcc cannot make 32-bit code here" if made.returncode else ""


def natively(program: Path) -> str:
    try:
        done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60)
    except OSError:
        pytest.skip("this host runs no 32-bit programs")
    assert done.returncode == 0
    return done.stdout


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("name", PROGRAMS)
def test_prints_what_it_prints_natively(name: str, way: str, tmp_path: Path) -> None:
    if reason := why_not():
        pytest.skip(reason)
    for source, out in ((name, "program.o"), ("runtime", "runtime.o")):
        path = str(SOURCES / f"{source}.c")
        tool("gcc", *X87, *ALONE, *WAYS[way], "-Wall", "-Werror", "-c", "-o", out, path, cwd=tmp_path)
    expected = natively(link(tmp_path, "start_linux"))
    kernel = link(tmp_path, "start_machine", "-T", str(SOURCES / "kernel.ld"))
    m = Machine(ram="4MiB", history=False)
    assert m.boot(kernel) == "multiboot"
    out = m.run(max_instructions=MOST)
    assert out.reason == "exit", out
    assert m.console.serial.splitlines() == expected.splitlines()
    assert len(expected) > 100
