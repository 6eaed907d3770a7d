"""From nothing to the first guest instruction, in processes of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .results import Result

PACKAGE = Path(__file__).resolve().parents[1]
FIRST_INSTRUCTION = """
from pyvirt_edu import Machine
m = Machine(ram="1MiB", devices=())
m.load(b"\\x90\\xf4", at=0x10000)
m.enter_protected_mode(eip=0x10000, esp=0x90000)
m.step()
assert m.cpu.eip == 0x10001
"""
EDITED = "execute/loop.py"  # the largest unit
STATEMENT = "    c[EXIT_REASON] = 0\n"  # of its code; said twice it means the same


def _seconds(root: Path, cache: str | None = None) -> float:
    environment = {**os.environ, "PYTHONPATH": str(root)}
    if cache is not None:
        environment["PYVIRT_CACHE_DIR"] = cache
        environment.pop("PYVIRT_SHARED_CACHE", None)
    started = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", FIRST_INSTRUCTION],
        check=True,
        cwd=root,  # python -c looks there first
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    return time.perf_counter() - started


def cold() -> Result:
    with tempfile.TemporaryDirectory() as cache:
        seconds = _seconds(PACKAGE.parent, cache)
    return Result("start, empty JIT cache", "s", [seconds], 90, more=False, detail=f"{os.cpu_count()} cores")


def edited() -> Result:
    """A copy of the package with one core file edited, on a cache that fits the original."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        shutil.copytree(
            PACKAGE, root / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "_book", "guests")
        )
        from ..machine.state import jit

        cache = root / "cache"
        cache.mkdir()
        for name, digest in jit.unit_digests().items():
            unit = f"{name}-{digest}.unit"
            for place in jit.cache_directories():
                if (place / unit).exists():
                    shutil.copy(place / unit, cache / unit)
                    break
        path = root / PACKAGE.name / "machine" / EDITED
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(STATEMENT, 2 * STATEMENT, 1), encoding="utf-8")
        seconds = _seconds(root, str(cache))
    return Result(f"start, after editing {EDITED}", "s", [seconds], 20, more=False)


def warm() -> Result:
    times = [_seconds(PACKAGE.parent) for _ in range(8)][1:]
    return Result("start, warm cache", "s", times, 2.5, more=False, detail="imports included")


MEASUREMENTS: tuple[tuple[str, Callable[[], Result]], ...] = (
    ("start with an empty cache", cold),
    ("start after an edit", edited),
    ("start with a warm cache", warm),
)
