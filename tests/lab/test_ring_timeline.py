"""Rings and processes along a trace: what the lanes say, against the steps themselves."""

from __future__ import annotations

import html
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.guests import sprout
from pyvirt_edu.guests.code_map import CodeMap
from pyvirt_edu.lab import RingTimeline, ring_timeline
from pyvirt_edu.lab.house import page as whole_page
from pyvirt_edu.lab.timelines import LABELS, WIDTH, Span
from pyvirt_edu.machine.time_travel.tracing import Trace

from .conftest import SIZES

STEPS = 110_000


@pytest.fixture(scope="module")
def echo() -> Trace:
    m = Machine(ram="16MiB")
    m.boot(sprout.image(), initrd=sprout.root())
    m.run(until=lambda m: m.console.text.endswith("$ "), max_instructions=10_000_000)
    m.console.type("echo hi\n")
    return m.trace(STEPS)


@pytest.fixture(scope="module")
def shown(echo: Trace) -> RingTimeline:
    return ring_timeline(echo, sprout.Inspector(), "echo hi")


def test_the_turns_cover_every_step_once(shown: RingTimeline, echo: Trace) -> None:
    assert [span.start for span in shown.spans] == [0, *(span.end for span in shown.spans[:-1])]
    assert shown.spans[-1].end == len(echo) == STEPS
    assert sum(length for *_, length in shown.lanes) == STEPS
    rings = Counter(step.ring for step in echo)
    for ring in (0, 3):
        assert rings[ring] == sum(length for lane, _, length in shown.lanes if lane.endswith(f"ring {ring}"))
    names = [lane.rpartition(", ")[0] for lane, *_ in shown.lanes]
    assert list(dict.fromkeys(names)) == ["sh (2)", "sh (3)", "echo (3)"]
    assert [lane[-1] for lane, *_ in shown.lanes] == ["3", "0"] * 3


def test_the_path_is_that_of_the_steps(echo: Trace) -> None:
    eips, rings = echo.path
    assert eips.tolist() == [step.eip for step in echo]
    assert rings.tolist() == [step.ring for step in echo]


def test_real_mode_has_no_rings() -> None:
    """The low bits of CS are part of an address there."""
    m = Machine(ram="1MiB", devices=())
    m.load(assemble("mov eax, cr0\nor al, 1\nmov cr0, eax\nhlt", bits=16, origin=0), at=0x10F0)
    m.cpu.cs, m.cpu.eip = 0x10F, 0
    trace = m.trace(4)
    assert len(trace) == 4
    assert trace.path[1].tolist() == [step.ring for step in trace]
    assert trace.path[1].tolist()[:3] == [0, 0, 0]


def test_a_crowded_lane_stays_where_it_is() -> None:
    """Marks have a least width; many of them in one place do not push one another away."""
    (path,) = re.findall(r"class='pv-exits' d='([^']*)'", crowded()._repr_html_())
    check_crowd(path)


@pytest.mark.browser
def test_a_crowded_lane_stays_where_it_is_in_a_browser(show: Any) -> None:
    page = show(whole_page("t", crowded()._repr_html_()))
    check_crowd(page.locator(".pv-exits").get_attribute("d"))


def crowded() -> RingTimeline:
    crowd = [Span("ring 0", 4 * i, 4 * i + 2) for i in range(1000)]
    return RingTimeline([*crowd, Span("ring 0", 99_990, 100_000)], "crowd")


def check_crowd(path: str) -> None:
    marks = [(float(x), float(w)) for x, w in re.findall(r"M([\d.]+) \d+h([\d.]+)", path)]
    *near, (last, _) = marks
    end = LABELS + 4000 * (WIDTH - LABELS) / 100_000
    assert max(x + wide for x, wide in near) < end + 1.5
    assert 10 < len(near) < 40 and last == pytest.approx(WIDTH, abs=1)


def test_each_turn_says_why_the_kernel_was_entered(shown: RingTimeline, echo: Trace) -> None:
    symbols = sprout.Inspector().symbols
    writes = [span for span in shown.spans if span.detail == "system call write"]
    assert writes
    for span in writes:
        assert echo.registers(span.start)["eax"] == 4  # the number of write, before it is asked
        assert symbols.at(echo[span.start].eip) == "stub_128"
    faults = [span for span in shown.spans if span.detail == "exception 14"]
    assert faults and all(echo[span.start - 1].delivered for span in faults)
    assert shown.spans[0].detail == "interrupt 36"  # the serial port woke the shell


def test_text_and_html_state_the_same_facts(shown: RingTimeline) -> None:
    text, page = repr(shown), shown._repr_html_()
    plain = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())
    for row in [*shown.lane_rows(), *shown.rows()]:
        words = " ".join(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row).split()
        assert any(line.split() == words for line in text.splitlines())
        assert " ".join(words) in plain
    assert shown.summary() in text and shown.summary() in plain
    assert len(page) < 60_000


def test_a_kernel_without_processes() -> None:
    m = Machine(ram="1MiB", devices=())
    m.load(assemble("mov ecx, 3\nagain: dec ecx\njnz again\nhlt", bits=32, origin=0x10000), at=0x10000)
    m.enter_protected_mode(eip=0x10000)
    (turn,) = ring_timeline(m.trace(100), CodeMap(b"")).spans
    assert (turn.reason, turn.start, turn.end, turn.detail) == ("ring 0", 0, 8, "")


@pytest.mark.browser
def test_turns_can_be_chosen(shown: RingTimeline, show: Any) -> None:
    page = show(whole_page("t", shown._repr_html_()))

    def status() -> str:
        return str(page.locator(".pv-status").inner_text())

    assert status() == shown.sentence(0)
    assert "Turn 1 of" in status() and "entered by interrupt 36" in status()
    page.locator(".pv-timeline").focus()
    page.keyboard.press("ArrowRight")
    assert status() == shown.sentence(1)
    page.get_by_role("button", name="Next turn in the same lane").click()
    second = next(i for i, span in enumerate(shown.spans) if i > 1 and span.reason == shown.spans[1].reason)
    assert status() == shown.sentence(second)
    page.get_by_role("button", name="Look closer").click()
    assert page.locator(".pv-end").first.text_content().startswith("instruction ")


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen(shown: RingTimeline, show: Any, size: tuple[int, int], dark: bool) -> None:
    page = show(whole_page("t", shown._repr_html_()), size, dark)
    box = page.locator(".pv-timeline").bounding_box()
    assert box["x"] + box["width"] <= size[0] and box["y"] + box["height"] <= size[1]
    if folder := os.environ.get("PYVIRT_SHOTS"):
        page.screenshot(path=Path(folder) / f"rings-{size[0]}-{'dark' if dark else 'light'}.png")
