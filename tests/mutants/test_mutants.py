"""A seeded run of mutants of the core and of hypervisors: at least 95 of 100 are caught.

``PYVIRT_MUTANTS=100 pytest -m long tests/mutants``; run.py shows more while it works.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu.hypervisor import instructions

from . import judge
from .mutate import (
    EQUIVALENT,
    ROOT,
    SHARES,
    Mutant,
    all_mutants,
    draw,
    mutants_in,
    plant,
    planted,
    python_functions,
    shares,
)
from .run import first_of, run_mutants

MOST_EQUIVALENT = 12

TOY = '''
from __future__ import annotations

class Tally:
    """Counts 1 and 2."""

    step: int = 3

    def __init__(self, start: int = 5) -> None:
        self.value, self.open = start, True

    @property
    def doubled(self) -> int:
        return self.value * 2 if self.open else -1

    def add(self, *numbers: int) -> str:
        for number in numbers:
            if number is None:
                raise ValueError(f"number {1 + 1} of {numbers}")
            self.value += number
        return f"{self.value + 1}" + " in all"

    def obey(self, words: list[str]) -> int:
        match words:
            case ["add", "1"]:
                self.add(1)
            case ["close"] if self.open:
                self.open = False
            case ["limit"]:
                return -HIGH
        return len([n for n in range(7) if n not in (LOW, HIGH)])

    def __repr__(self) -> str:
        return str(self.value + 1)

HIGH, LOW, SAME, TEXT = 5, 4, 5, "5"

def names() -> tuple[int, str]:
    return SAME, TEXT
'''
# what can go wrong there: no text, type, default or constant of the class, nothing that prints
MISTAKES = {
    "Tally.__init__": ["True becomes False", "left out"],
    "Tally.doubled": [
        "1 becomes 0",
        "1 becomes 2",
        "2 becomes 1",
        "2 becomes 3",
        "Mult becomes Add in self.value * 2",
        "not (self.open)",
    ],
    "Tally.add": [
        "Add becomes Sub in self.value += number",
        "Is becomes IsNot in number is None",
        "left out",
        "left out",
        "not (number is None)",
    ],
    "Tally.obey": [
        "1 becomes 0",
        "1 becomes 2",
        "7 becomes 6",
        "7 becomes 8",
        "False becomes True",
        "HIGH becomes LOW",
        "HIGH becomes LOW",
        "LOW becomes HIGH",
        "NotIn becomes In in n not in (LOW, HIGH)",
        "left out",
        "left out",
        "never taken",
        "never taken",
        "never taken",
        "not (n not in (LOW, HIGH))",
        "not (self.open)",
    ],
    "names": [],
}


def toy() -> tuple[ast.Module, list[Mutant]]:
    tree = ast.parse(TOY)
    values: dict[str, Any] = {}
    exec(TOY, values)
    return tree, list(mutants_in(tree, "toy", dict(python_functions(tree)), set(), values))


def behaviour(space: dict[str, Any]) -> list[Any]:
    """What a program can see of the toy."""
    seen: list[Any] = []
    for steps in (["add", "1"], ["close"], ["limit"], [], None):
        tally = space["Tally"]()
        try:
            seen += [tally.add(2), tally.obey(steps), tally.obey(steps), tally.doubled]
            seen += [tally.open, tally.add(None) if steps is None else None]
        except (AttributeError, TypeError, ValueError) as error:
            seen.append(type(error))
        seen.append(vars(tally))
    return seen


def test_mistakes_in_python() -> None:
    _, mutants = toy()
    found = {name: sorted(m.change for m in mutants if m.function == name) for name in MISTAKES}
    assert found == MISTAKES
    assert len(mutants) == sum(map(len, MISTAKES.values()))


def test_a_mistake_is_made_by_who_is_awake_and_by_nobody_else() -> None:
    tree, mutants = toy()
    now, reached = 0, set[int]()

    def ask(number: int) -> bool:
        reached.add(number)
        return number == now

    space: dict[str, Any] = {"_awake": ask}
    exec(compile(planted(tree, dict(enumerate(mutants, 1))), "toy", "exec"), space)
    plain: dict[str, Any] = {}
    exec(TOY, plain)
    right = behaviour(plain)
    assert behaviour(space) == right
    assert reached == set(range(1, len(mutants) + 1))
    for number, mutant in enumerate(mutants, 1):
        now = number
        assert behaviour(space) != right, mutant


COPY = """
import numpy as np
from numba import njit
from pyvirt_edu.hypervisor.descriptors import Gate
from pyvirt_edu.machine.mutant_switch import awake, reached, wake

