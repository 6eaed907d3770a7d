"""A package by somebody else: its parts are used, ours fill the gaps, and errors name file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyvirt_edu.hypervisor.loader import load_parts, whose
from pyvirt_edu.machine.errors import MachineError


def package(folder: Path, name: str, **modules: str) -> str:
    (folder / name).mkdir()
    for module, text in {"__init__": "", **modules}.items():
        (folder / name / f"{module}.py").write_text(text)
    return str(folder / name)


def test_a_part_is_theirs_and_the_rest_is_ours(tmp_path: Path) -> None:
    where = package(tmp_path, "myhv_a", walk="class Walk:\n    def __call__(self, host, frame): return ''\n")
    parts = load_parts(where)
    assert list(parts) == ["walk"]
    assert whose("myhv_a", parts) == "parts of myhv_a: walk; ours: decode, emulate, reflect"


def test_errors_name_what_is_wrong(tmp_path: Path) -> None:
    for name, text, message in (
        ("myhv_b", "class Walk(:\n", "walk.py, line 1"),
        ("myhv_c", "x = 1\ny = z\n", "walk.py, line 2: NameError"),
        ("myhv_d", "class Walk: pass\n", "Walk has no method __call__"),
        ("myhv_e", "", "has no class Walk"),
    ):
        with pytest.raises(MachineError, match=message):
            load_parts(package(tmp_path, name, walk=text))
    with pytest.raises(MachineError, match="neither a technique"):
        load_parts("no_such_hypervisor")
