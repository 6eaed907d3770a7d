"""Debian's busybox on sprout prints what it prints on Linux."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pyvirt_edu.guests import busybox, cpio

from .lab import boot, lines, needs_busybox, run_script

HERE = Path(__file__).parent
SCRIPTS = ("busybox", "busybox_more")
PROMPT = "# \x1b[6n"

pytestmark = needs_busybox


def source(script: str) -> str:
    return (HERE / f"{script}.sh").read_text(encoding="utf-8")


def expected(script: str) -> list[str]:
    """What it printed on Linux."""
    return (HERE / f"{script}.expected").read_text(encoding="utf-8").splitlines()


def root(script: str) -> bytes:
    return busybox.root({"etc/script": source(script).encode()})


def on_linux(script: str, folder: Path) -> str:
    """The script in a root of its own, with the kernel that runs the tests."""
    for name, member in cpio.unpack(root(script)).items():
        path = folder / name
        if member.mode >> 12 == 4:
            path.mkdir(parents=True, exist_ok=True)
        elif member.mode >> 12 == 10:
            path.symlink_to(member.data.decode())
        else:
            path.write_bytes(member.data)
            path.chmod(member.mode & 0o777)
    variables = "HOME=/ PATH=/bin:/sbin:/usr/bin:/usr/sbin TERM=linux"
    chroot = shutil.which("chroot", path="/usr/sbin:/usr/bin:/sbin:/bin")
    inside = f"mount --bind /dev {folder}/dev; exec env -i {variables} {chroot} {folder} /bin/sh /etc/script"
    command = ["unshare", "-fmp", f"--mount-proc={folder}/proc", "sh", "-c", inside]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60
    )
    return done.stdout.decode()


def test_it_has_commands_enough() -> None:
    """The issue asks for 60 of busybox's commands."""
    words = {word for script in SCRIPTS for word in re.split(r"[\s;|(`]+", source(script))}
    used = words & set(busybox.applets(busybox.find()))
    assert len(used) >= 100, len(used)


@pytest.mark.parametrize("script", SCRIPTS)
def test_script_prints_what_it_prints_on_linux(script: str) -> None:
    assert run_script("", root(script), 32 << 20) == expected(script)


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0 or shutil.which("unshare") is None, reason="needs root on Linux"
)
@pytest.mark.parametrize("script", SCRIPTS)
def test_expected_is_what_linux_prints(script: str, tmp_path: Path) -> None:
    probe = tmp_path / "busybox"
    probe.write_bytes(busybox.find())
    probe.chmod(0o755)
    if subprocess.run([probe, "true"], check=False).returncode:
        pytest.skip("this Linux runs no i386 programs")
    (tmp_path / "root").mkdir()
    text = on_linux(script, tmp_path / "root")
    if not text:
        pytest.skip("no namespaces here")
    assert text.splitlines() == expected(script)


def test_interactive_shell() -> None:
    """ash edits its line itself: raw mode, history, job control."""
    m = boot(busybox.root(), ram=32 << 20)

    def typed(text: str) -> str:
        before = len(m.console.text)
        m.console.type(text)
        out = m.run(
            max_instructions=300_000_000, until=lambda m: m.console.text[before:].endswith("# \x1b[6n")
        )
        assert out.reason == "until", m.console.text[before:]
        return m.console.text[before:]

    typed("")
    assert "edited\r\n" in typed("ech\x7fho editec\x7fd\n")
    assert "edited\r\n" in typed("\x1b[A\n")
    m.console.type("sleep 100000\n")
    m.run(max_instructions=2_000_000)
    assert "Stopped" in typed("\x1a")
    assert "sleep 100000" in typed("jobs\n")
    assert "Killed" in typed("kill -9 %1; sleep 1; true\n")
    m.console.type("cat /dev/zero > /dev/null\n")
    m.run(max_instructions=5_000_000)
    typed("\x03")
    assert "130" in typed("echo $?\n")
    assert "{ps}" in typed("ps\n")


def test_ping() -> None:
    m = boot(busybox.root(), ram=32 << 20)
    m.run(max_instructions=300_000_000, until=lambda m: "# " in m.console.text)
    m.console.type("ping -c 3 10.0.2.2\n")
    m.run(max_instructions=300_000_000, until=lambda m: "packet loss" in m.console.text)
    text = lines(m.console.text)
    assert "3 packets transmitted, 3 packets received, 0% packet loss" in text
    assert len([line for line in text if line.startswith("64 bytes from 10.0.2.2: seq=")]) == 3
