"""The trace document: what the player is fed with, as plain data.

A document may be written by hand. Numbers are integers, bytes are hex:

    {
      "title": "Sum of a list",
      "start": {"eip": 0x10000, "registers": {"eax": 0, ...}},
      "code":  [{"address": 0x10000, "bytes": "31c0", "text": "xor eax, eax",
                 "source": "total = 0",               optional
                 "uops": ["eax = eax ^ eax"]}],       optional
      "steps": [{"address": 0x10000, "registers": {"eax": 7},
                 "memory": [[address, size, old, new]],
                 "delivered": False,                  optional: an event, no instruction
                 "code": 0}],                         optional: which row of "code"
      "memory": [{"label": "stack", "kind": "stack", "base": 0x8fff0, "bytes": "0000...",
                  "linear": 0x8fff0}],                optional windows
      "symbols": {0x10000: "start"},                  optional
      "exit": "halt", "total": 500, "first": 0,       optional
      "who": [[0, "sh (2)"]],                         optional: who runs, from which step on
      "sources": {"sum.c": {1: "int total;"}}         optional: lines of source by number
    }

A row of "code" may say where it is in what somebody wrote: "image" (kernel, or the name of a
program), "function", "offset" in it, "file" and "line".

A step holds what its instruction changed; "registers" are new values. The kind of a window is
"bytes", "stack" (words, with the pointers beside them) or "entries" (of a page table). ".."
in its bytes is a byte that nobody knows. "linear" is the address to show where paging makes it
differ from the physical base. When one address appears with two different bytes in "code", the
code changed itself; steps then say which row they ran.

`pack` turns it into what travels to the browser: the same facts in arrays, registers by number.
`states` walks it in Python, as tape.js does in the browser.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ..machine.errors import MachineError

if TYPE_CHECKING:
    from ..machine.time_travel.past_memory import PastMemory

Document = dict[str, Any]

#: In the order of the manual; what else a document has comes after these.
REGISTER_ORDER = (
    *("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip", "eflags"),
    *("cs", "ss", "ds", "es", "fs", "gs", "cr0", "cr2", "cr3", "cr4"),
)
STACK_ABOVE, STACK_MOST = 16, 256
WINDOW_MOST = 512  # bytes of a window that the player makes by itself
SOURCE_ABOVE, SOURCE_BELOW = 40, 2  # lines of source shown around one that was run
PAGE = 4096


class DocumentError(ValueError):
    """A trace document that cannot be shown, with the reason."""


# --- from a trace ----------------------------------------------------------------------


def document(
    trace: Any,
    *,
    title: str = "",
    limit: int = 1000,
    memory: Iterable[Any] | None = None,
    symbols: Mapping[int, str] | None = None,
    source: Mapping[int, str] | None = None,
    first: int = 0,
    guest: Guest | None = None,
) -> Document:
    """The document of a `Trace` (or of a document, which is checked and completed)."""
    if isinstance(trace, Mapping):
        found: Document = dict(trace)
        past = None
    else:
        found = _of_trace(trace, first, limit, guest)
        past = _past(trace)
    _check(found)
    if title:
        found["title"] = title
    found.setdefault("title", "Trace")
    if symbols:
        found["symbols"] = dict(symbols)
    if source:
        found["code"] = [
            {**row, "source": source[row["address"]]} if row["address"] in source else row
            for row in found["code"]
        ]
    if memory is not None:
        stacks = _stack_windows(found, trace, past, first) if "stack" in (memory := list(memory)) else []
        found["memory"] = stacks + [_window(item) for item in memory if item != "stack"]
    if "memory" not in found:
        found["memory"] = _windows(found, trace, past, first)
    _fill_windows(found, past, first)
    return found


def _past(trace: Any) -> PastMemory | None:
    """Memory at the time of the trace; None if the machine has run on since."""
    try:
        return trace.past  # type: ignore[no-any-return]
    except MachineError:
        return None


def _of_trace(trace: Any, first: int, limit: int, guest: Guest | None) -> Document:
    if not 0 <= first <= len(trace):
        raise IndexError(f"first={first}: this trace has the steps 0 to {len(trace) - 1}")
    stop = min(first + limit, len(trace))
    plain = trace.to_dict(first, stop)
    start = dict(plain["start"])
    eip = start.pop("eip")
    turns = _turns(guest.who(trace), first, stop) if guest else []
    where = [_ring(trace[i], turns, i - first) for i in range(first, stop)] if guest else []
    code: list[Document] = []
    known: dict[Any, int] = {}
    steps: list[Document] = []
    for step in plain["steps"]:
        place = guest.place(*where[len(steps)], step["eip"]) if guest else None
        key = (step["eip"], step["code"], step["text"], place)
        if key not in known:
            known[key] = len(code)
            row: Document = {"address": step["eip"], "bytes": step["code"], "text": step["text"]}
            if "uops" in step:
                row["uops"] = step["uops"]
            if place is not None:
                row |= {"image": place.image, "function": place.function, "offset": place.offset}
            if place is not None and place.source is not None:
                row |= {"file": place.source.file, "line": place.source.line}
            code.append(row)
        steps.append(
            {
                "address": step["eip"],
                "code": known[key],
                "registers": {name: pair[1] for name, pair in step["regs"].items() if name != "eip"},
                "memory": step["mem"],
                "delivered": bool(step.get("delivered", not step["code"])),
            }
        )
    total = len(trace)
    ended = stop == total
    after = trace.registers(stop)["eip"] if steps else eip
    found: Document = {
        "start": {"eip": eip, "registers": start},
        "code": code,
        "steps": steps,
        "end": after,
        "exit": plain["exit"] if ended else "",
        "total": total,
        "before": first,  # steps of the trace that are not shown
        "first": plain.get("first", 0),
    }
    if guest:
        found |= {"who": turns, "sources": _sources(code, guest)}
    return found


# --- what the guest's own symbols say --------------------------------------------------


class Guest(Protocol):
    """What knows the code of a guest, and who runs: `CodeMap`, or the inspector of an operating system."""

    def who(self, trace: Any) -> list[tuple[int, str]]: ...
    def place(self, who: str, ring: int, address: int) -> Any: ...
    def text(self, file: str) -> list[str]: ...


def _turns(rows: list[tuple[int, str]], first: int, stop: int) -> list[list[Any]]:
    """The rows of `who` as seen from step ``first``."""
    out: list[list[Any]] = []
    for step, name in rows:
        if step >= stop:
            break
        if step <= first:
            out = [[0, name]]
        else:
            out.append([step - first, name])
    return out


def _ring(step: Any, turns: list[list[Any]], number: int) -> tuple[str, int]:
    """Who runs at a step, and in which ring."""
    at = bisect_right(turns, number, key=lambda turn: turn[0]) - 1
    return turns[at][1] if at >= 0 else "", step.ring


def _sources(code: list[Document], guest: Guest) -> dict[str, dict[int, str]]:
    """Of each file the lines that were run, and those around them that make them readable."""
    ran: dict[str, set[int]] = {}
    for row in code:
        if "file" in row:
            ran.setdefault(row["file"], set()).add(row["line"])
    out = {}
    for file, lines in sorted(ran.items()):
        text = guest.text(file)
        shown: set[int] = set()
        for line in lines:
            shown.update(range(_head(text, line), min(line + SOURCE_BELOW, len(text)) + 1))
        if text:
            out[file] = {line: text[line - 1] for line in sorted(shown)}
    return out


def _head(text: list[str], line: int) -> int:
    """Where the function of a line begins, with the comment above it."""
    top = line
    while top > 1 and line - top < SOURCE_ABOVE and not re.match(r"[A-Za-z_.]", text[top - 1]):
        top -= 1
    if not re.match(r"[A-Za-z_.]", text[top - 1]):
        return max(line - 3, 1)
    while top > 1 and text[top - 2].strip() and line - top < SOURCE_ABOVE:
        top -= 1
    return top


def _check(found: Document) -> None:
    for key in ("start", "code", "steps"):
        if key not in found:
            raise DocumentError(f'a trace document needs "{key}"; pyvirt_edu.lab.document says the form')
    places = {row["address"] for row in found["code"]}
    for number, step in enumerate(found["steps"]):
        if step["address"] not in places:
            raise DocumentError(f'step {number} is at {step["address"]:#x}, which "code" does not have')


# --- memory windows --------------------------------------------------------------------


def _window(item: Any) -> Document:
    if isinstance(item, Mapping):
        return dict(item)
    base, length, *rest = item
    label = rest[0] if rest else f"{base:#x}"
    kind = rest[1] if len(rest) > 1 else ("stack" if label == "stack" else "bytes")
    return {"label": label, "kind": kind, "base": base, "length": length}


def _windows(found: Document, trace: Any, past: PastMemory | None, first: int) -> list[Document]:
    """The stack, and what the run wrote elsewhere."""
    windows = _stack_windows(found, trace, past, first)
    stacks = [range(window["base"], window["base"] + window["length"]) for window in windows]
    touched = sorted(
        {
            address + i & ~7
            for step in found["steps"]
            for address, size, *_ in step["memory"]
            for i in range(size)
            if not any(address in stack for stack in stacks)
        }
    )
    runs: list[list[int]] = []
    for row in touched:
        if runs and row - runs[-1][1] <= 32:
            runs[-1][1] = row + 8
        else:
            runs.append([row, row + 8])
    room = WINDOW_MOST
    for low, high in runs[:4]:
        high = min(high, low + room)
        if high > low:
            windows.append(
                {"label": f"memory at {low:#x}", "kind": "bytes", "base": low, "length": high - low}
            )
        room -= high - low
    return windows


def _stack_windows(found: Document, trace: Any, past: PastMemory | None, begin: int) -> list[Document]:
    """The page that ESP points to first, and that of the other stack a change of ring brings."""
    registers = found["start"]["registers"]
    if "esp" not in registers:
        return []
    wide = registers.get("cr0", 1) & 1
    state = dict(registers)
    pages: dict[tuple[int, int], tuple[int, list[int]]] = {}
    for number, changed in enumerate([{}, *(step["registers"] for step in found["steps"])]):
        state.update(changed)
        if number and "esp" not in changed:
            continue
        pointer = state["esp"] if wide else state["esp"] & 0xFFFF
        key = (state.get("cs", 0) & 3 if wide else 0, pointer - 1 & ~(PAGE - 1))
        pages.setdefault(key, (number, []))[1].append(pointer)
    out: list[Document] = []
    for ring, page in pages:
        if len(out) < 2 and ring not in [window["ring"] for window in out]:
            window = _stack_window(found, trace, past, begin, page, *pages[ring, page])
            out += [{**window, "ring": ring}] if window else []
    for window in out:
        ring = window.pop("ring")
        window["label"] = f"stack of ring {ring}" if len(out) > 1 else "stack"
    return out


def _stack_window(
    found: Document,
    trace: Any,
    past: PastMemory | None,
    begin: int,
    page: int,
    number: int,
    pointers: list[int],
) -> Document | None:
    """The part of a page that ESP moved through, from step ``number`` on."""
    registers = found["start"]["registers"]
    first = pointers[0] & ~3
    above = STACK_ABOVE + (8 if number else 0)  # of a ring's stack, the frame that the processor pushed
    low = max(min(pointers) & ~3, page, first + above - STACK_MOST)
    if len(pointers) == 1 and low == first and not registers["esp"]:
        return None  # nobody set up a stack
    high = min(first + above, low + STACK_MOST)
    base = low if registers.get("cr0", 1) & 1 else low + 16 * registers.get("ss", 0)
    if registers.get("cr0", 0) >> 31 & 1:
        high = min(high, (low & ~(PAGE - 1)) + PAGE)
        step = begin + number
        if past is None or step >= len(trace):
            return None
        physical = past.translate(low, trace.paging(step), step)
        if physical is None:
            return None
        base = physical
    return {"kind": "stack", "base": base, "linear": low, "length": high - low}


def _fill_windows(found: Document, past: PastMemory | None, first: int) -> None:
    """Give each window the bytes that it held before its first step.

    When the machine has run on since, only the bytes that the trace itself saw are known.
    """
    for window in found["memory"]:
        if "bytes" in window:
            continue
        base, length = window["base"], window.pop("length")
        cells: list[int | None] = [None] * length
        if past is not None:
            there = past.read(base, length, first)
            cells[: len(there)] = there
        else:
            for step in reversed(found["steps"]):
                for address, size, old, _ in reversed(step["memory"]):
                    for i in range(size):
                        if 0 <= address + i - base < length:
                            cells[address + i - base] = old >> 8 * i & 0xFF
        window["bytes"] = "".join(".." if cell is None else f"{cell:02x}" for cell in cells)


# --- what travels ----------------------------------------------------------------------


def pack(found: Document) -> Document:
    """The document in its short form, as tape.js reads it."""
    registers = dict(found["start"]["registers"])
    for step in found["steps"]:
        for name in step["registers"]:
            registers.setdefault(name, 0)
    registers["eip"] = found["start"]["eip"]
    names = [name for name in REGISTER_ORDER if name in registers]
    names += [name for name in registers if name not in names]
    number = {name: i for i, name in enumerate(names)}
    images = list(dict.fromkeys(row.get("image", "") for row in found["code"]))
    order = sorted(
        range(len(found["code"])),
        key=lambda i: (images.index(found["code"][i].get("image", "")), found["code"][i]["address"]),
    )
    functions = list(dict.fromkeys(row["function"] for row in found["code"] if "function" in row))
    files = list(dict.fromkeys(row["file"] for row in found["code"] if "file" in row))
    line = {old: new for new, old in enumerate(order)}
    place = {row["address"]: line[i] for i, row in reversed(list(enumerate(found["code"])))}
    code = []
    for i in order:
        row = found["code"][i]
        line_of_code = [row["address"], row["bytes"], row["text"], row.get("source", ""), row.get("uops", [])]
        if "function" in row:
            at = [images.index(row["image"]), functions.index(row["function"]), row["offset"]]
            line_of_code.append([*at, files.index(row["file"]), row["line"]] if "file" in row else at)
        code.append(line_of_code)
    steps = []
    for step in found["steps"]:
        index = line[step["code"]] if "code" in step else place[step["address"]]
        changed = [x for name, new in step["registers"].items() for x in (number[name], new)]
        stores = [x for store in step["memory"] for x in store]
        row = [index, changed, stores]
        steps.append([*row, 1] if step.get("delivered") else row if stores else row[:2])
    packed: Document = {
        "title": found["title"],
        "regs": names,
        "start": [registers[name] for name in names],
        "code": code,
        "steps": steps,
        "memory": [
            [w["label"], w.get("kind", "bytes"), w["base"], w["bytes"], w.get("linear", w["base"])]
            for w in found["memory"]
        ],
        "symbols": {str(address): name for address, name in found.get("symbols", {}).items()},
        "end": found.get("end"),
        "exit": found.get("exit", ""),
        "total": found.get("total", len(found["steps"])),
    }
    if found.get("before"):
        packed["before"] = found["before"]
    if functions:
        sources = found.get("sources", {})
        packed |= {"images": images, "functions": functions}
        packed["files"] = [[file, _chunks(sources.get(file, {}))] for file in files]
    if found.get("who"):
        packed["who"] = [list(turn) for turn in found["who"]]
    return packed


def _chunks(lines: Mapping[int, str]) -> list[list[Any]]:
    """Lines by number as runs of neighbours, each ``[first number, [text, ...]]``."""
    out: list[list[Any]] = []
    for number in sorted(lines):
        if not out or number != out[-1][0] + len(out[-1][1]):
            out.append([number, []])
        out[-1][1].append(lines[number])
    return out


def states(packed: Document) -> Iterator[dict[str, int]]:
    """The registers before step 0, after step 0, and so on."""
    names, values = packed["regs"], list(packed["start"])
    steps = packed["steps"]
    for position in range(len(steps) + 1):
        if position:
            changed = steps[position - 1][1]
            for i in range(0, len(changed), 2):
                values[changed[i]] = changed[i + 1]
            here = packed["code"][steps[position][0]][0] if position < len(steps) else packed["end"]
            if here is not None:
                values[names.index("eip")] = here
        yield dict(zip(names, values))
