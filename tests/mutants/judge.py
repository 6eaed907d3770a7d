"""Which test notices a mutant: run inside the copy, where all mutants are planted.

One pytest session collects the tests; processes fork from it. First each file of tests runs while
all mutants sleep: so one knows how long each test takes, and which mutants it reaches. Then each
mutant is woken in a process that asks the tests that reach it, the quickest file first, until one
fails.
"""

from __future__ import annotations

import functools
import gc
import hashlib
import itertools
import json
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

#: Not asked: QEMU's side of a comparison, what the clock on the wall decides, what compiles the core,
#: what reads the text of its modules, in which mutants are planted.
UNASKED = "not qemu and not ctrl_c and not word_in and not code_digest and not bench and not in_vain"
CAUGHT, SURVIVED = "caught", "survived"
NO_TEST = "no test reaches it"
#: A test hangs when it has used this many seconds of the processor, and five times what it takes
#: while all mutants sleep; or when it has waited for something else than a processor for so long.
#: Time on the wall would say how busy the machine is.
HANG, WAIT = 20, 300
UNKNOWN = 600  # instead of both, while it is not known how long a test takes
TICKS = os.sysconf("SC_CLK_TCK")

#: Of each test in a file, the seconds that it takes and the mutants that it reaches.
Times = dict[str, tuple[float, list[int]]]


def asked(files: dict[str, Times], number: int) -> list[str]:
    """The files with tests that reach a mutant, quickest first; in each, first these tests.

    Its other tests follow: what they look at may be what an earlier one has left them.
    """
    names = []
    for tests in sorted(files.values(), key=lambda tests: sum(seconds for seconds, _ in tests.values())):
        reaching = [name for name, (_, reached) in tests.items() if number in reached]
        if reaching:
            names += [*reaching, *(name for name in tests if name not in reaching)]
    return names


def key_of(file: str) -> str:
    """What a file of tests does depends on itself and on all that is no test."""
    digest = hashlib.sha256()
    for path in sorted(Path("tests").rglob("*.py")):
        if path == Path(file) or not path.name.startswith("test_"):
            digest.update(f"{path} ".encode() + path.read_bytes())
    return digest.hexdigest()[:24]


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


def forget(package: str) -> None:
    """Drop what the functions of a package remember: it was found while all mutants slept."""
    for item in gc.get_objects():
        if isinstance(item, functools._lru_cache_wrapper) and item.__module__.startswith(package):
            item.cache_clear()


def state_of(pid: int) -> tuple[bool, float]:
    """Does a process want a processor? And the seconds that it has had one."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return fields[0] == "R", (int(fields[11]) + int(fields[12])) / TICKS


@dataclass
class Child:
    """A process that runs tests with one mutant awake, or none."""

    pid: int
    log: Path
    seconds: dict[str, float]  # that each test takes
    test: str = "the start"
    began: float = 0.0  # the seconds it had used then
    used: float = 0.0
    waited: float = 0.0
    seen: float = 0.0

    def look(self) -> tuple[str, str] | None:
        """What became of it, or None while it works."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        test = (self.log.read_text().splitlines() or [self.test])[-1]
        if pid:
            if os.WIFSIGNALED(status):
                return CAUGHT, f"crash ({os.WTERMSIG(status)}) in {test}"
            code = os.waitstatus_to_exitcode(status)
            return {0: (SURVIVED, ""), 1: (CAUGHT, test)}.get(code, (CAUGHT, f"exit in {test}"))
        (wants, used), now = state_of(self.pid), time.monotonic()
        if not wants and used == self.used:
            self.waited += now - self.seen
        if test != self.test:
            self.test, self.began, self.waited = test, used, 0.0
        self.used, self.seen = used, now
        limit = HANG + 5 * self.seconds[test] if test in self.seconds else UNKNOWN
        if used - self.began > limit or self.waited > max(WAIT, limit):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            return CAUGHT, f"hang in {test}"
        return None


@dataclass
class Task:
    """Tests for a process to run, with a mutant awake or, if that is 0, none."""

    name: str
    number: int
    items: list[pytest.Item]


