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
      "exit": "halt", "total": 500, "first": 0        optional
    }

A step holds what its instruction changed; "registers" are new values. The kind of a window is
"bytes", "stack" (words, with the pointers beside them) or "entries" (of a page table). ".."
in its bytes is a byte that nobody knows. "linear" is the address to show where paging makes it
differ from the physical base. When one address appears with two different bytes in "code", the
code changed itself; steps then say which row they ran.

`pack` turns it into what travels to the browser: the same facts in arrays, registers by number.
`states` walks it in Python, as player.js does in the browser.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Document = dict[str, Any]

#: In the order of the manual; what else a document has comes after these.
REGISTER_ORDER = (
    *("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip", "eflags"),
    *("cs", "ss", "ds", "es", "fs", "gs", "cr0", "cr2", "cr3", "cr4"),
)
#: Name and bit of every flag that is shown (manual 1, section 3.4.3).
FLAGS = {"CF": 0, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11}
FLAGS |= {"NT": 14, "RF": 16, "VM": 17, "AC": 18, "VIF": 19, "VIP": 20, "ID": 21}
STACK_ABOVE, STACK_MOST = 16, 256
WINDOW_MOST = 512  # bytes of a window that the player makes by itself
PAGE = 4096


class DocumentError(ValueError):
    """A trace document that cannot be shown, with the reason."""


def flag_text(value: int) -> str:
    """EFLAGS as the names of the bits that are set, as `Trace` prints them."""
    names = [name for name, bit in FLAGS.items() if value >> bit & 1]
    level = value >> 12 & 3
    return " ".join(names + ([f"IOPL={level}"] if level else [])) or "-"


# --- from a trace ----------------------------------------------------------------------


def document(
    trace: Any,
    *,
    title: str = "",
    limit: int = 1000,
    memory: Iterable[Any] | None = None,
    symbols: Mapping[int, str] | None = None,
    source: Mapping[int, str] | None = None,
) -> Document:
    """The document of a `Trace` (or of a document, which is checked and completed)."""
    if isinstance(trace, Mapping):
        found: Document = dict(trace)
        machine = None
    else:
        found = _of_trace(trace, limit)
        machine = getattr(trace, "_machine", None)
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
        found["memory"] = [_window(item) for item in memory]
    if "memory" not in found:
        found["memory"] = _windows(found, machine)
    _fill_windows(found, trace, machine)
    return found


def _of_trace(trace: Any, limit: int) -> Document:
    plain = trace.to_dict(0, min(limit, len(trace)))
    start = dict(plain["start"])
    eip = start.pop("eip")
    code: list[Document] = []
    known: dict[tuple[int, str, str], int] = {}
    steps = []
    for step in plain["steps"]:
        key = (step["eip"], step["code"], step["text"])
        if key not in known:
            known[key] = len(code)
            row: Document = {"address": step["eip"], "bytes": step["code"], "text": step["text"]}
            if "uops" in step:
                row["uops"] = step["uops"]
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
    ended = len(steps) == total
    after = trace.registers(len(steps))["eip"] if steps else eip
    return {
        "start": {"eip": eip, "registers": start},
        "code": code,
        "steps": steps,
        "end": after,
        "exit": plain["exit"] if ended else "",
        "total": total,
        "first": plain.get("first", 0),
    }


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


