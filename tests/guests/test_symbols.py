"""The symbol table, against the compiler's own tool where there is one."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from pyvirt_edu.guests import sprout
from pyvirt_edu.guests.symbols import Symbols
from pyvirt_edu.machine.errors import ImageError


def test_functions_by_address() -> None:
    symbols = Symbols.of(sprout.image())
    assert symbols.at(symbols["schedule"]) == symbols.at(symbols["schedule"] + 5) == "schedule"
    assert symbols.at(0x1000) is None
    assert symbols.at(symbols.code[-1][1]) is None
    assert symbols.at(0x8048000) is None  # between the low code of the start and the high half


@pytest.mark.skipif(shutil.which("nm") is None, reason="needs nm")
def test_the_same_as_nm() -> None:
    symbols = Symbols.of(sprout.image())
    listed = subprocess.run(["nm", sprout.image()], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()]
    functions = {name: int(address, 16) for address, kind, name in rows if kind in "Tt"}
    assert len(functions) > 300
    assert {name: symbols.addresses.get(name) for name in functions} == functions


@pytest.mark.parametrize("image", [b"", b"no ELF", b"\x7fELF\x02\x01" + bytes(100)])
def test_other_files_are_refused(image: bytes) -> None:
    with pytest.raises(ImageError, match="32-bit"):
        Symbols.of(image)
