"""A seeded run of mutants of the machine's code: at least 95 of 100 are caught.

``PYVIRT_MUTANTS=100 pytest -m long tests/mutants``; run.py shows more while it works.
"""

from __future__ import annotations

import os
import sys

import pytest

from .mutate import EQUIVALENT, all_mutants, draw
from .run import run_mutants

MOST_EQUIVALENT = 12


def test_the_draw_is_seeded() -> None:
    assert draw(50, 7, ("machine",)) == draw(50, 7, ("machine",))
    assert draw(50, 7, ("machine",)) != draw(50, 8, ("machine",))


def test_equivalent_mutants_are_few_and_still_there() -> None:
    assert len(EQUIVALENT) <= MOST_EQUIVALENT
    keys = {mutant.key for mutant in all_mutants(("machine",))}
    assert set(EQUIVALENT) <= keys


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the switch between mutants is a page at a fixed place")
def test_mutants_are_caught() -> None:
    count = int(os.environ.get("PYVIRT_MUTANTS", "100"))
    outcome = run_mutants(
        count, seed=int(os.environ.get("PYVIRT_MUTANTS_SEED", "1")), jobs=os.cpu_count() or 1
    )
    print(outcome.report())
    assert len(outcome.caught) >= 0.95 * count, outcome.report()
