"""Which test notices a mutant: run inside the copy, where all mutants are compiled.

One pytest session collects the tests. For each mutant it forks; the child wakes the mutant
and runs test after test until one fails. So a mutant costs what its tests cost, no more.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import itertools
import json
import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

#: Tests of a module, quickest to notice first; all others follow.
TESTS_OF = {
    "alu": "flags unicorn",
    "access": "strings transfers paging",
    "arithmetic": "arithmetic unicorn",
    "attention": "interrupts system machine one_machine",
    "blocks": "machine one_machine",
    "code_pages": "machine one_machine",
    "control_registers": "system paging tasks",
    "cpuid": "system",
    "debug_registers": "system interrupts",
    "decoder": "unicorn paging strings transfers",
    "descriptor_tables": "system transfers",
    "far_transfers": "transfers tasks",
    "flag_instructions": "flags unicorn interrupts system",
    "flags": "flags unicorn",
    "descriptor_fields": "transfers",
    "handles": "flags machine",
    "hostaccess": "machine paging",
    "interrupts": "interrupts tasks",
    "iret": "interrupts transfers tasks",
    "links": "machine one_machine",
    "loop": "machine unicorn transfers",
    "memory": "paging interrupts system",
    "paging": "paging",
    "physical": "paging machine",
    "port_access": "system machine strings",
    "privilege": "system interrupts",
    "segment_cache": "transfers system",
    "segments": "tasks transfers",
    "shifts": "unicorn",
    "strings": "strings machine one_machine",
    "system": "system",
    "tasks": "tasks",
    "tlb": "paging",
    "transfers": "transfers",
}
#: The rest. What looks only at Python, at speed or at the sources is left out.
ORDER = """flags arithmetic unicorn strings transfers interrupts paging system tasks machine decode_lengths
one_machine inspect_code disassembler sst286 alu kernels matrix fuzz""".split()
#: Not asked: QEMU's side of a comparison, and what the clock on the wall decides.
UNASKED = "not qemu and not ctrl_c and not word_in"
HANG = 60  # seconds of the processor without a test that ends
STUCK = 600  # the same on the wall
TICKS = os.sysconf("SC_CLK_TCK")
CAUGHT, SURVIVED = "caught", "survived"


def path_of(name: str) -> str:
    if name in ("matrix", "devices"):
        return {"matrix": "tests/machine/matrix/", "devices": "tests/devices/"}[name]
    return f"tests/machine/test_{name}.py"


def ordered(items: list[pytest.Item], module: str, part: int) -> list[pytest.Item]:
    """First the tests that know a module best, then the rest; the order within a file stays."""
    best = TESTS_OF.get(module, "").split()
    names = best if part == 1 else [name for name in [*ORDER, "devices"] if name not in best]
    places = {path_of(name): i for i, name in enumerate(names)}

    def place(item: pytest.Item) -> int | None:
        path = item.nodeid.split("::")[0]
        return next((i for p, i in places.items() if path.startswith(p)), None)

    asked = [(where, item) for item in items if (where := place(item)) is not None]
    return [item for _, item in sorted(asked, key=lambda pair: pair[0])]


def remember_assembled(folder: Path) -> None:
    """The tests assemble the same programs for every mutant: keep what came out.

    The assembler is Python and no mutant touches it.
    """
    from pyvirt_edu.machine.assembler import assemble

    folder.mkdir(exist_ok=True)

    def remembered(*arguments: Any, **options: Any) -> Any:
        key = hashlib.sha256(repr((arguments, sorted(options.items()))).encode()).hexdigest()
        path = folder / key
        try:
            return pickle.loads(path.read_bytes())
        except OSError:
            program = assemble(*arguments, **options)
        part = folder / f"{key}.{os.getpid()}"
        part.write_bytes(pickle.dumps(program))
        part.rename(path)
        return program

    for name, module in list(sys.modules.items()):
        if name.startswith("tests.") and getattr(module, "assemble", None) is assemble:
            module.assemble = remembered  # type: ignore[attr-defined]


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Child:
    """One process with one mutant awake."""

    pid: int
    number: int
    module: str
    round: int
    log: Path
    size: int = 0
    used: float = 0.0
    since: float = 0.0

    def look(self) -> tuple[str, str] | None:
        """What became of it, or None while it works."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid:
            if os.WIFSIGNALED(status):
                return CAUGHT, f"crash ({os.WTERMSIG(status)}) in {self.last()}"
            code = os.waitstatus_to_exitcode(status)
            return {0: (SURVIVED, ""), 1: (CAUGHT, self.last())}.get(code, (CAUGHT, f"exit in {self.last()}"))
        size, used, now = self.log.stat().st_size, processor_seconds(self.pid), time.monotonic()
        if size != self.size:
            self.size, self.used, self.since = size, used, now
        if used - self.used > HANG or now - self.since > STUCK:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return CAUGHT, f"hang in {self.last()}"
        return None

    def last(self) -> str:
        return (self.log.read_text().splitlines() or ["the start"])[-1]


class Judge:
    """The plugin that replaces pytest's loop over the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = json.loads((folder / "todo.json").read_text())
        self.todo = [(number, module, 1) for number, module in plan["mutants"]]
        self.jobs: int = plan["jobs"]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from pyvirt_edu.machine.jit import entry_points

        entry_points()
        remember_assembled(self.folder / "assembled")
        gc.freeze()  # what the children share stays shared
        running: list[Child] = []
        while self.todo or running:
            while self.todo and len(running) < self.jobs:
                running.append(self.start(session, *self.todo.pop(0)))
            time.sleep(0.1)
            for child in list(running):
                outcome = child.look()
                if outcome:
                    running.remove(child)
                    if outcome[0] == SURVIVED and child.round == 1:
                        self.todo.append((child.number, child.module, 2))
                    else:
                        self.note(child.number, *outcome)
        return True

    def note(self, number: int, result: str, by: str) -> None:
        with (self.folder / "results.jsonl").open("a") as out:
            out.write(json.dumps({"number": number, "result": result, "by": by}) + "\n")

    def start(self, session: pytest.Session, number: int, module: str, part: int) -> Child:
        log = self.folder / f"{number}.log"
        log.write_text("")
        pid = os.fork()
        if pid == 0:
            try:
                os._exit(run_tests(ordered(session.items, module, part), number, log))
            finally:
                os._exit(2)
        return Child(pid, number, module, part, log, since=time.monotonic())


def run_tests(items: list[pytest.Item], number: int, log: Path) -> int:
    """In the child: wake the mutant and look for a test that notices; 1 if there is one."""
    from pyvirt_edu.machine.mutant_switch import PLACE

    from ..machine import guest_lab

    ctypes.c_uint64.from_address(PLACE).value = number
    with log.open("w", buffering=1) as out:
        for item, following in zip(items, [*items[1:], None]):
            out.write(f"{item.nodeid}\n")
            guest_lab._names = itertools.count()  # its labels do not depend on what ran before
            reports = runtestprotocol(item, log=False, nextitem=following)
            for report in reports:
                if report.failed:
                    (log.with_suffix(".txt")).write_text(str(report.longrepr))
                    return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = ["-q", "-p", "no:cacheprovider", "-k", UNASKED, "tests/machine", "tests/devices"]
    sys.exit(pytest.main(arguments, plugins=[Judge(Path(sys.argv[1]))]))
