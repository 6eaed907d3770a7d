"""What a terminal shows, against what a VT100 would."""

from __future__ import annotations

import random

import pytest

from pyvirt_edu.lab.terminal import COLUMNS, KEPT, ROWS, Terminal


def shown(data: str) -> str:
    terminal = Terminal()
    terminal.feed(data.encode())
    return terminal.text


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("one\r\ntwo", "one\ntwo"),
        ("over\rOV", "OVer"),
        ("abc\b\bX", "aXc"),
        ("a\tb", "a       b"),
        ("x" * 81, "x" * 80 + "\nx"),
        ("\x1b[3;5Hhere", "\n\n    here"),
        ("hello\x1b[3D\x1b[K!", "he!"),
        ("one\r\ntwo\x1b[2Jend", "\n   end"),
        ("one\r\ntwo\x1b[1;1H\x1b[J.", "."),
        ("a\x1b[2Cb\x1b[Gc", "c  b"),
        ("\x1b[1;31mred\x1b[0m plain", "red plain"),
        ("a\x07\x00b\x1b(Bc\x1b[?25ld", "abcd"),
        ("a\x1b7\r\nb\x1b8c", "ac\nb"),
    ],
)
def test_sequences(data: str, text: str) -> None:
    assert shown(data) == text


def test_colours() -> None:
    terminal = Terminal()
    terminal.feed(b"a\x1b[1;31;44mb\x1b[7mc\x1b[0;97md")
    assert terminal.runs(0) == [
        ("a", None, None, False),
        ("b", 1, 4, True),
        ("c", 4, 1, True),
        ("d", 15, None, False),
    ]


def test_pieces_make_no_difference() -> None:
    data = "\x1b[2;3H\x1b[32mgrün → \x1b[Kab\x1b[1;1H…\r\n".encode() * 40
    whole = Terminal()
    whole.feed(data)
    split, rng = Terminal(), random.Random(4)
    while data:
        n = rng.randint(1, 4)
        split.feed(data[:n])
        data = data[n:]
    assert split.text == whole.text and split.lines == whole.lines and split.cursor == whole.cursor


def test_taking_the_changes_keeps_a_copy_up_to_date() -> None:
    """A copy that replaces all lines from the first changed one on is what the terminal has."""
    terminal, rng, copy, start = Terminal(), random.Random(1), [], 0
    moves = ["text ", "\r\n", "\n", "\x1b[A", "\x1b[5;5H", "\x1b[K", "\x1b[2J", "\b", "x" * 90, "\x1b[J"]
    moves.append("\r\n" * 9)
    for _ in range(6000):
        terminal.feed(rng.choice(moves).encode())
        if rng.random() < 0.5:
            first, lines = terminal.take()
            copy = copy[terminal.dropped - start :]
            start = terminal.dropped
            assert first - start <= len(copy)
            copy[first - start :] = lines
            assert (start, copy) == terminal.take_all()
    assert len(terminal.lines) == KEPT and terminal.dropped > 0


def test_old_lines_are_forgotten() -> None:
    terminal = Terminal()
    terminal.feed(b"".join(b"line %d\r\n" % i for i in range(KEPT + 100)))
    assert terminal.text.splitlines()[0] == f"line {100 + 1}"
    assert terminal.cursor == (KEPT + 100, 0)
    assert (COLUMNS, ROWS) == (80, 24)
