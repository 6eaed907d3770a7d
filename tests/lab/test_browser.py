"""Real clicks in a real Chromium, on a page with two players and no kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pyvirt_edu.lab import player
from pyvirt_edu.lab.document import states
from pyvirt_edu.machine.registers import flag_names

from .demo import LIST, RESULT, demo

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PAGE = """<!doctype html><html lang="en"{attributes}><head><meta charset="utf-8"><title>demo</title>
<style>body {{ background: {background}; margin: 16px; }}</style></head><body>{body}</body></html>"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium is installed")
    with api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield running
        running.close()


def write(path: Path, *players: Any, dark: bool = False) -> str:
    file = path / "page.html"
    body = "".join(shown._repr_html_() for shown in players)
    file.write_text(
        PAGE.format(background="#111418" if dark else "#ffffff", attributes="", body=body), encoding="utf-8"
    )
    return file.as_uri()


@pytest.fixture
def page(browser: Any, tmp_path: Path) -> Iterator[Any]:
    opened = browser.new_page(viewport={"width": 1280, "height": 720})
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(write(tmp_path, player(demo()), player(demo("Another"), step=-1)))
    yield opened
    opened.close()
    assert errors == []


STATES = list(states(player(demo()).packed))
END = len(STATES) - 1


def look(page: Any, number: int = 0) -> dict[str, Any]:
    """What a player shows."""
    found: dict[str, Any] = page.evaluate(
        """(number) => {
            const root = document.querySelectorAll(".pyvirt-player")[number];
            const text = (node) => node.textContent.trim();
            const registers = {};
            for (const line of root.querySelectorAll("[data-register]"))
                registers[line.dataset.register] = parseInt(text(line.querySelector(".pv-value")), 16);
            const changed = [...root.querySelectorAll("[data-register]")]
                .filter((line) => text(line.querySelector(".pv-mark")) === "●")
                .map((line) => line.dataset.register);
            const flags = [...root.querySelectorAll(".pv-flag")]
                .filter((chip) => text(chip.querySelector(".pv-bit")) === "1")
                .map((chip) => chip.dataset.flag);
            const memory = {};
            for (const line of root.querySelectorAll("[data-address]"))
                memory[line.dataset.address] = [...line.querySelectorAll(".pv-byte")].map(text).join(" ")
                    || text(line.querySelector(".pv-content"));
            return { registers, changed, flags, memory, where: text(root.querySelector(".pv-where")),
                status: text(root.querySelector(".pv-status")),
                next: [...root.querySelectorAll("[aria-current=step] .pv-text")].map(text) };
        }""",
        number,
    )
    return found


def check(page: Any, position: int, number: int = 0) -> dict[str, Any]:
    seen = look(page, number)
    expected = dict(STATES[position])
    flags = flag_names(expected.pop("eflags"))
    assert seen["where"] == f"{position} / {END}"
    assert seen["registers"] == expected
    assert " ".join(seen["flags"] or "-") == flags
    return seen


def test_buttons(page: Any) -> None:
    check(page, 0)
    check(page, END, 1)
    first = page.locator(".pyvirt-player").first
    for position in range(1, 8):
        first.get_by_role("button", name="Step").click()
        check(page, position)
    first.get_by_role("button", name="Back").click()
    check(page, 6)
    first.get_by_role("button", name="Last").click()
    seen = check(page, END)
    assert seen["memory"][f"{LIST + 24 - 8:05x}"].split()[-4:] == "f0 ff ff ff".split()
    first.get_by_role("button", name="First").click()
    check(page, 0)
    check(page, END, 1)  # the other player did not move


def test_every_position_backwards_and_forwards(page: Any) -> None:
    for position in [*range(END, -1, -1), *range(END + 1), 3, 17, 5]:
        page.evaluate("(p) => document.querySelector('.pyvirt-player').pyvirt.jump(p)", position)
        check(page, position)


