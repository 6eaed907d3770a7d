"""The tiny kernels: the first rungs of the ladder of guests, a page or two of assembly each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from ...machine.assembler import assemble

HERE = Path(__file__).parent
ORIGIN = 0x100000


def source(name: str) -> str:
    """The assembly text of a tiny kernel, for example ``source("tiny2")``."""
    return (HERE / f"{name}.asm").read_text(encoding="utf-8")


@cache
def image(name: str) -> bytes:
    """Its multiboot image: what `Machine.boot`, QEMU and GRUB take."""
    return bytes(assemble(source(name), bits=32, origin=ORIGIN))
