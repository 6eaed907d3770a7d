"""Run the tests against mutants of the core: ``python -m tests.mutants.run --count 100``.

Every mutant is caught by a test that fails, crashes or hangs, or it survives. What each did
is kept in a file, so a run that was interrupted goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from .mutate import ROOT, Mutant, copy_tests, draw, plant

#: Tests of a module, quickest to notice first; all others follow.
TESTS_OF = {
    "alu": "alu flags unicorn",
    "access": "strings transfers paging",
    "arithmetic": "arithmetic alu unicorn",
    "attention": "interrupts machine one_machine",
    "blocks": "machine one_machine",
    "code_pages": "machine one_machine",
    "control_registers": "system paging",
    "cpuid": "system",
    "debug_registers": "system interrupts",
    "decoder": "decode_lengths alu flags arithmetic strings transfers unicorn",
    "descriptor_tables": "system transfers",
    "far_transfers": "transfers tasks",
    "flag_instructions": "flags alu interrupts",
    "flags": "flags alu",
    "hostaccess": "machine paging",
    "interrupts": "interrupts tasks",
    "iret": "interrupts transfers tasks",
    "loop": "alu flags machine unicorn one_machine",
    "memory": "paging machine",
    "paging": "paging",
    "physical": "paging machine",
    "port_access": "interrupts system strings",
    "privilege": "system interrupts",
    "segment_cache": "transfers system",
    "segments": "transfers system",
    "shifts": "alu flags",
    "strings": "strings",
    "system": "system",
    "tasks": "tasks",
    "tlb": "paging",
    "transfers": "transfers",
}
#: The rest, and what looks only at Python or at speed is left out.
ORDER = """alu flags arithmetic strings transfers interrupts paging system tasks machine decode_lengths
one_machine unicorn sst286 inspect_code disassembler kernels fuzz matrix""".split()
HANG = 60  # seconds without a test that ends
CAUGHT, SURVIVED = "caught", "survived"


def test_path(name: str) -> str:
    return "tests/machine/matrix" if name == "matrix" else f"tests/machine/test_{name}.py"


def ordered_tests(module: str) -> list[list[str]]:
    """Those that know a module best, and then the rest."""
    first = [test_path(name) for name in TESTS_OF.get(module.rsplit(".", 1)[-1], "").split()]
    if module.startswith("devices"):
        first = ["tests/devices"]
    rest = [path for path in (*map(test_path, ORDER), "tests/devices") if path not in first]
    return [part for part in (first, rest) if part]


@dataclass
class Build:
    """A compiled copy with all the mutants in it."""

    folder: Path

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def environment(self, number: int) -> dict[str, str]:
        data = ROOT.parent / "shared" / "sst286"
        return {
            "PYVIRT_SST286": str(data),
            **os.environ,
            "PYTHONPATH": str(self.tree),
            "PYVIRT_CACHE_DIR": str(self.folder / "cache"),
            "PYVIRT_MUTANT": str(number),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def compiles(self) -> str:
        """Compile every unit; the error text, or nothing."""
        code = "from pyvirt_edu.machine.jit import compile_missing; compile_missing()"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=self.tree,
            env=self.environment(0),
            capture_output=True,
            text=True,
        )
        return done.stderr if done.returncode else ""

    def pytest(self, number: int, tests: list[list[str]], log: Path) -> tuple[str, str]:
        """Run tests until one notices: (caught or survived, by what)."""
        for part in tests:
            result = self._pytest(number, part, log)
            if result[0] == CAUGHT:
                break
        return result

    def _pytest(self, number: int, tests: list[str], log: Path) -> tuple[str, str]:
        command = [sys.executable, "-m", "pytest", "-x", "-v", "--tb=line", "-p", "no:cacheprovider", *tests]
        command += ["-k", "not qemu"]  # those ask QEMU and not us
        with log.open("w") as out:
            process = subprocess.Popen(
                command,
                cwd=self.tree,
                env=self.environment(number),
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=hear_ctrl_c,
            )
            size, since = 0, time.monotonic()
            while process.poll() is None:
                time.sleep(0.2)
                now = log.stat().st_size
                if now != size:
                    size, since = now, time.monotonic()
                if time.monotonic() - since > HANG:
                    process.kill()
                    process.wait()
                    return CAUGHT, f"hang in {last_test(log)}"
        if process.returncode == 0:
            return SURVIVED, ""
        if process.returncode == 1:
            return CAUGHT, next(
                (
                    line.split()[0]
                    for line in log.read_text().splitlines()
                    if " FAILED" in line or " ERROR" in line
                ),
                "an error while collecting",
            )
        if process.returncode < 0:
            return CAUGHT, f"crash ({-process.returncode}) in {last_test(log)}"
        return CAUGHT, f"pytest ended with {process.returncode}: {last_test(log)}"


def hear_ctrl_c() -> None:
    """A shell's background processes ignore it, and a test sends it to itself."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def last_test(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if "::" in line]
    return lines[-1].split()[0] if lines else "the start"


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
    if error := build.compiles():
        raise RuntimeError(error)
    chosen.write_text(json.dumps(sorted(numbered)))
    return build, numbered


