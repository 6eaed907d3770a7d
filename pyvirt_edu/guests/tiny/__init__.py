"""The tiny kernels: the first rungs of the ladder of guests, a page or two of assembly each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ...machine.assembler import Program, assemble

HERE = Path(__file__).parent
ORIGIN = 0x100000


def source(name: str) -> str:
    """The assembly text of a tiny kernel, for example ``source("tiny2")``."""
    return (HERE / f"{name}.asm").read_text(encoding="utf-8")


@cache
def program(name: str) -> Program:
    """It assembled: a multiboot image with its labels."""
    return assemble(source(name), bits=32, origin=ORIGIN)


def image(name: str) -> bytes:
    """Its multiboot image: what `Machine.boot`, QEMU and GRUB take."""
    return bytes(program(name))


def text_range(code: Program) -> tuple[int, int]:
    """Where the instructions of a tiny kernel stand: from its label start to its first text."""
    return code.symbols["start"], code.symbols["hello"]
