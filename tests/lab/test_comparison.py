"""Three runs of tiny2: the parts add up, the words follow the numbers, the page computes the same."""

from __future__ import annotations

import functools
import html
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu.hypervisor.meter import Account, Meter
from pyvirt_edu.hypervisor.three_ways import compare
from pyvirt_edu.lab.comparisons import (
    GATES,
    PORTS,
    Comparison,
    comparison,
    comparison_page,
    comparison_text,
)

from .conftest import SIZES


@dataclass
class Run:
    name: str
    text: str
    cycles: int
    instructions: int
    meter: Meter | None
    own: Counter[str] = field(default_factory=Counter)
    idle: int = 0


@functools.cache
def runs() -> tuple[Any, ...]:
    return tuple(compare())


@functools.cache
def shown() -> Comparison:
    return comparison(runs(), "tiny2, three ways")


def metered(**counts: int) -> Meter:
    """A meter that has seen ten exits with some primitives."""
    from pyvirt_edu import Machine

    meter = Meter(Machine(ram="1MiB", devices=()))
    primitives = Counter({name.replace("_", " "): n for name, n in counts.items()})
    cycles = sum(meter.prices[name] * n for name, n in primitives.items()) + 10 * 130
    hardware = Counter({"exception entry": 10, "IRET": 10})
    meter.accounts["all"] = Account("all", 10, cycles, primitives, hardware)
    return meter


def test_the_parts_add_up_to_the_clock() -> None:
    c = shown()
    for i, run in enumerate(runs()):
        assert sum(c.part(i, part) for part in c.parts()) == run.cycles - c.runs[i].idle
        assert c.total(i) == run.cycles - c.runs[i].idle
        assert c.total(i, whole=False) == c.total(i) - c.runs[i].own
        if run.meter is not None:
            inside = [part for part in c.parts() if part not in c.parts()[:2]]
            assert sum(c.part(i, part) for part in inside) == run.meter.cycles
            assert c.runs[i].hardware > 0 and c.runs[i].rest > 0


def test_the_three_say_the_same() -> None:
    assert shown().same_output
    assert "All 3 runs print the same" in comparison_text(runs())


def test_the_crossing_is_where_both_cost_the_same() -> None:
    cheap, dear = metered(memory_read=100), metered(port_access=2)
    c = comparison([Run("a", "x", 1500, 1, cheap), Run("b", "x", 1900, 1, dear)])
    spans = c.winners(PORTS)  # 100 reads at 2 cycles are 2 accesses at 100
    assert spans == [(1, 100), (0, 60_000)]
    assert c.total(0, {PORTS: 100}) == c.total(1, {PORTS: 100})
    assert c.change(PORTS) == "b below 100, then a"
    assert c.verdict() == "a wins with 1,500 cycles; b takes 1,900, 26.7% more."
    assert c.change(GATES) == "always a"
    assert c.sweep().endswith("the order stays.")
    assert c.flips({PORTS: 140}) == [
        "port access halved (70): b, then a",
        "memory read raised by half (3): b, then a",
    ]


def test_every_crossing_of_the_three_is_exact() -> None:
    c = shown()
    found = 0
    for price in c.prices:
        spans = c.winners(price)
        for (before, place), (after, _) in pairwise(spans):
            assert c.total(before, {price: place}) == c.total(after, {price: place})  # type: ignore[dict-item]
            assert c.order({price: float(place) - 1})[0] == before
            assert c.order({price: float(place) + 1})[0] == after
            found += 1
    assert found


def test_own_port_accesses_follow_the_price() -> None:
    bare = Run("bare", "x", 1000, 1, None, Counter({PORTS: 2}))
    c = comparison([bare, Run("a", "x", 9000, 1, metered(port_access=2))])
    assert c.total(0, whole=False) == 600 and c.total(0, {PORTS: 10}, whole=False) == 20
    assert c.total(0) == 1000 and c.total(0, {PORTS: 10}) == 420


def test_a_meter_of_another_run_is_refused() -> None:
    with pytest.raises(ValueError, match="is the meter of this run"):
        comparison([Run("a", "x", 100, 1, metered(memory_read=100))])
    with pytest.raises(ValueError, match="no runs"):
        comparison([])


