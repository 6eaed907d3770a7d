"""Run the tests against mutants of the core and of hypervisors: ``python -m tests.mutants.run --count 100``.

Every mutant is caught by a test that fails, crashes or hangs, or it survives. What each did
is kept in a file, so a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pyvirt_edu.machine.state.jit import cache_directories

from .mutate import EQUIVALENT, ROOT, SHARES, Mutant, copy_tests, draw, plant, shares

CAUGHT, SURVIVED = "caught", "survived"
#: Where there are tests that execute code of a folder; of what is not named here, all of these.
ASKED = ["tests/machine", "tests/devices", "tests/hypervisor"]
ASKED_OF = {"hypervisor": ["tests/hypervisor"]}
COMPILE = (
    "import pyvirt_edu.devices; from pyvirt_edu.machine.state.jit import compile_missing; compile_missing()"
)


@dataclass
class Build:
    """A compiled copy with all the mutants in it."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def environment(self) -> dict[str, str]:
        data = ROOT.parent / "shared" / "sst286"
        return {
            "PYVIRT_SST286": str(data),
            "PYVIRT_SHARED_CACHE": str(cache_directories()[0]),  # units without a mutant
            **os.environ,
            "PYTHONPATH": str(self.tree),
            "PYVIRT_CACHE_DIR": str(self.folder / "cache"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def python(self, *arguments: str) -> str:
        """Run Python in the copy; the error text, or nothing."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.tree,
            env=self.environment(),
            capture_output=True,
            text=True,
        )
        return (done.stderr or done.stdout or "failed") if done.returncode else ""


def compiled_build(folder: Path, mutants: list[Mutant]) -> tuple[Build, dict[int, Mutant]]:
    """Plant all; leave out those that Numba refuses, which are no mutants."""
    build = Build(folder)
    chosen = folder / "chosen.json"
    numbered = dict(enumerate(mutants, 1))
    if chosen.exists():
        copy_tests(build.tree)
        return build, {number: numbered[number] for number in json.loads(chosen.read_text())}
    refused = _refused(build, numbered)
    numbered = {n: m for n, m in numbered.items() if n not in refused}
    plant(numbered, build.tree)
    if error := build.python("-c", COMPILE):
        raise RuntimeError(error)
    chosen.write_text(json.dumps(sorted(numbered)))
    return build, numbered


def _refused(build: Build, numbered: dict[int, Mutant]) -> set[int]:
    """Numbers of the mutants that do not compile: those that the error may mean, then halves of them."""
    plant(numbered, build.tree)
    error = build.python("-c", COMPILE)
    if not error:
        return set()
    if len(numbered) <= 1:
        if not numbered:
            raise RuntimeError(error)
        print("does not compile:", *numbered.values(), flush=True)
        return set(numbered)
    words = set(re.findall(r"\w+", error))
    numbers = sorted(numbered, key=lambda n: numbered[n].function not in words)
    meant = sum(numbered[n].function in words for n in numbers)
    cut = meant if 0 < meant < len(numbers) else len(numbers) // 2
    bad: set[int] = set()
    for part in (numbers[:cut], numbers[cut:]):
        bad |= _refused(build, {n: numbered[n] for n in part})
    return bad


@dataclass
class Outcome:
    caught: dict[Mutant, str]
    survived: dict[Mutant, str]  # with a remark

    def report(self) -> str:
        total = len(self.caught) + len(self.survived)
        lines = (f"{mutant}  {remark}".rstrip() for mutant, remark in self.survived.items())
        return "\n".join([f"{len(self.caught)} of {total} caught; survivors:", *lines])


def key_of(mutants: list[Mutant]) -> str:
    """Results hold for these sources and these mutants."""
    places = [(m.module, m.function, m.node, m.kind, m.other) for m in mutants]
    digest = hashlib.sha256(f"{sys.version} {places}".encode())
    for path in sorted((ROOT / "pyvirt_edu").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def default_folder() -> Path:
    return Path(os.environ.get("PYVIRT_MUTANTS_DIR", Path(tempfile.gettempdir()) / "pyvirt-mutants"))


def first_of(numbered: Mapping[int, Mutant], count: Mapping[str, int]) -> dict[int, Mutant]:
    """So many of each folder."""
    found, seen = {}, Counter[str]()
    for number, mutant in numbered.items():
        seen[mutant.folder] += 1
        if seen[mutant.folder] <= count[mutant.folder]:
            found[number] = mutant
    return found


def run_mutants(
    count: int, seed: int, jobs: int, of: Mapping[str, int] = SHARES, retry: bool = False
) -> Outcome:
    """Judge `count` mutants; `retry` runs those again that survived before."""
    parts = shares(count, of)
    # some will not compile or change nothing
    mutants = [m for folder, n in parts.items() for m in draw(n + n // 10 + 5, seed, folder)]
    folder = default_folder() / key_of(mutants)
    build, numbered = compiled_build(folder, mutants)
    numbered = {n: m for n, m in numbered.items() if m.key not in EQUIVALENT}
    numbered = first_of(numbered, parts)
    results = folder / "results.jsonl"
    known = known_results(results, retry)
    todo = [n for n in numbered if n not in known]
    if todo:
        (folder / "todo.json").write_text(json.dumps({"mutants": todo, "jobs": jobs}))
        shutil.copytree(Path(__file__).parent, build.tree / "tests" / "mutants", dirs_exist_ok=True)
        tests = sorted({name for part in parts for name in ASKED_OF.get(part, ASKED)})
        if error := build.python("-m", "tests.mutants.judge", str(folder), *tests):
            raise RuntimeError(error)
        known = known_results(results, retry=False)
    caught = {m: known[n][1] for n, m in numbered.items() if known[n][0] == CAUGHT}
    return Outcome(caught, {m: known[n][1] for n, m in numbered.items() if known[n][0] == SURVIVED})


def known_results(path: Path, retry: bool) -> dict[int, tuple[str, str]]:
    known = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        item = json.loads(line)
        if not retry or item["result"] == CAUGHT:
            known[item["number"]] = item["result"], item["by"]
    return known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--of", help="folders of the package, with commas; or 80 machine, 20 hypervisor")
    parser.add_argument("--retry", action="store_true", help="run survivors again")
    options = parser.parse_args()
    of = dict.fromkeys(options.of.split(","), 1) if options.of else SHARES
    print(run_mutants(options.count, options.seed, options.jobs, of, options.retry).report())


if __name__ == "__main__":
    main()
