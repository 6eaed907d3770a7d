"""Predict before you run: the answer is stored before the result shows.

    p = predict("How often does the loop run?", choices=["five times", "six times"])
    ... the experiment ...
    p.reveal("six times")

The question waits for the reader, as `input` does. Where nobody can answer (a test, a build of
the book, `PYVIRT_PREDICT=off`) it is skipped, and the output is always the same.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import platformdirs

#: What was asked in this session, in order.
_asked: list[Prediction] = []


class Prediction:
    """A question, and what the reader answered (None: skipped)."""

    def __init__(self, question: str, choices: tuple[str, ...] = (), answer: str | None = None) -> None:
        self.question = question
        self.choices = choices
        self.answer = answer
        self.actual: str | None = None

    @property
    def skipped(self) -> bool:
        return self.answer is None

    @property
    def right(self) -> bool | None:
        """Whether the answer was right; None while that is unknown."""
        if self.answer is None or self.actual is None:
            return None
        return _same(self.answer, self.actual)

    def reveal(self, actual: Any) -> Prediction:
        """Set the prediction beside what happened."""
        self.actual = self._as_choice(actual)
        if self.right is not None:
            told = {"question": self.question, "answer": self.answer}
            _keep({**told, "actual": self.actual, "right": self.right})
        print(self)
        return self

    def _as_choice(self, actual: Any) -> str:
        text = str(actual)
        if self.choices and not any(_same(choice, text) for choice in self.choices):
            raise ValueError(f"{text!r} is none of the choices: {', '.join(self.choices)}")
        return text

    def __repr__(self) -> str:
        said = "No prediction was made." if self.answer is None else f"Your prediction: {self.answer}."
        if self.actual is None:
            return said
        verdict = ""
        if self.right is not None:
            verdict = " As you predicted." if self.right else " Not as predicted: find out why."
        return f"{said} What happened: {self.actual}.{verdict}"


def predict(
    question: str,
    choices: Iterable[Any] = (),
    *,
    answer: Any = None,
    ask: Callable[[str], str] | None = None,
) -> Prediction:
    """Ask the reader for a prediction, and keep it.

    ``answer`` is a value, or a function that is called after the prediction is stored; with it,
    the result shows at once. Without it, call ``reveal`` after the experiment.
    """
    offered = tuple(str(choice) for choice in choices)
    print(question)
    for number, choice in enumerate(offered, 1):
        print(f"  {number}. {choice}")
    found = Prediction(question, offered)
    ask = ask or (input if _somebody_there() else None)
    if ask is None:
        print("(Prediction skipped: nobody to ask.)")
    else:
        found.answer = _question(ask, offered)
        if found.answer is not None:
            _keep({"question": question, "answer": found.answer})
            print(f"Kept: {found.answer}")
    _asked.append(found)
    if answer is not None:
        found.reveal(answer() if callable(answer) else answer)
    return found


def predictions() -> list[Prediction]:
    """What was asked in this session."""
    return list(_asked)


def _question(ask: Callable[[str], str], choices: tuple[str, ...]) -> str | None:
    prompt = f"Your prediction ({f'1 to {len(choices)}; ' if choices else ''}Enter skips): "
    while True:
        try:
            said = ask(prompt).strip()
        except (EOFError, NotImplementedError):
            return None
        except Exception as error:  # a kernel without a frontend has its own exception for that
            if type(error).__name__ == "StdinNotImplementedError":
                return None
            raise
        if not said:
            return None
        if not choices:
            return said
        if said.isdigit() and 1 <= int(said) <= len(choices):
            return choices[int(said) - 1]
        for choice in choices:
            if _same(choice, said):
                return choice
        print(f"Please answer with a number from 1 to {len(choices)}.")


def _same(one: str, other: str) -> bool:
    if one.strip().casefold() == other.strip().casefold():
        return True
    try:  # 0x10 is 16
        return int(one.replace(",", ""), 0) == int(other.replace(",", ""), 0)
    except ValueError:
        return False


def _somebody_there() -> bool:
    if os.environ.get("PYVIRT_PREDICT", "").casefold() in ("off", "0", "no"):
        return False
    shell = sys.modules.get("IPython")
    kernel = getattr(shell.get_ipython(), "kernel", None) if shell else None
    if kernel is not None:
        return bool(getattr(kernel, "_allow_stdin", False))
    return bool(sys.stdin and sys.stdin.isatty())


def _keep(record: dict[str, Any]) -> None:
    """Add to the reader's own file; nothing leaves the computer."""
    own = os.environ.get("PYVIRT_DATA_DIR")
    folder = Path(own or platformdirs.user_data_dir("pyvirt_edu", appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "predictions.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    except OSError:
        pass  # a read-only home: the prediction is still in this session
