"""A guest's program on this computer, and its figures beside the simulated ones."""

from __future__ import annotations

import html
import platform
import re
from pathlib import Path

import pytest

from pyvirt_edu.guests import native_linux, sprout
from pyvirt_edu.guests.native_linux import HostError, run_on_linux
from pyvirt_edu.lab import benchmark_table
from pyvirt_edu.lab.benchmark_tables import benchmark_rows

SIMULATED = """$ ubench
system call                     617 cycles
fork, exit, wait              80482 cycles
UDP round trip                92506 cycles
$ """
HERE = "system call                     310 cycles\nfork, exit, wait              160964 cycles\n"


def native(program: str, *arguments: str) -> str:
    try:
        return run_on_linux(sprout.program(program), arguments)
    except HostError as error:
        pytest.skip(str(error))


def test_a_program_of_sprout_runs_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert native("echo", "from", "Linux") == "from Linux\n"
    text = native("ubench", "3")
    rows = benchmark_rows(text)
    assert len(rows) >= 13 and all(rows.values())
    assert "UDP round trip" not in rows  # nobody outside this computer is asked
    assert re.search(r"^UDP round trip +not measured: \S", text, re.MULTILINE)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_fails_says_so() -> None:
    native("echo")
    with pytest.raises(HostError, match="status 1 .*no such file"):
        run_on_linux(sprout.program("cat"), ["/no/such/file"])
    with pytest.raises(HostError, match=r"within 0\.2 s"):
        run_on_linux(sprout.program("ubench"), ["1000000"], timeout=0.2)
    with pytest.raises(HostError, match="cannot run the program"):
        run_on_linux(b"no program")


def test_another_computer_says_which_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_linux.sys, "platform", "darwin")
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    with pytest.raises(HostError, match="Darwin on arm64"):
        run_on_linux(b"")


def test_the_table() -> None:
    table = benchmark_table({"sprout": SIMULATED, "Linux": HERE}, "Cycles of <this> clock.")
    lines = [line.split() for line in repr(table).splitlines()]
    assert ["system", "call", "617", "310", "0.50"] in lines
    assert ["fork,", "exit,", "wait", "80,482", "160,964", "2.00"] in lines
    assert ["UDP", "round", "trip", "92,506", "–", "–"] in lines
    plain = html.unescape(re.sub(r"<style>.*?</style>|<[^>]*>", " ", table._repr_html_()))
    for line in lines[1:]:
        assert " ".join(line) in " ".join(plain.split())
    assert repr(benchmark_table({"sprout": SIMULATED})).splitlines()[1].split() == ["system", "call", "617"]
    with pytest.raises(ValueError, match='"Linux" has no row'):
        benchmark_table({"sprout": SIMULATED, "Linux": "nothing"})


def test_the_table_says_why_a_row_is_missing() -> None:
    other = HERE + "UDP round trip           not measured: nobody is <there>\n"
    table = benchmark_table({"sprout": SIMULATED, "Linux": other}, "A note.")
    assert repr(table).splitlines()[-2:] == [
        "A note.",
        "Linux: UDP round trip not measured, nobody is <there>.",
    ]
    assert "nobody is &lt;there&gt;." in table._repr_html_()
    assert ["UDP", "round", "trip", "92,506", "–", "–"] in [line.split() for line in repr(table).splitlines()]
