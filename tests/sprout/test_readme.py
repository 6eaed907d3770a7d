"""sprout's README leads through the code that is there, in the order in which it runs."""

from __future__ import annotations

import re

import numpy as np

from pyvirt_edu import Machine
from pyvirt_edu.guests import sprout
from pyvirt_edu.guests.source_lines import SourceLines
from pyvirt_edu.guests.symbols import Symbols

README = (sprout.HERE / "README.md").read_text(encoding="utf-8")
SMALL = "the small ones beside them"


def section(title: str) -> str:
    return README.split(f"## {title}")[1].split("\n## ")[0]


def test_the_path_is_in_the_order_of_the_first_calls() -> None:
    names = re.findall(r"`(\w+)\(\)`", section("One sitting"))
    assert len(names) > 25
    symbols = Symbols.of(sprout.image())
    m = Machine(ram="16MiB", history=False)
    m.boot(sprout.image(), initrd=sprout.root())
    waiting = {symbols[name]: name for name in names}
    for address in waiting:
        m.break_at(address)
    order = []
    while waiting and m.run(max_instructions=2_000_000).reason == "breakpoint":
        order.append(waiting.pop(m.cpu.eip))
        m.clear_break(m.cpu.eip)
    assert order == names


def test_the_path_is_as_long_as_it_says() -> None:
    m = Machine(ram="16MiB")
    m.boot(sprout.image(), initrd=sprout.root())
    ran: set[int] = set()
    while not m.console.text.endswith("$ "):
        eips, rings = m.trace(200_000).path
        ran.update(np.unique(eips[rings == 0]).tolist())
    lines = SourceLines.of(sprout.image())
    stated = int(re.findall(r"some ([\d,]+) lines", section("One sitting"))[0].replace(",", ""))
    assert abs(len({lines.at(eip) for eip in ran}) - stated) <= 100


def test_every_file_has_a_place() -> None:
    text = section("Everything, by topic")
    named = {name.rsplit("/", 1)[-1] for name in re.findall(r"`([\w/]+\.(?:c|h|S|ld))`", text)}
    files = {
        path.relative_to(sprout.HERE)
        for path in sprout.HERE.rglob("*.*")
        if path.suffix in (".c", ".h", ".S", ".ld")
    }
    beside = {path.name for path in files if path.parts[0] == "user"}
    there = {path.name for path in files}
    assert named <= there, named - there
    assert SMALL in text and {path.name for path in files if path.parts[0] != "user"} <= named
    assert beside >= {"init.c", "sh.c"}


def test_what_the_path_names_is_where_it_says() -> None:
    for name, file in re.findall(r"`(\w+)(?:\(\))?` in\s+`([\w/.]+)`", section("One sitting")):
        path = next(p for p in sprout.HERE.rglob(file.rsplit("/", 1)[-1]) if str(p).endswith(file))
        assert re.search(rf"^(?:[\w\s*]*?\b{name}\(|{name}:)", path.read_text(encoding="utf-8"), re.M), (
            name,
            file,
        )


def test_calls_are_there_or_missing() -> None:
    """Each number is in one of the two lists; what calls.h names is defined in the file it says."""
    calls = (sprout.HERE / "include" / "calls.h").read_text(encoding="utf-8")
    missing = (sprout.HERE / "include" / "missing_calls.h").read_text(encoding="utf-8")
    there = [int(number) for number in re.findall(r"CALL\((\d+),", calls)]
    absent = [int(number) for number in re.findall(r"\[(\d+)\] =", missing)]
    both = there + absent
    assert len(there) > 200 and len(both) == len(set(both)), "a number is in the lists twice"
    folder = None
    for file, name in re.findall(r"((?:kernel|net)/\w+\.c)|CALL\(\d+, (\w+)", calls):
        folder = file or folder
        if name and folder and name not in ("nothing", "silently_absent", "socketcall"):
            text = (sprout.HERE / folder).read_text(encoding="utf-8")
            assert re.search(rf"^int sys_{name}\(", text, re.M), (name, folder)
