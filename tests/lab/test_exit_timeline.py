"""The exits of a run on the clock: text, table, picture and browser say the same."""

from __future__ import annotations

import functools
import html
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu.hypervisor.meter import ASLEEP, ExitRecord, Meter
from pyvirt_edu.hypervisor.three_ways import full_virtualization
from pyvirt_edu.lab import exit_timeline
from pyvirt_edu.lab.exit_timelines import ExitTimeline
from pyvirt_edu.lab.house import page as whole_page
from pyvirt_edu.lab.timelines import LANES, LIMIT, OTHERS

from .conftest import SIZES

FOUR = [
    ExitRecord("cli", 100, 200, 0x1000),
    ExitRecord("out <dx>", 300, 900, 0x1002),
    ExitRecord("hlt", 1000, 9000, 0x1004, idle=7900),
    ExitRecord("cli", 9100, 9200, 0x1000),
]


@functools.cache
def meter() -> Meter:
    found = full_virtualization().meter
    assert found is not None
    return found


def test_lanes_are_the_ledger() -> None:
    shown = exit_timeline(meter())
    lanes = {reason: (n, cycles) for reason, n, cycles in shown.lanes}
    assert lanes.pop(ASLEEP)[1] == 0, "nobody works there"
    assert lanes == {reason: (n, cycles) for reason, n, cycles, _ in meter().rows()}
    assert sum(n for n, _ in lanes.values()) == meter().exits
    assert sum(cycles for _, cycles in lanes.values()) == meter().cycles


def test_text_and_html_state_the_same_facts() -> None:
    for shown in (exit_timeline(FOUR, "four"), exit_timeline(meter())):
        text, page = repr(shown), shown._repr_html_()
        plain = html.unescape(re.sub(r"<[^>]*>", " ", page))
        for row in [*shown.lanes, *shown.rows()]:
            cells = [f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row]
            words = " ".join(cells).split()
            assert any(line.split() == words for line in text.splitlines())
            assert " ".join(words) in " ".join(plain.split())
        assert shown.summary() in text and shown.summary() in plain
    assert "four: 4 exits, from cycle 100 to 9,200" in repr(exit_timeline(FOUR, "four"))


def test_the_picture_has_every_exit_in_its_lane() -> None:
    shown = exit_timeline(FOUR)
    assert [lane[0] for lane in shown.lanes] == ["out <dx>", "cli", "hlt"]
    paths = re.findall(r"class='pv-(exits|asleep)' d='([^']*)'", shown._repr_html_())
    assert [path.count("M") for _, path in paths] == [1, 0, 2, 0, 0, 1]  # awake, asleep: a pair for each lane
    start = float(re.findall(r"M([\d.]+)", paths[5][1])[0])
    assert start == pytest.approx(150 + 850 * 900 / 9100, abs=0.1)


def test_too_many_are_cut_and_said() -> None:
    many = [ExitRecord(f"r{i % 30}", 10 * i, 10 * i + 5, i) for i in range(LIMIT + 7)]
    shown = ExitTimeline(many)
    assert len(shown.spans) == LIMIT and f"the first {LIMIT:,} of {LIMIT + 7:,} exits" in repr(shown)
    assert len(shown.lanes) == LANES and shown.lanes[-1][0] == OTHERS
    assert sum(n for _, n, _ in shown.lanes) == LIMIT
    assert len(shown._repr_html_()) < 250_000


def test_none_at_all() -> None:
    assert repr(exit_timeline([])).startswith("Exits: none")
    assert "Exits: none" in exit_timeline([])._repr_html_()


# --- in a browser --------------------------------------------------------------------------


def status(page: Any) -> str:
    return str(page.locator(".pv-status").text_content())


@pytest.mark.browser
def test_keys_buttons_and_mouse(show: Callable[..., Any]) -> None:
    shown = exit_timeline(FOUR)
    page = show(whole_page("t", shown._repr_html_()))
    assert status(page) == shown.sentence(0)
    page.locator(".pv-timeline").focus()
    for key, number in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", 3), ("Home", 0)]:
        page.keyboard.press(key)
        assert status(page) == shown.sentence(number)
    page.keyboard.press("Shift+ArrowRight")
    assert status(page) == shown.sentence(3)
    page.keyboard.press("Shift+ArrowRight")
    assert status(page) == "No other cli after this one."
    page.get_by_role("button", name="Exit before", exact=True).click()
    assert status(page) == shown.sentence(2)
    page.get_by_role("slider").fill("1")
    assert status(page) == shown.sentence(1)
    ground = page.locator(".pv-ground").nth(2).bounding_box()  # the lane of hlt
    page.mouse.move(ground["x"] + ground["width"] / 2, ground["y"] + ground["height"] / 2)
    assert status(page) == shown.sentence(2)


@pytest.mark.browser
def test_a_closer_look(show: Callable[..., Any]) -> None:
    shown = exit_timeline(meter())
    page = show(whole_page("t", shown._repr_html_()))
    page.locator(".pv-timeline").focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    for _ in range(3):
        page.keyboard.press("+")
    low, high = (int(re.sub(r"\D", "", text)) for text in page.locator(".pv-end").all_text_contents())
    record = shown.spans[5]
    assert low <= record.start < record.end <= high
    assert high - low == pytest.approx((shown.span()[1] - shown.span()[0]) / 64, rel=0.01)
    page.keyboard.press("End")  # the view follows
    low, high = (int(re.sub(r"\D", "", text)) for text in page.locator(".pv-end").all_text_contents())
    assert low <= shown.spans[-1].start and high == shown.span()[1]
    page.keyboard.press("0")
    assert page.locator(".pv-end").first.text_content() == f"cycle {shown.span()[0]:,}"


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen(show: Callable[..., Any], size: tuple[int, int], dark: bool) -> None:
    page = show(whole_page("t", exit_timeline(meter(), "tiny2")._repr_html_()), size, dark)
    box = page.locator(".pv-timeline").bounding_box()
    assert box["x"] + box["width"] <= size[0] and box["y"] + box["height"] <= size[1]
    if folder := os.environ.get("PYVIRT_SHOTS"):
        page.screenshot(path=Path(folder) / f"timeline-{size[0]}-{'dark' if dark else 'light'}.png")
