"""The player without a kernel: one piece of HTML, and the same facts as text.

The HTML is complete in itself: style, script, data, and a plain table. The script replaces the
table by the player. Where scripts do not run (an untrusted notebook, a mail, a printed page)
the table stays and the output is never blank.
"""

from __future__ import annotations

import html
import json
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ..machine.registers import FLAG_NAMES, flag_names
from ..machine.time_travel.tracing import ring
from .document import Document, states

HERE = Path(__file__).parent
FIRST_ROWS, LAST_ROWS = 12, 3


class Row(NamedTuple):
    """One line of the table."""

    step: str
    address: str
    text: str
    changes: str
    where: str = ""


def changes(packed: Document, index: int, before: dict[str, int]) -> list[str]:
    """What a step changed, in words."""
    step = packed["steps"][index]
    out = []
    for i in range(0, len(step[1]), 2):
        name, new = packed["regs"][step[1][i]], step[1][i + 1]
        if name == "eflags":
            out.append(f"flags: {flag_names(before[name])} → {flag_names(new)}")
        else:
            out.append(f"{name}: {before[name]:x} → {new:x}")
    stores = step[2] if len(step) > 2 else []
    for i in range(0, len(stores), 4):
        address, size, old, new = stores[i : i + 4]
        out.append(f"[{address:#x}]: {old:0{2 * size}x} → {new:0{2 * size}x}")
    return out


def where(packed: Document, index: int, before: dict[str, int]) -> str:
    """Ring, process, function and line of a step, as far as the document knows them."""
    place = packed["code"][packed["steps"][index][0]][5:]
    if "functions" not in packed:
        return ""
    turns = [name for start, name in packed.get("who", ()) if start <= index]
    level = ring(before.get("cs", 0), before.get("eflags", 0), before.get("cr0", 1))
    out = [f"ring {level}", *turns[-1:]]
    if place:
        _, function, offset, *source = place[0]
        out.append(packed["functions"][function] + (f"+{offset:x}" if offset else ""))
        out += [f"{packed['files'][file][0]}:{line}" for file, line in zip(source[::2], source[1::2])]
    return ", ".join(out)


def rows(packed: Document) -> list[Row]:
    """The first steps and the last ones."""
    count = len(packed["steps"])
    whole = count <= FIRST_ROWS + LAST_ROWS + 1
    out = []
    for index, before in enumerate(states(packed)):
        if index == count:
            break
        if whole or index < FIRST_ROWS or index >= count - LAST_ROWS:
            address, _, text, *_ = packed["code"][packed["steps"][index][0]]
            done = "; ".join(changes(packed, index, before))
            out.append(Row(str(index + 1), f"{address:08x}", text, done, where(packed, index, before)))
        elif index == FIRST_ROWS:
            out.append(Row("…", "", f"{count - FIRST_ROWS - LAST_ROWS} more steps", ""))
    return out


def summary(packed: Document) -> str:
    """One line: what it is and how long."""
    count, total = len(packed["steps"]), packed["total"]
    steps = f"{count:,} step{'' if count == 1 else 's'}"
    if packed.get("before"):
        steps = f"steps {packed['before'] + 1:,} to {packed['before'] + count:,} of {total:,}"
    elif total != count:
        steps = f"the first {count:,} of {total:,} steps"
    ended = f", ended by {packed['exit']}" if packed["exit"] else ""
    return f"{packed['title']}: {steps}{ended}"


def final(packed: Document) -> str:
    """The registers at the end."""
    *_, last = states(packed)
    return "At the end: " + ", ".join(
        f"flags={flag_names(value)}" if name == "eflags" else f"{name}={value:x}"
        for name, value in last.items()
    )


def text(packed: Document) -> str:
    """The text/plain form."""
    table = rows(packed)
    wide = max([len(row.text) for row in table], default=0)
    lines = [summary(packed)]
    for r in table:
        mark = f"  [{r.where}]" if r.where else ""
        lines.append(f"{r.step:>6}  {r.address:8}  {r.text:<{wide}}  {r.changes}{mark}".rstrip())
    return "\n".join([*lines, final(packed)])


def fallback(packed: Document) -> str:
    """The plain table, for a page without scripts."""
    table = rows(packed)
    names = ["step", "eip", "instruction", "changes", *(["where"] if any(row.where for row in table) else [])]
    head = "".join(f"<th style='text-align:left'>{name}</th>" for name in names)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td style='text-align:left'><code>{html.escape(cell)}</code></td>" for cell in row[: len(names)]
        )
        + "</tr>"
        for row in table
    )
    return (
        f"<table><caption>{html.escape(summary(packed))}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table><p>{html.escape(final(packed))}</p>"
    )


@cache
def module() -> str:
    """The player's script: the flags' bits, tape.js and player.js."""
    bits = ", ".join(f"{name}: {bit.bit_length() - 1}" for name, bit in FLAG_NAMES.items())
    files = [(HERE / name).read_text(encoding="utf-8") for name in ("tape.js", "player.js")]
    return "\n".join([f"const FLAGS = {{ {bits} }};", *files])


@cache
def script() -> str:
    """The module without its comments, its indents and its exports."""
    source = module()
    source = re.sub(r"^export default .*", "", source, flags=re.MULTILINE | re.DOTALL)
    lines = (line.strip() for line in source.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith(("//", "*", "/*")))


@cache
def style() -> str:
    """player.css without its comments."""
    source = (HERE / "player.css").read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", re.sub(r"/\*.*?\*/", "", source, flags=re.DOTALL)).strip()


def page_part(packed: Document, step: int = 0, height: int | None = None) -> str:
    """The text/html form.

    The script looks for every player that is not running yet: no identifiers, so the same
    document gives the same bytes, and one cell can be shown twice on a page.
    """
    data = json.dumps(packed, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    size = f" data-height='{int(height)}'" if height else ""
    return (
        f"<div class='pyvirt-player' data-step='{step}'{size}>"
        f"<script type='application/json'>{data}</script>"
        f"<style>{style()}</style>"
        f"<div class='pyvirt-fallback'>{fallback(packed)}</div></div>"
        f"<script>(() => {{\n{script()}\nmountAll();\n}})();</script>"
    )
