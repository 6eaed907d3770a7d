"""The command `pyvirt`, as far as it says things itself."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import pytest

from pyvirt_edu import __version__, cli
from pyvirt_edu.machine.state.progress import Progress


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert __version__ in capsys.readouterr().out


def test_lab_without_jupyterlab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert cli.main(["lab"]) == 1
    assert 'pip install "pyvirt-edu[lab]"' in capsys.readouterr().err


def test_lab_of_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("jupyterlab")
    assert cli.main(["lab", "no-such-folder"]) == 1
    assert "no folder no-such-folder" in capsys.readouterr().err


@pytest.mark.parametrize("user, extra", [(0, ["--allow-root"]), (1000, [])])
def test_lab_passes_options_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, extra: list[str]
) -> None:
    pytest.importorskip("jupyterlab")
    calls = []
    monkeypatch.setattr(cli, "warm_up", lambda: None)
    monkeypatch.setattr(cli.subprocess, "call", lambda command, cwd: calls.append((command[1:], cwd)) or 0)
    monkeypatch.setattr(cli.os, "geteuid", lambda: user, raising=False)
    assert cli.main(["lab", str(tmp_path), "--no-browser", "--port=9999"]) == 0
    assert calls == [(["-m", "jupyterlab", *extra, "--no-browser", "--port=9999"], tmp_path)]


def test_warmup_takes_no_options() -> None:
    with pytest.raises(SystemExit):
        cli.main(["warmup", "--fast"])


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_in_a_log_is_plain_lines() -> None:
    with Progress("compiling", log := io.StringIO()) as progress:
        for done, name in enumerate(["run", "run", "deliver"]):
            progress(done, 2, name)
    lines = log.getvalue().splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("compiling: 2 of 2 (deliver)")


def test_progress_on_a_terminal_is_one_line() -> None:
    with Progress("compiling", screen := Terminal()) as progress:
        progress(0, 4, "run")
        progress(1, 4, "run")
    assert screen.getvalue().count("\n") == 1
    assert "1/4" in screen.getvalue().split("\r")[-1]


def test_nothing_to_do_says_nothing() -> None:
    for stream in (io.StringIO(), Terminal()):
        with Progress("compiling", stream):
            pass
        assert stream.getvalue() == ""
