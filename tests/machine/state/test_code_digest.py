"""The JIT cache follows edits: what an edit can reach is compiled again, and nothing else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pyvirt_edu
from pyvirt_edu.machine.state.code_digest import sources_digest

PACKAGE = Path(pyvirt_edu.__file__).parent
REGISTERED = "import json, sys, pyvirt_edu.devices; from pyvirt_edu.machine.state import jit; "
ASK = REGISTERED + "print(json.dumps(jit.unit_digests()))"


def digests(root: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(root), "PYVIRT_CACHE_DIR": str(root / "cache")}
    command = [sys.executable, "-c", ASK]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("package")
    shutil.copytree(PACKAGE, root / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    return root, digests(root)


def changed_by(original: tuple[Path, dict[str, str]], file: str, old: str, new: str) -> set[str]:
    """Units whose digest an edit changes."""
    root, before = original
    path = root / PACKAGE.name / file if "/" in file else next((root / PACKAGE.name / "machine").rglob(file))
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    try:
        after = digests(root)
    finally:
        path.write_text(text, encoding="utf-8")
    return {name for name in before if after[name] != before[name]}


def test_a_comment_changes_nothing(original: tuple[Path, dict[str, str]]) -> None:
    assert changed_by(original, "loop.py", "\n@core\ndef leave(", "\n# a comment\n@core\ndef leave(") == set()
    assert changed_by(original, "alu.py", '"""', '"""Another docstring. ') == set()


def test_a_callee_changes_its_callers_units(original: tuple[Path, dict[str, str]]) -> None:
    """Numba's own cache misses this: it looks at the file of the compiled function only."""
    assert changed_by(original, "moves.py", "value >> 8 & 0xFF", "value >> 9 & 0xFF") == {"run"}
    assert changed_by(original, "cpuid.py", "c[RBX] = 0\n", "c[RBX] = 1\n") == {"assist_system"}
    assert "run" not in changed_by(original, "flags.py", "def write_eflags(", "def write_eflags(unused, ")


def test_sub_folders_count(original: tuple[Path, dict[str, str]]) -> None:
    """An edit in a room of the machine is noticed, and which room a file is in matters too."""
    root, before = original
    machine = root / PACKAGE.name / "machine"
    text = (machine / "execute" / "cpuid.py").read_text(encoding="utf-8")
    (machine / "room").mkdir()
    (machine / "room" / "__init__.py").write_text("", encoding="utf-8")
    (machine / "room" / "levels.py").write_text("HIGHEST_LEAF = 2\n", encoding="utf-8")
    moved = text.replace("HIGHEST_LEAF = 2", "from ..room.levels import HIGHEST_LEAF")
    assert moved != text
    try:
        (machine / "execute" / "cpuid.py").write_text(moved, encoding="utf-8")
        assert digests(root) == before
        assert changed_by(original, "levels.py", "2", "1") == {"assist_system"}
        whole = sources_digest(root / PACKAGE.name, ["machine"], "")
        shutil.move(machine / "room" / "levels.py", machine / "levels.py")
        assert sources_digest(root / PACKAGE.name, ["machine"], "") != whole
    finally:
        (machine / "execute" / "cpuid.py").write_text(text, encoding="utf-8")
        shutil.rmtree(machine / "room")
        (machine / "levels.py").unlink(missing_ok=True)


def test_a_constant_changes_those_who_name_it(original: tuple[Path, dict[str, str]]) -> None:
    units = set(original[1])
    assert changed_by(original, "layout.py", '("gpr", 16)', '("gpr", 17)') == units
    assert changed_by(original, "cpuid.py", "HIGHEST_LEAF = 2", "HIGHEST_LEAF = 1") == {"assist_system"}
    table = "devices/vga.py"
    assert changed_by(
        original, table, "MODE_3_SEQUENCER = np.array([0x03", "MODE_3_SEQUENCER = np.array([0x01"
    ) == {"device_access"}


def test_the_index_spares_the_search(original: tuple[Path, dict[str, str]]) -> None:
    """Unchanged sources: the answer is read, and the processor's code is not even imported."""
    root, before = original
    code = REGISTERED + "jit.unit_digests(); print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(root), "PYVIRT_CACHE_DIR": str(root / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    assert "pyvirt_edu.machine.execute.loop" not in done.stdout.split()
    assert digests(root) == before