def _refused(build: Build, numbered: dict[int, Mutant]) -> set[int]:
    """Numbers of the mutants that do not compile, found by halving."""
    plant(numbered, build.tree)
    error = build.compiles()
    if not error:
        return set()
    if len(numbered) <= 1:
        if not numbered:
            raise RuntimeError(error)
        print("does not compile:", *numbered.values(), flush=True)
        return set(numbered)
    numbers = sorted(numbered)
    half = len(numbers) // 2
    bad: set[int] = set()
    for part in (numbers[:half], numbers[half:]):
        bad |= _refused(build, {n: numbered[n] for n in part})
    return bad


@dataclass
class Outcome:
    caught: dict[Mutant, str]
    survived: list[Mutant]

    def report(self) -> str:
        total = len(self.caught) + len(self.survived)
        return "\n".join([f"{len(self.caught)} of {total} caught; survivors:", *map(str, self.survived)])


def key_of(mutants: list[Mutant]) -> str:
    """Results hold for these sources and these mutants."""
    digest = hashlib.sha256(f"{sys.version} {mutants}".encode())
    for path in sorted((ROOT / "pyvirt_edu").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def default_folder() -> Path:
    return Path(os.environ.get("PYVIRT_MUTANTS_DIR", Path(tempfile.gettempdir()) / "pyvirt-mutants"))


def run_mutants(
    count: int, seed: int, jobs: int, folders: tuple[str, ...] = ("machine",), retry: bool = False
) -> Outcome:
    """Judge `count` mutants; `retry` runs those again that survived before."""
    mutants = draw(count + count // 10 + 5, seed, folders)  # some will not compile
    folder = default_folder() / key_of(mutants)
    build, numbered = compiled_build(folder, mutants)
    numbered = dict(list(numbered.items())[:count])
    results = folder / "results.jsonl"
    known: dict[int, tuple[str, str]] = {}
    if results.exists():
        for line in results.read_text().splitlines():
            item = json.loads(line)
            if not (retry and item["result"] == SURVIVED):
                known[item["number"]] = item["result"], item["by"]

    def judge(number: int) -> None:
        mutant = numbered.get(number)
        tests = ordered_tests(mutant.module if mutant else "")
        known[number] = build.pytest(number, tests, folder / f"{number}.log")
        result, by = known[number]
        with results.open("a") as out:
            out.write(
                json.dumps({"number": number, "result": result, "by": by, "mutant": str(mutant)}) + "\n"
            )
        print(f"{result} {mutant} {by}", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(judge, [n for n in [0, *numbered] if n not in known]))
    if known[0][0] != SURVIVED:  # number 0 is no mutant
        raise RuntimeError(f"the copy does not pass while every mutant sleeps: {known[0][1]}")
    caught = {m: known[n][1] for n, m in numbered.items() if known[n][0] == CAUGHT}
    return Outcome(caught, [m for n, m in numbered.items() if known[n][0] == SURVIVED])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--of", default="machine", help="folders of the package, with commas")
    parser.add_argument("--retry", action="store_true", help="run survivors again")
    options = parser.parse_args()
    folders = tuple(options.of.split(","))
    print(run_mutants(options.count, options.seed, options.jobs, folders, options.retry).report())


if __name__ == "__main__":
    main()
