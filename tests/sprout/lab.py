"""sprout on our machine and in QEMU, and what tests of it share."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.guests import busybox, sprout

RAM = 16 << 20
QEMU = "qemu-system-i386"

needs_qemu = pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed")
needs_compiler = pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("ld") is None, reason="gcc and ld are not installed"
)
COMPILERS = [
    pytest.param(
        name, marks=pytest.mark.skipif(shutil.which(name) is None, reason=f"{name} is not installed")
    )
    for name in ("gcc", "clang")
]
needs_busybox = pytest.mark.skipif(
    not busybox.cache_file().exists(), reason="busybox is not in the cache: pyvirt guests add busybox"
)


def lines(text: str) -> list[str]:
    return text.replace("\r", "").splitlines()


def boot(
    root: bytes | None = None,
    append: str = "",
    ram: int = RAM,
    disk: bytes | None = None,
    kernel: Path | None = None,
) -> Machine:
    machine = Machine(ram=ram, history=False)
    machine.boot(kernel or sprout.image(), append, root or sprout.root(), disk)
    return machine


def run_script(
    script: str,
    root: bytes | None = None,
    ram: int = RAM,
    disk: bytes | None = None,
    most: int = 1_000_000_000,
) -> list[str]:
    """What the script prints on our machine, from its first line to its last."""
    files = {"etc/script": script.encode()}
    machine = boot(root or sprout.root_with(files), "run=/etc/script", ram, disk)
    out = machine.run(max_instructions=most)
    text = lines(machine.console.text)
    assert out.reason == "exit", "\n".join([repr(out), *text[-30:]])
    assert text[-2:] == ["init ended with status 0", "power off"], "\n".join(text[-30:])
    return text[2:-2]


def qemu(
    root: bytes, append: str, *options: str, kernel: Path | None = None, timeout: float = 60
) -> tuple[int, str]:
    """Exit status and console text of a run in QEMU."""
    with tempfile.NamedTemporaryFile(suffix=".cpio") as file:
        file.write(root)
        file.flush()
        command = [QEMU, "-m", str(RAM >> 20), "-kernel", str(kernel or sprout.image()), "-initrd", file.name]
        command += [
            "-append",
            append,
            "-display",
            "none",
            "-serial",
            "stdio",
            "-monitor",
            "none",
            "-no-reboot",
        ]
        command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04", *options]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    return done.returncode, done.stdout.decode("latin1")