def _windows(found: Document, machine: Any) -> list[Document]:
    """The stack, and what the run wrote elsewhere."""
    windows = []
    stack = _stack_window(found, machine)
    if stack:
        windows.append(stack)
    touched = sorted(
        {
            address + i & ~7
            for step in found["steps"]
            for address, size, *_ in step["memory"]
            for i in range(size)
            if not (stack and stack["base"] <= address < stack["base"] + stack["length"])
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


def _stack_window(found: Document, machine: Any) -> Document | None:
    registers = found["start"]["registers"]
    if "esp" not in registers:
        return None
    pointers = [registers["esp"]]
    pointers += [step["registers"]["esp"] for step in found["steps"] if "esp" in step["registers"]]
    wide = registers.get("cr0", 1) & 1
    if not wide:
        pointers = [pointer & 0xFFFF for pointer in pointers]
    first = pointers[0]
    page_low = first - 1 & ~(PAGE - 1)
    near = [p for p in pointers if page_low <= p <= page_low + PAGE]
    low = max(min(near) & ~3, page_low, (first & ~3) + STACK_ABOVE - STACK_MOST)
    if len(near) == 1 and low == first & ~3 and not registers["esp"]:
        return None  # nobody set up a stack
    high = min((first & ~3) + STACK_ABOVE, low + STACK_MOST)
    base = low if wide else low + 16 * registers.get("ss", 0)
    if registers.get("cr0", 0) >> 31 & 1:
        high = min(high, (low & ~(PAGE - 1)) + PAGE)
        physical = machine.translate(low) if machine is not None else None
        if physical is None:
            return None
        base = physical
    return {"label": "stack", "kind": "stack", "base": base, "linear": low, "length": high - low}


def _fill_windows(found: Document, trace: Any, machine: Any) -> None:
    """Give each window the bytes that it held before step 0.

    They are read as they are now, and all stores of the trace are undone. When the machine has
    run on since, only the bytes that the trace itself saw are known.
    """
    still = machine is not None and machine.instructions == found.get("first", 0) + len(trace)
    for window in found["memory"]:
        if "bytes" in window:
            continue
        base, length = window["base"], window.pop("length")
        cells: list[int | None] = [None] * length
        if still:
            end = max(0, min(length, machine.ram_size - base))
            cells[:end] = machine.read(base, end)
        window["bytes"] = cells
    stores = _all_stores(found, trace)
    for address, size, old, _ in reversed(stores):
        for window in found["memory"]:
            cells, base = window["bytes"], window["base"]
            if isinstance(cells, list):
                for i in range(size):
                    if 0 <= address + i - base < len(cells):
                        cells[address + i - base] = old >> 8 * i & 0xFF
    for window in found["memory"]:
        if isinstance(window["bytes"], list):
            window["bytes"] = "".join(".." if cell is None else f"{cell:02x}" for cell in window["bytes"])


def _all_stores(found: Document, trace: Any) -> list[Any]:
    stores = [store for step in found["steps"] for store in step["memory"]]
    if not isinstance(trace, Mapping):  # also those of the steps beyond the limit
        for i in range(len(found["steps"]), len(trace)):
            stores += [(s.address, s.size, s.old, s.new) for s in trace[i].memory]
    return stores


# --- what travels ----------------------------------------------------------------------


def pack(found: Document) -> Document:
    """The document in its short form, as player.js reads it."""
    registers = dict(found["start"]["registers"])
    for step in found["steps"]:
        for name in step["registers"]:
            registers.setdefault(name, 0)
    registers["eip"] = found["start"]["eip"]
    names = [name for name in REGISTER_ORDER if name in registers]
    names += [name for name in registers if name not in names]
    number = {name: i for i, name in enumerate(names)}
    order = sorted(range(len(found["code"])), key=lambda i: found["code"][i]["address"])
    line = {old: new for new, old in enumerate(order)}
    place = {row["address"]: line[i] for i, row in reversed(list(enumerate(found["code"])))}
    code = []
    for i in order:
        row = found["code"][i]
        code.append([row["address"], row["bytes"], row["text"], row.get("source", ""), row.get("uops", [])])
    steps = []
    for step in found["steps"]:
        index = line[step["code"]] if "code" in step else place[step["address"]]
        changed = [x for name, new in step["registers"].items() for x in (number[name], new)]
        stores = [x for store in step["memory"] for x in store]
        row = [index, changed, stores]
        steps.append([*row, 1] if step.get("delivered") else row if stores else row[:2])
    return {
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