def test_text_and_html_state_the_same_numbers() -> None:
    c = shown()
    text, page = repr(c), c._repr_html_()
    plain = html.unescape(re.sub(r"<[^>]*>", " ", page))
    for words in (c.verdict(), c.sweep(), c.output(), *(c.change(price) for price in c.prices)):
        assert words in text and words in plain
    for part in c.rows():
        line = next(line for line in text.splitlines() if line.startswith(part + "  "))
        for i in range(len(c.runs)):
            cell = re.search(rf"data-cell='{i},{c.parts().index(part)}'>([\d,]+)<", page)
            assert cell and cell[1] == f"{c.part(i, part):,}" and cell[1] in line.split()
    for reason, *cells in c.reason_rows():
        for cell in cells:
            assert f"<td class='pv-number'>{cell:,}</td>" in page if cell != "" else True
        assert html.escape(str(reason)) in page and str(reason) in text


def test_the_page_needs_nothing_else() -> None:
    page = comparison_page(runs(), "<tiny2>")
    assert not re.search(r"https?://|import\s|\bsrc=|@import|url\((?!#)", page)
    assert page == comparison_page(runs(), "<tiny2>")
    assert "<title>&lt;tiny2&gt;</title>" in page
    data = comparison(runs())._repr_mimebundle_()
    assert set(data) == {"text/plain", "text/html"}


# --- in a browser --------------------------------------------------------------------------


def status(page: Any) -> str:
    return str(page.locator(".pv-status").text_content())


def cells(page: Any) -> list[str]:
    return page.locator("[data-cell], [data-whole], [data-total]").all_text_contents()  # type: ignore[no-any-return]


@pytest.mark.browser
def test_the_browser_computes_what_python_does(show: Callable[..., Any]) -> None:
    c = shown()
    page = show(comparison_page(runs()))
    still = re.findall(r"data-(?:cell|whole|total)='[\d,]*'>([^<]*)<", c._repr_html_())
    assert sorted(cells(page)) == sorted(still)
    assert status(page) == c.verdict()
    assert page.locator(".pv-sweep").text_content() == c.sweep()
    for price, value in ((PORTS, 5), ("memory read", 200), (GATES, 0)):
        page.get_by_label(f"Price of {price}, in cycles, exactly").fill(str(value))
        now = {price: float(value)}
        assert (
            status(page) == f"{c.verdict(now)} If the price of {price} alone moves: {c.change(price, now)}."
        )
        assert page.locator(".pv-sweep").text_content() == c.sweep(now)
        said = page.locator(".pv-change[data-price]").all_text_contents()
        assert said == [c.change(name, now) for name in c.prices]
        page.get_by_role("button", name="Prices as measured").click()
        assert status(page) == c.verdict()
    page.get_by_label("with the guest's own work").uncheck()
    assert status(page) == c.verdict(whole=False)
    widths = page.locator("rect[data-run='0']").evaluate_all(
        "all => all.map(r => Number(r.getAttribute('width')))"
    )
    assert widths[0] == 0


@pytest.mark.browser
def test_sliders_by_keyboard(show: Callable[..., Any]) -> None:
    c = shown()
    page = show(comparison_page(runs()))
    slider = page.get_by_role("slider", name="Price of decision, in cycles")
    slider.focus()
    page.keyboard.press("ArrowRight")
    price = c.prices["decision"] + 1
    assert slider.get_attribute("aria-valuetext") == f"{price} cycles, measured with {price - 1}"
    assert status(page).startswith(c.verdict({"decision": price}))
    page.keyboard.press("Home")
    assert status(page).startswith(c.verdict({"decision": 0}))
    assert page.get_by_role("slider").count() == len(c.prices)


@pytest.mark.browser
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen(show: Callable[..., Any], size: tuple[int, int], dark: bool) -> None:
    page = show(comparison_page(runs(), "tiny2, three ways"), size, dark)
    root = page.locator(".pv-comparison")
    assert root.get_attribute("data-theme") == ("dark" if dark else "light")
    box = root.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= size[0]
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    if folder := os.environ.get("PYVIRT_SHOTS"):
        name = f"comparison-{size[0]}-{'dark' if dark else 'light'}.png"
        page.screenshot(path=Path(folder) / name, full_page=True)
