"""ELF files opened for what a debugger reads in them: symbols, lines, structures (pyelftools)."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..machine.errors import ImageError

if TYPE_CHECKING:
    from elftools.elf.elffile import ELFFile

Image = str | Path | bytes


@cache
def _opened(data: bytes) -> ELFFile:
    try:
        from elftools.elf.elffile import ELFFile
    except ImportError as error:
        raise ImageError(
            "reading symbols and lines needs pyelftools: pip install 'pyvirt-edu[lab]'"
        ) from error
    return ELFFile(io.BytesIO(data))


def open_elf(image: Image) -> ELFFile:
    """A 32-bit little-endian ELF, from a file or its bytes; anything else is an `ImageError`."""
    data = image if isinstance(image, bytes) else Path(image).read_bytes()
    if data[:6] != b"\x7fELF\x01\x01":
        raise ImageError("not a 32-bit little-endian ELF: only such a file has symbols that are read here")
    return _opened(data)


def open_dwarf(image: Image) -> ELFFile:
    """The same; an image that was compiled without -g is an `ImageError`."""
    elf = open_elf(image)
    if not elf.has_dwarf_info(strict=True):
        raise ImageError("this ELF has no debugging information: compile it with -g, and do not strip it")
    return elf
