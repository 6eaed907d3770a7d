"""Predictions and checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu.lab import checkpoint, predict, predictions


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], list[dict[str, Any]]]:
    monkeypatch.setenv("PYVIRT_DATA_DIR", str(tmp_path))
    file = tmp_path / "predictions.jsonl"

    def read() -> list[dict[str, Any]]:
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return read


def answers(*said: str) -> Callable[[str], str]:
    queue = list(said)
    return lambda prompt: queue.pop(0)


def test_skipped_where_nobody_can_answer(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kept: Any
) -> None:
    monkeypatch.setenv("PYVIRT_PREDICT", "off")
    found = predict("How many?", [5, 6])
    found.reveal(6)
    assert found.skipped and found.right is None
    assert capsys.readouterr().out.splitlines() == [
        "How many?",
        "  1. 5",
        "  2. 6",
        "(Prediction skipped: nobody to ask.)",
        "No prediction was made. What happened: 6.",
    ]
    assert kept() == []


def test_the_answer_is_stored_before_the_result(kept: Any) -> None:
    seen: list[Any] = []

    def experiment() -> int:
        seen.extend(kept())
        return 6

    found = predict("How many?", [5, 6], answer=experiment, ask=answers("7", "2"))
    assert seen == [{"question": "How many?", "answer": "6"}]
    assert found.right is True and predictions()[-1] is found
    assert kept()[-1]["right"] is True


def test_numbers_compare_as_numbers(kept: Any) -> None:
    assert predict("Where?", ask=answers("0x10")).reveal(16).right is True
    assert predict("Where?", ask=answers("0x11")).reveal(16).right is False


def test_enter_skips(kept: Any) -> None:
    assert predict("Which?", ["a", "b"], ask=answers("")).skipped


def test_the_result_must_be_a_choice() -> None:
    with pytest.raises(ValueError, match="none of the choices"):
        predict("Which?", ["a", "b"], ask=answers("")).reveal("c")


def test_a_checkpoint_restores() -> None:
    class Thing:
        value = 1

        def snapshot(self) -> int:
            return self.value

        def restore(self, kept: int) -> None:
            self.value = kept

    thing = Thing()
    start = checkpoint("start", thing)
    thing.value = 2
    assert start.restore() is thing and thing.value == 1
    assert checkpoint("made", lambda: {"m": 1}).restore() == {"m": 1}
    with pytest.raises(TypeError, match="machine or a function"):
        checkpoint("bad", 3)
