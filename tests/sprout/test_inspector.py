"""What the inspector reads out of guest memory, against what sprout itself says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.guests import build, sprout
from pyvirt_edu.guests.symbols import Symbols
from pyvirt_edu.machine.time_travel.tracing import Trace

from .lab import COMPILERS


@pytest.fixture(scope="module")
def inspector() -> sprout.Inspector:
    return sprout.Inspector()


def at_the_prompt(image: Path | None = None, root: Path | None = None) -> Machine:
    m = Machine(ram="16MiB")
    m.boot(image or sprout.image(), initrd=root or sprout.root())
    m.run(until=lambda m: m.console.text.endswith("$ "), max_instructions=10_000_000)
    return m


@pytest.fixture(scope="module")
def echo() -> Trace:
    """From a line at the prompt to the next prompt."""
    m = at_the_prompt()
    m.console.type("echo hi\n")
    trace = m.trace(130_000)
    assert m.console.text.endswith("hi\r\n$ ")
    return trace


@pytest.mark.parametrize("compiler", COMPILERS)
def test_the_processes_are_those_that_ps_lists(compiler: str, tmp_path: Path) -> None:
    """Compilers describe a structure in words of their own."""
    image, root = build.build_sprout(tmp_path, compiler)
    inspector = sprout.Inspector(image, root)
    m = Machine(ram="16MiB")
    m.boot(image, initrd=root)
    assert inspector.processes(m) == [] and inspector.current(m) is None  # nothing runs yet
    m = at_the_prompt(image, root)
    m.console.type("ps\n")
    seen: set[tuple[int, str]] = set()
    for _ in range(3000):
        m.run(max_instructions=100)
        if inspector.symbols.at(m.cpu.eip) is None:  # in a program: its directory is loaded
            now = inspector.current(m)
            assert now is not None and now.directory == m.cpu.cr3
        seen |= {(process.pid, process.name) for process in inspector.processes(m)}
    listed = [line.split() for line in m.console.text.splitlines() if line[:5].strip().isdigit()]
    assert {(int(row[0]), row[3]) for row in listed} == {(1, "init"), (2, "sh"), (3, "ps")} <= seen


def test_who_ran_at_each_step(inspector: sprout.Inspector, echo: Trace) -> None:
    turns = inspector.who(echo)
    assert [name for _, name in turns] == ["sh (2)", "sh (3)", "echo (3)", "sh (2)"]
    # a program's turn has one page directory; a child's is another than its parent's
    directories: dict[str, set[int]] = {}
    for (begin, name), (end, _) in zip(turns, [*turns[1:], (len(echo), "")]):
        for i in range(begin, end, 50):
            if echo[i].cs & 3 == 3:
                directories.setdefault(name, set()).add(echo.registers(i)["cr3"])
    assert all(len(found) == 1 for found in directories.values())
    assert directories["sh (2)"] != directories["sh (3)"]


def test_the_boot_has_no_process_at_first(inspector: sprout.Inspector) -> None:
    m = Machine(ram="16MiB")
    m.boot(sprout.image(), initrd=sprout.root())
    assert inspector.who(m.trace(2_000)) == [(0, "kernel")]


def test_code_has_the_names_of_its_program(inspector: sprout.Inspector, echo: Trace) -> None:
    kernel, main = inspector.symbols["schedule"], Symbols.of(sprout.program("echo"))["main"]
    place = inspector.place("sh (2)", 0, kernel)
    assert place is not None and (place.image, place.function, place.offset) == ("kernel", "schedule", 0)
    assert place.source is not None and place.source.file == "kernel/schedule.c"
    assert "void schedule(void)" in inspector.text(place.source.file)[place.source.line - 1]
    programs = [inspector.place(who, 3, main) for who in ("echo (3)", "sh (2)", "nothing (4)")]
    assert programs[0] is not None and programs[0][:3] == ("echo", "main", 0)
    assert programs[1] is not None and programs[1].image == "sh" and programs[1] != programs[0]
    assert programs[2] is None and inspector.place("sh (2)", 3, 0xBFFF0000) is None


# --- in the player -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shown(inspector: sprout.Inspector, echo: Trace) -> Any:
    """The write of `echo`: from the program into the kernel and back."""
    from pyvirt_edu.lab import player

    door = inspector.symbols["stub_128"]
    begin = next(
        i
        for i in range(len(echo))
        if echo._raws(echo._find(i)[0])[echo._find(i)[1]].eip == door
        and echo.registers(i)["eax"] == 4
        and inspector.who(echo)[2][0] < i
    )
    _, rings = echo.path
    end = next(i for i in range(begin, len(echo)) if rings[i] == 3)  # where the call returns
    return player(echo, first=begin - 12, limit=end + 12 - begin + 12, guest=inspector, title="write")


def test_the_document_knows_ring_process_function_and_line(shown: Any) -> None:
    packed = shown.packed
    assert packed["who"] == [[0, "echo (3)"]] and packed["images"] == ["echo", "kernel"]
    assert {"syscall", "stub_128", "system_call", "sys_write", "leave_kernel"} <= set(packed["functions"])
    files = dict(packed["files"])
    assert {"user/lib/start.S", "kernel/syscall.c", "kernel/sys_file.c", "arch/native/traps.S"} <= set(files)
    for name, chunks in packed["files"]:
        text = (sprout.HERE / name).read_text().splitlines()
        for first, lines in chunks:
            assert lines == text[first - 1 : first - 1 + len(lines)]
    for row in packed["code"]:
        _, _, _, file, line = row[5]
        assert any(first <= line < first + len(lines) for first, lines in packed["files"][file][1])
    rows = repr(shown).splitlines()
    assert "[ring 3, echo (3), syscall, user/lib/start.S:" in rows[1]
    assert len(shown._repr_html_()) < 150_000


@pytest.mark.browser
def test_places_can_be_clicked(shown: Any, show: Any) -> None:
    page = show(shown._repr_html_(), (1280, 720))
    places = {key: page.locator(f"[data-place={key}]") for key in ("ring", "who", "function", "source")}
    position = page.locator(".pv-where")
    total = int(position.inner_text().split(" / ")[1])
    assert places["ring"].inner_text() == "Ring 3" and places["who"].inner_text() == "Process echo (3)"
    assert page.locator(".pv-span").count() == 3
    places["ring"].click()
    assert places["ring"].inner_text() == "Ring 0" and position.inner_text() == f"12 / {total}"
    assert places["function"].inner_text() == "Function stub_128"
    assert page.locator(".pv-source-text .pv-next").count() == 1
    assert "traps.S" in page.locator(".pv-source-text .pv-name").inner_text()
    labels = page.locator(".pv-memory .pv-label").all_inner_texts()
    assert labels[:2] == ["stack of ring 3", "stack of ring 0"]
    names = []
    for _ in range(6):
        places["function"].click()
        names.append(places["function"].inner_text().split()[1])
    assert names[:3] == ["enter_kernel", "trap", "system_call"] and "sys_write" in names
    # a line of source runs to where it is next executed
    line = page.locator(".pv-source-text button.pv-line").first
    number = line.get_attribute("data-source")
    line.click()
    assert page.locator(".pv-source-text .pv-next").get_attribute("data-source") == number
    places["ring"].click()
    assert places["ring"].inner_text() == "Ring 3" and position.inner_text() != f"12 / {total}"
    places["ring"].click(modifiers=["Shift"])
    places["ring"].click(modifiers=["Shift"])
    assert position.inner_text() == f"0 / {total}"
    box = page.locator(".pv-lanes").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 20)
    assert position.inner_text() == f"{total // 2} / {total}"
    places["who"].click()
    assert "Process does not change again" in page.locator(".pv-status").inner_text()