class Judge:
    """The plugin that replaces pytest's loop over the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        plan = json.loads((folder / "todo.json").read_text())
        self.todo: list[int] = plan["mutants"]
        self.jobs: int = plan["jobs"]
        self.files: dict[str, Times] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        from pyvirt_edu.machine.state.jit import entry_points

        entry_points()
        remember_assembled(self.folder / "assembled")
        forget("pyvirt_edu.hypervisor")
        gc.freeze()  # what the children share stays shared
        self.run_asleep(session.items)
        items = {item.nodeid: item for item in session.items}
        plans = {n: [items[name] for name in asked(self.files, n)] for n in self.todo}
        tasks = [Task(str(n), n, plan) for n, plan in plans.items() if plan]
        for number in (n for n, plan in plans.items() if not plan):
            self.note(number, SURVIVED, NO_TEST)
        for task, outcome in self.outcomes(tasks):
            self.note(task.number, *outcome)
        return True

    def run_asleep(self, items: list[pytest.Item]) -> None:
        """Fill in `files`; what has been found before is kept."""
        (self.folder / "asleep").mkdir(exist_ok=True)
        groups: dict[str, list[pytest.Item]] = {}
        for item in items:
            groups.setdefault(item.nodeid.split("::")[0], []).append(item)
        keys = {file: key_of(file) for file in groups}
        tasks = [Task(key, 0, groups[file]) for file, key in keys.items() if not self.times(key).exists()]
        for task, (result, by) in self.outcomes(tasks):
            if result != SURVIVED:
                why = self.log(task).with_suffix(".txt")
                text = why.read_text() if why.exists() else ""
                pytest.exit(f"the copy does not pass while every mutant sleeps: {by}\n{text}", 3)
        self.files = {file: json.loads(self.times(key).read_text()) for file, key in keys.items()}

    def times(self, key: str) -> Path:
        return self.folder / "asleep" / f"{key}.json"

    def log(self, task: Task) -> Path:
        return self.folder / f"{task.name}.log"

    def outcomes(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, tuple[str, str]]]:
        """What becomes of each task, a few at a time."""
        queue, running = list(tasks), list[tuple[Task, Child]]()
        while queue or running:
            while queue and len(running) < self.jobs:
                task = queue.pop(0)
                running.append((task, self.start(task)))
            time.sleep(0.1)
            for task, child in list(running):
                if outcome := child.look():
                    running.remove((task, child))
                    yield task, outcome

    def note(self, number: int, result: str, by: str) -> None:
        with (self.folder / "results.jsonl").open("a") as out:
            out.write(json.dumps({"number": number, "result": result, "by": by}) + "\n")

    def start(self, task: Task) -> Child:
        log = self.log(task)
        log.write_text("")
        pid = os.fork()
        if pid == 0:
            try:
                times: Times = {}
                failed = run_tests(task.items, task.number, log, times)
                if task.number == 0 and not failed:
                    part = log.with_suffix(".part")
                    part.write_text(json.dumps(times))
                    part.rename(self.times(task.name))
                os._exit(failed)
            finally:
                os._exit(2)
        known = {name: seconds for tests in self.files.values() for name, (seconds, _) in tests.items()}
        return Child(pid, log, known, seen=time.monotonic())


def run_tests(items: list[pytest.Item], number: int, log: Path, times: Times) -> int:
    """In the child: wake the mutant and look for a test that notices; 1 if there is one."""
    from pyvirt_edu.machine.mutant_switch import reached, wake

    from ..machine import guest_lab

    wake(number)
    with log.open("w", buffering=1) as out:
        for item, following in zip(items, [*items[1:], None]):
            out.write(f"{item.nodeid}\n")
            guest_lab._names = itertools.count()  # its labels do not depend on what ran before
            began = time.process_time()
            reports = runtestprotocol(item, log=False, nextitem=following)
            times[item.nodeid] = time.process_time() - began, reached()
            for report in reports:
                if report.failed:
                    log.with_suffix(".txt").write_text(str(report.longrepr))
                    return 1
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    where, *tests = sys.argv[1:]
    arguments = ["-q", "-p", "no:cacheprovider", "-k", UNASKED, *tests]
    sys.exit(pytest.main(arguments, plugins=[Judge(Path(where))]))