compiled = njit(lambda: awake(np.uint64(7)))
for number in (0, 1, 7):
    wake(number)
    print(Gate(True, 0, 14, 8, 0x1234).pack(), compiled(), reached())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the switch between mutants is a page at a fixed place")
def test_a_copy_and_its_switch(tmp_path: Path) -> None:
    """Python and machine code ask the same switch; both leave marks. Python's source is the old one."""
    mutant = next(
        m for m in all_mutants("hypervisor") if m.function == "Gate.pack" and m.change == "16 becomes 17"
    )
    plant({1: mutant}, tmp_path)
    command = [sys.executable, "-c", COPY]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "(528948, 36352) False [1, 7]",
        "(1053236, 36352) False [1, 7]",
        "(528948, 36352) True [1, 7]",
    ], done.stderr
    source = Path("pyvirt_edu", "hypervisor", "descriptors.py")
    assert (tmp_path / source).read_text() == (ROOT / source).read_text()


def test_the_draw_is_seeded() -> None:
    for folder in SHARES:
        assert draw(50, 7, folder) == draw(50, 7, folder)
        assert draw(50, 7, folder) != draw(50, 8, folder)


def test_shares() -> None:
    assert shares(100, SHARES) == {"machine": 80, "hypervisor": 20}
    assert shares(6, SHARES) == {"machine": 5, "hypervisor": 1}
    numbered = dict(enumerate([*draw(9, 7, "machine"), *draw(9, 7, "hypervisor")], 1))
    assert list(first_of(numbered, shares(5, SHARES))) == [1, 2, 3, 4, 10]


def test_rooms_have_mutants() -> None:
    assert {"machine.memory.paging", "machine.x87.wide"} <= {m.module for m in all_mutants("machine")}


def test_equivalent_mutants_are_few_and_still_there() -> None:
    assert len(EQUIVALENT) <= MOST_EQUIVALENT
    assert set(EQUIVALENT) <= {mutant.key for folder in SHARES for mutant in all_mutants(folder)}


def test_the_order_of_tests() -> None:
    files: dict[str, judge.Times] = {
        "slow": {"slow::a": (9.0, [1, 2]), "slow::b": (1.0, [2])},
        "quick": {"quick::a": (0.1, []), "quick::b": (0.2, [1])},
    }
    assert judge.asked(files, 1) == ["quick::b", "quick::a", "slow::a", "slow::b"]
    assert judge.asked(files, 2) == ["slow::a", "slow::b"]
    assert judge.asked(files, 3) == []


def test_what_was_decoded_before_is_forgotten() -> None:
    instructions.decoded(b"\xfa", 32)
    judge.forget("pyvirt_edu.hypervisor")
    assert instructions.decoded.cache_info().currsize == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(
    ("wants", "used", "outcome"),
    [
        (True, 0.0, None),  # it waits for a processor: others are busy
        (True, judge.HANG + 4.0, None),
        (True, judge.HANG + 6.0, (judge.CAUGHT, "hang in one")),  # a test of one second
        (False, 0.0, (judge.CAUGHT, "hang in one")),  # it waits for something that does not come
    ],
)
def test_what_hangs(
    wants: bool,
    used: float,
    outcome: tuple[str, str] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = tmp_path / "log"
    log.write_text("one\n")
    process = subprocess.Popen(["sleep", "60"])
    child = judge.Child(process.pid, log, {"one": 1.0}, seen=time.monotonic())
    monkeypatch.setattr(judge, "state_of", lambda pid: (wants, 0.0))
    assert child.look() is None
    child.seen -= 2 * judge.WAIT
    monkeypatch.setattr(judge, "state_of", lambda pid: (wants, used))
    found = child.look()
    if not found:
        process.kill()
    assert found == outcome
    process.wait()


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the switch between mutants is a page at a fixed place")
def test_mutants_are_caught() -> None:
    count = int(os.environ.get("PYVIRT_MUTANTS", "100"))
    seed = int(os.environ.get("PYVIRT_MUTANTS_SEED", "1"))
    outcome = run_mutants(count, seed, jobs=os.cpu_count() or 1)
    print(outcome.report())
    assert len(outcome.caught) >= 0.95 * count, outcome.report()
