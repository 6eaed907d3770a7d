"""The stack as a figure, drawn from the machine's memory.

    stack_figure(m, names=["saved EBP", "return address", "argument 1"])

One row a word, from ESP up. Low addresses are at the top, as in a dump and in the trace player.
The same facts are in the text form.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any, NamedTuple

WORD = 4
ROW, TOP = 36, 34
ADDRESS, BOX, BOX_WIDTH, NAME, WIDTH = 112, 206, 130, 352, 620
POINTERS = ("esp", "ebp")
#: Everything is drawn in the colour of the text around it, so it is readable on any ground.
_STYLE = (
    "<style>.pyvirt-stack svg{max-width:100%;height:auto;color:inherit}"
    "html[data-theme='dark'] .text_html:has(> .pyvirt-stack){background:none!important;"
    "color:inherit!important;padding:0!important}</style>"
)


class Word(NamedTuple):
    """One word of the stack, and which registers point to it."""

    address: int
    value: int
    name: str
    pointers: tuple[str, ...]
    free: bool  #: below ESP: nobody's any more


class StackFigure:
    """Some words of the stack; shows as a drawing, prints as lines."""

    def __init__(self, words: Sequence[Word], title: str) -> None:
        self.words, self.title = tuple(words), title

    def __repr__(self) -> str:
        lines = [self.title] if self.title else []
        for word in self.words:
            pointers = " ".join(name.upper() for name in word.pointers)
            arrow = f"{pointers} ->" if pointers else ""
            lines.append(f"{arrow:>10}  {word.address:08x}  {word.value:08x}  {_note(word)}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f'{_STYLE}<div class="pyvirt-stack">{self.svg()}</div>'

    def svg(self) -> str:
        """The drawing."""
        height = TOP + ROW * len(self.words) + 12
        rows = "".join(_row(word, TOP + ROW * i) for i, word in enumerate(self.words))
        heads = "".join(
            f'<text x="{x}" y="20" font-size="13" opacity="0.8"{anchor}>{text}</text>'
            for x, text, anchor in (
                (ADDRESS, "address", ""),
                (BOX + BOX_WIDTH / 2, "value", ' text-anchor="middle"'),
            )
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="ui-monospace, Menlo, Consolas, monospace" '
            f'font-size="15" fill="currentColor"><title>{html.escape(self.title or "The stack")}</title>'
            f"<desc>{html.escape(repr(self))}</desc>{heads}{rows}</svg>"
        )


def _note(word: Word) -> str:
    return word.name or ("free" if word.free else "")


def _row(word: Word, y: int) -> str:
    middle = y + ROW / 2
    dashed = ' stroke-dasharray="4 4"' if word.free else ""
    shade = 0 if word.free else 0.07
    parts = [
        f'<rect x="{BOX}" y="{y}" width="{BOX_WIDTH}" height="{ROW}" fill-opacity="{shade}" '
        f'stroke="currentColor" stroke-opacity="0.7"{dashed}/>',
        f'<text x="{ADDRESS}" y="{middle + 5}" opacity="0.8">{word.address:08x}</text>',
        f'<text x="{BOX + BOX_WIDTH / 2}" y="{middle + 5}" text-anchor="middle">{word.value:08x}</text>',
        f'<text x="{NAME}" y="{middle + 5}" font-family="system-ui, sans-serif">'
        f"{html.escape(_note(word))}</text>",
    ]
    if word.pointers:
        text = " ".join(name.upper() for name in word.pointers)
        parts.append(
            f'<text x="0" y="{middle + 5}" font-weight="700">{text}</text>'
            f'<path d="M{9 * len(text) + 6} {middle}H{ADDRESS - 14}" stroke="currentColor" stroke-width="2"/>'
            f'<path d="M{ADDRESS - 16} {middle - 6}l11 6l-11 6z"/>'
        )
    return "".join(parts)


def stack_figure(
    machine: Any, names: Sequence[str] = (), *, words: int | None = None, below: int = 0, title: str = ""
) -> StackFigure:
    """The words from ESP up, with names for them; ``below`` more that lie under ESP."""
    count = words if words is not None else len(names) or 4
    pointers = {name: getattr(machine.cpu, name) for name in POINTERS}
    esp = pointers["esp"]
    found = []
    for i in range(-below, count):
        address = esp + WORD * i
        value = int.from_bytes(machine.read_linear(address, WORD), "little")
        at = tuple(name for name in POINTERS if pointers[name] == address)
        found.append(Word(address, value, names[i] if 0 <= i < len(names) else "", at, i < 0))
    return StackFigure(found, title)
