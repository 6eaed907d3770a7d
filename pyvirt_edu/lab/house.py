"""The house style of figures: colours, patterns, and how a figure becomes one piece of HTML.

A colour never speaks alone: each goes with a pattern, in the same order everywhere. The colours
are those of Okabe and Ito, which the colour-blind can tell apart.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif'
COLOURS = ("#8b95a5", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442")
#: The names of plotly; PATHS draws the same in a square of 8.
PATTERNS = ("", "/", "\\", ".", "-", "|", "x", "+")
PATHS = {
    "/": "M-2,2l4,-4M0,8l8,-8M6,10l4,-4",
    "\\": "M-2,6l4,4M0,0l8,8M6,-2l4,4",
    ".": "M3,4a1.2,1.2 0 1 0 2.4,0a1.2,1.2 0 1 0 -2.4,0",
    "-": "M0,4h8",
    "|": "M4,0v8",
    "x": "M0,0l8,8M0,8l8,-8",
    "+": "M0,4h8M4,0v8",
}


def look(number: int) -> tuple[str, str]:
    """Colour and pattern of the n-th thing shown; the pairs repeat after 56."""
    turn = number // len(COLOURS)
    return COLOURS[number % len(COLOURS)], PATTERNS[(number + turn) % len(PATTERNS)]


def definitions(prefix: str, count: int) -> str:
    """SVG patterns ``prefix0`` and so on, to fill shapes with."""
    out = ""
    for number in range(count):
        colour, pattern = look(number)
        lines = ""
        if pattern:
            kind = "fill='#0009' stroke='none'" if pattern == "." else "fill='none' stroke='#0009'"
            lines = f"<path d='{PATHS[pattern]}' {kind} stroke-width='1.1'/>"
        out += (
            f"<pattern id='{prefix}{number}' width='8' height='8' patternUnits='userSpaceOnUse'>"
            f"<rect width='8' height='8' fill='{colour}'/>{lines}</pattern>"
        )
    return f"<defs>{out}</defs>"


def table(
    head: Sequence[str], rows: Sequence[Sequence[Any]], caption: str = "", foot: Sequence[Any] | None = None
) -> str:
    """A table; numbers stand to the right, the first cell of a row names it."""

    def cell(value: Any, first: bool) -> str:
        if isinstance(value, int):
            return f"<td class='pv-number'>{value:,}</td>"
        tag = "th scope='row'" if first else "td"
        return f"<{tag}>{html.escape(str(value))}</{tag.split()[0]}>"

    def line(row: Sequence[Any]) -> str:
        return "<tr>" + "".join(cell(value, not i) for i, value in enumerate(row)) + "</tr>"

    top = "".join(f"<th scope='col'>{html.escape(name)}</th>" for name in head)
    words = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    end = f"<tfoot>{line(foot)}</tfoot>" if foot is not None else ""
    body = "".join(map(line, rows))
    whole = f"<table>{words}<thead><tr>{top}</tr></thead><tbody>{body}</tbody>{end}</table>"
    return f"<div class='pv-scroll'>{whole}</div>"


def columns(rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """Rows as aligned columns, the first ones to the left."""
    cells = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in cells
    )


@cache
def script(*names: str) -> str:
    """JavaScript files one behind the other, without comments, indents and exports."""
    out = []
    for name in names:
        source = (HERE / name).read_text(encoding="utf-8")
        source = re.sub(r"^export default .*", "", source, flags=re.MULTILINE | re.DOTALL)
        lines = (line.strip() for line in source.splitlines())
        out += [line for line in lines if line and not line.startswith(("//", "*", "/*"))]
    return "\n".join(out)


@cache
def style(*names: str) -> str:
    """Style sheets without their comments."""
    source = "\n".join((HERE / name).read_text(encoding="utf-8") for name in names)
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)).strip()


def piece(kind: str, content: str, data: Any, start: str) -> str:
    """Self-contained HTML: a figure that is complete without scripts, and the script that lives in it.

    ``kind`` names kind.js and kind.css; ``start`` is its function ``(root, data)``. The same
    figure gives the same bytes, and may stand on a page twice.
    """
    packed = json.dumps(data, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    begin = f"startAll('pv-{kind}', {start});"
    return (
        f"<div class='pv-house pv-{kind}'><style>{style('house.css', kind + '.css')}</style>"
        f"<script type='application/json'>{packed}</script>{content}</div>"
        f"<script>(() => {{\n{script('house.js', kind + '.js')}\n{begin}\n}})();</script>"
    )


def page(title: str, body: str) -> str:
    """A whole page for a browser, with nothing from elsewhere."""
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>:root{color-scheme:light dark}body{margin:16px auto;padding:0 16px;max-width:1280px;"
        f"background:#fff}}@media(prefers-color-scheme:dark){{body{{background:#0f1216}}}}</style></head>"
        f"<body>{body}</body></html>\n"
    )
