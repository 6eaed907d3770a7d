"""Source text of the package in a notebook, as it is: a listing cannot grow stale.

listing(TrapAndEmulate.handle)
listing(TrapAndEmulate.emulate, first='case ["cli"', last="self.set_flags")
"""

from __future__ import annotations

import html
import inspect
import textwrap
from typing import Any


class Listing:
    """Lines of source: ``text`` without the indent they share, ``line`` the number of the first."""

    def __init__(self, text: str, line: int, name: str, language: str = "python") -> None:
        self.text, self.line, self.name, self.language = text, line, name, language

    def __repr__(self) -> str:
        numbered = enumerate(self.text.splitlines(), self.line)
        return "\n".join(f"{number:4}  {line}".rstrip() for number, line in numbered)

    def _repr_html_(self) -> str:
        try:
            from pygments import highlight
            from pygments.formatters import HtmlFormatter
            from pygments.lexers import get_lexer_by_name

            # the classes of Sphinx and of JupyterLab: colours follow the page's theme
            body = highlight(self.text, get_lexer_by_name(self.language), HtmlFormatter(nowrap=True))
        except ImportError:
            body = html.escape(self.text)
        lines = body.rstrip("\n").split("\n")
        numbered = "\n".join(
            f'<span style="opacity:.55;user-select:none">{number:4}  </span>{line}'
            for number, line in enumerate(lines, self.line)
        )
        return (
            f'<div class="highlight" role="group" aria-label="{html.escape(self.name)}">'
            f'<pre style="overflow-x:auto;padding:.4em .6em;line-height:1.35">{numbered}</pre></div>'
        )


def listing(subject: Any, first: str = "", last: str = "") -> Listing:
    """The source of a function, class or module, or of assembly given as a text.

    ``first`` and ``last`` are pieces of the lines to begin and to end with.
    """
    if isinstance(subject, str):
        lines, start, name, language = subject.splitlines(), 1, "assembly", "nasm"
    else:
        lines, start = inspect.getsourcelines(subject)
        lines, start = [line.rstrip("\n") for line in lines], max(start, 1)
        name, language = getattr(subject, "__qualname__", subject.__name__), "python"
    begin = _find(lines, first, 0, name) if first else 0
    end = _find(lines, last, begin, name) if last else len(lines) - 1
    text = textwrap.dedent("\n".join(lines[begin : end + 1]))
    return Listing(text, start + begin, name, language)


def _find(lines: list[str], piece: str, begin: int, name: str) -> int:
    for number in range(begin, len(lines)):
        if piece in lines[number]:
            return number
    raise ValueError(f"no line of {name} has {piece!r} in it")