def test_keyboard(page: Any) -> None:
    page.locator(".pyvirt-player").first.focus()
    for key, position in [("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("End", END), ("Home", 0)]:
        page.keyboard.press(key)
        check(page, position)
    page.keyboard.press("Space")
    page.wait_for_function("document.querySelector('.pv-where').textContent.startsWith('2 ')")
    page.keyboard.press("Space")
    assert page.locator(".pv-button[data-action=play]").first.text_content().endswith("Play")


def test_focus_goes_through_the_parts_in_order(page: Any) -> None:
    page.locator(".pyvirt-player").first.focus()
    names = []
    for _ in range(10):
        page.keyboard.press("Tab")
        names.append(
            page.evaluate(
                """() => {
                    const at = document.activeElement;
                    return at.dataset.action || at.closest(".pv-pane")?.ariaLabel || at.ariaLabel;
                }"""
            )
        )
    assert names == [
        *("first", "back", "step", "last", "play", "Speed", "Position in the trace"),
        *("Code", "Registers", "Registers"),
    ]


def test_slider(page: Any) -> None:
    slider = page.locator(".pv-slider").first
    slider.fill("12")
    check(page, 12)
    slider.press("ArrowRight")
    check(page, 13)
    assert slider.get_attribute("aria-valuetext") == f"after 13 of {END} steps"


def test_run_to_a_line(page: Any) -> None:
    line = page.locator(".pyvirt-player").first.locator(".pv-code .pv-line", has_text="dec ecx")
    line.click()
    seen = check(page, 6)
    assert seen["next"] == ["dec ecx"]
    line.focus()
    page.keyboard.press("Enter")
    check(page, 10)
    line.click(modifiers=["Shift"])
    check(page, 6)
    page.locator(".pv-code .pv-line", has_text="mov esi").first.click()
    assert look(page)["status"] == "10000 is not reached again."


def test_run_to_the_next_change(page: Any) -> None:
    first = page.locator(".pyvirt-player").first
    first.locator("[data-register=ecx]").click()
    assert check(page, 2)["changed"] == ["ecx"]
    first.locator("[data-register=ecx]").click()
    assert check(page, 7)["changed"] == ["ecx"]
    first.locator("[data-address='10058']").click()
    seen = check(page, END - 1)
    assert seen["memory"][f"{RESULT:05x}"] == "22 00 00 00 00 00 00 00"


def test_the_step_is_announced(page: Any) -> None:
    first = page.locator(".pyvirt-player").first
    status = first.get_by_role("status")
    assert status.get_attribute("aria-live") == "polite"
    first.get_by_role("button", name="Step").click()
    assert status.text_content() == "Step 1: mov esi, 0x10040 — esi 0 → 10040. Next: mov ecx, 6."


def test_without_scripts_the_table_stays(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    opened = context.new_page()
    opened.goto(write(tmp_path, player(demo())))
    assert opened.get_by_role("table").is_visible()
    assert opened.get_by_text("mov esi, 0x10040").is_visible()
    context.close()


@pytest.mark.parametrize("size", [(1280, 720), (1440, 900)])
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_the_screen(browser: Any, tmp_path: Path, size: tuple[int, int], dark: bool) -> None:
    opened = browser.new_page(viewport={"width": size[0], "height": size[1]})
    opened.goto(write(tmp_path, player(demo(), step=9), dark=dark))
    root = opened.locator(".pyvirt-player")
    assert root.get_attribute("data-theme") == ("dark" if dark else "light")
    box = root.bounding_box()
    assert box["y"] + box["height"] <= size[1] and box["x"] + box["width"] <= size[0]
    wide = opened.evaluate(
        """() => [...document.querySelectorAll(".pv-body")].filter((b) => b.scrollWidth > b.clientWidth + 1)
            .map((b) => b.parentElement.getAttribute("aria-label"))"""
    )
    assert wide == []
    if folder := os.environ.get("PYVIRT_SHOTS"):
        opened.screenshot(path=Path(folder) / f"player-{size[0]}-{'dark' if dark else 'light'}.png")
    opened.close()


@pytest.mark.parametrize("width", [1280, 1000, 700, 420])
def test_every_pane_has_room(browser: Any, tmp_path: Path, width: int) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 720})
    opened.goto(write(tmp_path, player(demo())))
    panes = opened.locator(".pv-pane")
    whole = opened.locator(".pv-panes").bounding_box()["width"]
    boxes = [panes.nth(i).bounding_box() for i in range(panes.count())]
    opened.close()
    assert len(boxes) == 3 and all(box["width"] > min(230, 0.9 * whole) for box in boxes)
    assert max(box["x"] + box["width"] for box in boxes) - min(box["x"] for box in boxes) > 0.95 * whole
