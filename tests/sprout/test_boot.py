"""From the boot loader to the prompt, and at the prompt: on our machine and in QEMU alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.guests import sprout
from pyvirt_edu.guests.build import build_sprout

from .lab import COMPILERS, boot, lines, needs_qemu, qemu, run_script

PROMPT = "$ "
SCRIPT = """
cat /etc/motd
echo one two | cat > /tmp/f; cat < /tmp/f; cat /tmp/f /tmp/f | cat
false || echo "a and $HOME"; true && echo 'b and $HOME'
ls /
ps
nothing; echo $?
mkdir /tmp/d; mkdir /tmp/d; rm /tmp/d /tmp/f; ls /tmp
wild
"""


def typed(machine: Machine, text: str, most: int = 50_000_000) -> list[str]:
    """Type, and wait for the next prompt; the lines in between."""
    before = len(machine.console.text)
    machine.console.type(text)
    out = machine.run(max_instructions=most, until=lambda m: m.console.text[before:].endswith(PROMPT))
    assert out.reason == "until", machine.console.text[before:]
    return lines(machine.console.text[before:])[:-1]


@pytest.fixture
def machine() -> Machine:
    m = boot()
    out = m.run(max_instructions=30_000_000, until=lambda m: m.console.text.endswith(PROMPT))
    assert out.reason == "until", m.console.text
    return m


def test_prompt_comes_soon(machine: Machine) -> None:
    assert machine.instructions < 2_000_000  # measured: 0.8 million; the issue asks for 30


def test_screen_says_the_same(machine: Machine) -> None:
    shown = [line.rstrip() for line in machine.screen.text.splitlines()]
    said = [line.rstrip() for line in lines(machine.console.text)]
    assert shown[: len(said)] == said


def test_what_is_typed_early_is_heard() -> None:
    m = boot()
    m.console.type("echo $?early\n")
    m.run(max_instructions=30_000_000, until=lambda m: "0early" in m.console.text)
    assert "0early" in m.console.text


def test_keyboard_is_heard(machine: Machine) -> None:
    before = len(machine.console.text)
    machine.keyboard.type("echo Key-Board\n")
    machine.run(max_instructions=50_000_000, until=lambda m: m.console.text[before:].count("Key-Board") == 2)
    assert lines(machine.console.text[before:])[:2] == ["echo Key-Board", "Key-Board"]


def test_line_is_edited(machine: Machine) -> None:
    assert typed(machine, "echo abx\x7fc wrong\x17right\n")[-1] == "abc right"
    assert typed(machine, "echo no\x15echo yes\n")[-1] == "yes"


def test_end_of_file_and_interrupt(machine: Machine) -> None:
    before = len(machine.console.text)
    machine.console.type("cat\n")
    machine.run(max_instructions=10_000_000)
    machine.console.type("line\n")
    machine.run(max_instructions=10_000_000)
    assert typed(machine, "\x04")[-1:] == []
    assert lines(machine.console.text[before:])[1:3] == ["line", "line"]
    machine.console.type("cat\n")
    machine.run(max_instructions=10_000_000)
    assert typed(machine, "\x03") == ["^C"]
    assert typed(machine, "echo $?\n")[-1] == "130"


def test_a_line_too_long_still_ends(machine: Machine) -> None:
    machine.console.type("cat\n")
    machine.run(max_instructions=10_000_000)
    before = len(machine.console.text)
    machine.console.type("x" * 5000 + "\n")
    machine.run(max_instructions=20_000_000)
    assert lines(machine.console.text[before:]) == ["x" * 4095] * 2


def test_pre_emption(machine: Machine) -> None:
    """A program that never calls the kernel does not keep others from running."""
    spin = bytes.fromhex("ebfe")
    files = {"bin/spin": executable(spin), "etc/script": b"spin &\necho still here\nkill 3\n"}
    assert "still here" in run_script("", sprout.root_with(files))


def executable(code: bytes) -> bytes:
    """A static ELF of one segment at 08048000h."""
    from ..guests.test_formats import elf_image

    image = bytearray(elf_image(code, entry=0x08048054, virtual=0x08048000))
    image[56:60] = (0).to_bytes(4, "little")  # the segment begins with the header
    image[68:76] = len(image).to_bytes(4, "little") * 2
    return bytes(image)


@needs_qemu
def test_same_text_in_qemu() -> None:
    root = sprout.root_with({"etc/script": SCRIPT.encode()})
    status, text = qemu(root, "run=/etc/script x=1")
    machine = boot(root, "run=/etc/script x=1")
    out = machine.run(max_instructions=300_000_000)
    assert lines(machine.console.text) == lines(text)
    assert "wild[29]" in text or "privileged instruction" in text
    assert out.status == status == 1


@needs_qemu
@pytest.mark.parametrize("compiler", COMPILERS)
def test_what_build_makes_boots_alike(compiler: str, tmp_path: Path) -> None:
    kernel, archive = build_sprout(tmp_path, compiler)
    root = sprout.root_with({"etc/script": SCRIPT.encode()})
    machine = boot(root, "run=/etc/script")
    machine.run(max_instructions=300_000_000)
    assert lines(qemu(root, "run=/etc/script", kernel=kernel)[1]) == lines(machine.console.text)
    built, packed = archive.read_bytes(), sprout.root().read_bytes()
    own = boot(built, "run=/etc/motd", kernel=kernel)
    committed = boot(packed, "run=/etc/motd")
    for m in (own, committed):
        m.run(max_instructions=100_000_000)
    assert own.console.text == committed.console.text
