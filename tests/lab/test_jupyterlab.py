"""The widgets in JupyterLab, clicked and typed into while another cell computes."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.browser
nbformat = pytest.importorskip("nbformat")
pytest.importorskip("jupyterlab")
pytest.importorskip("anywidget")

SETUP = """
from tests.lab.test_guest_widgets import polling
from pyvirt_edu.lab import ConsoleWidget, ScreenWidget
m = polling()
"""
BUSY = """
import time
total, end = 0, time.monotonic() + 90
while time.monotonic() < end and not m.console.text.endswith("stop"):
    total += sum(range(1000))
print("computed", "and saw stop" if m.console.text.endswith("stop") else "to the end")
"""
GRUB = """
from pyvirt_edu import Machine
from pyvirt_edu.lab import ScreenWidget
m = Machine(ram="32MiB")
m.boot({disk!r})
screen = ScreenWidget(m)
screen.run()
screen
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("lab")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{root}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ip=127.0.0.1"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={folder}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    log = (home / "log").open("w")
    running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert running.poll() is None and time.monotonic() < end, (home / "log").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}", folder
    finally:
        running.terminate()
        running.wait(20)
        log.close()


@pytest.fixture
def notebook(chromium: Any, server: tuple[str, Path]) -> Iterator[Callable[..., Any]]:
    address, folder = server
    pages: list[Any] = []

    def open_notebook(*cells: str, size: tuple[int, int] = (1280, 720), dark: bool = False) -> Any:
        book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text.strip()) for text in cells])
        book.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
        name = f"book{len(list(folder.glob('*.ipynb')))}.ipynb"
        nbformat.write(book, folder / name)
        page = chromium.new_page(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        page.goto(f"{address}/lab/tree/{name}?reset")
        page.wait_for_selector(".jp-Notebook", timeout=60_000)
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
        pages.append(page)
        return page

    yield open_notebook
    for page in pages:
        page.close()


def run_cell(page: Any, number: int) -> None:
    """Run a cell; a kernel that is not there yet, or a dialog, swallows the keys."""
    prompt = page.locator(".jp-InputPrompt").nth(number)
    for _ in range(20):
        page.locator(".jp-Notebook .jp-CodeCell .cm-content").nth(number).click()
        page.keyboard.press("Control+Enter")
        for _ in range(15):
            if prompt.text_content() != "[ ]:":
                return
            time.sleep(0.1)
    picture(page, "lab-stuck.png")
    raise AssertionError("the cell does not run")


def picture(page: Any, name: str) -> None:
    if folder := os.environ.get("PYVIRT_SHOTS"):
        page.screenshot(path=Path(folder) / name)


def state(page: Any) -> str:
    return str(page.locator(".pv-state").first.text_content())


def instructions(page: Any) -> int:
    line = page.locator(".pv-line").first.text_content()
    return int(re.match(r"[\d,]+", line)[0].replace(",", ""))  # type: ignore[index]


def until(done: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.05)


def test_typing_while_another_cell_computes(notebook: Callable[..., Any]) -> None:
    page = notebook(SETUP + "console = ConsoleWidget(m)\nconsole", BUSY)
    run_cell(page, 0)
    page.wait_for_selector(".pv-guest", timeout=30_000)
    assert state(page) == "paused"
    page.locator("[data-action=run]").click()
    until(lambda: state(page) == "running")
    display = page.locator(".pv-display")
    display.click()
    page.keyboard.type("hello ")
    until(lambda: "hello" in page.locator(".pv-paper").text_content())
    run_cell(page, 1)
    until(lambda: page.locator(".jp-InputPrompt").nth(1).text_content() == "[*]:")
    before = instructions(page)
    display.click()
    page.keyboard.type("and more, sto")
    page.keyboard.press("Backspace")
    page.keyboard.press("Control+c")
    page.keyboard.press("ArrowUp")
    until(lambda: "and more, sto" in page.locator(".pv-paper").text_content())
    assert page.locator(".jp-InputPrompt").nth(1).text_content() == "[*]:"  # still computing
    assert instructions(page) > before
    page.evaluate(
        """() => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", "two\\nlines ");
            const event = new ClipboardEvent("paste", { clipboardData, bubbles: true });
            document.activeElement.dispatchEvent(event);
        }"""
    )
    until(lambda: "lines " in page.locator(".pv-paper").text_content())
    page.keyboard.type("stop")
    page.wait_for_selector("text=computed and saw stop", timeout=30_000)
    picture(page, "lab-console-1280.png")
    page.locator("[data-action=run]").click()
    until(lambda: state(page) == "paused")
    still = instructions(page)
    page.locator("[data-action=step]").click()
    until(lambda: instructions(page) == still + 1)
    page.locator("[data-action=back]").click()
    until(lambda: instructions(page) == still)
    page.locator("[data-action='back a second']").click()
    until(lambda: instructions(page) < still)
    page.locator("[data-action=reset]").click()
    until(lambda: instructions(page) == 0 and page.locator(".pv-paper").text_content().strip() == "")


@pytest.mark.skipif(
    not Path("/usr/lib/grub/i386-pc/boot.img").exists() or shutil.which("grub-mkimage") is None,
    reason="grub-pc-bin and grub-common are not installed",
)
@pytest.mark.parametrize(("size", "dark"), [((1280, 720), False), ((1440, 900), True)])
def test_grub_at_its_prompt(
    notebook: Callable[..., Any], tmp_path: Path, size: tuple[int, int], dark: bool
) -> None:
    from tests.programs.test_debian import GRUB as PLACE
    from tests.programs.test_debian import has_firmware

    if not has_firmware():
        pytest.skip("SeaBIOS is not installed")
    core = tmp_path / "core.img"
    modules = ["biosdisk", "part_msdos", "normal", "echo", "ls"]
    command = ["grub-mkimage", "-O", "i386-pc", "-p", "/boot/grub", "-o", str(core), *modules]
    subprocess.run(command, check=True, capture_output=True)
    disk = tmp_path / "disk.img"
    disk.write_bytes(((PLACE / "boot.img").read_bytes() + core.read_bytes()).ljust(8 << 20, b"\0"))
    page = notebook(GRUB.format(disk=str(disk)), size=size, dark=dark)
    if dark:
        page.click("text=Settings >> nth=0")
        page.hover("text=Theme >> nth=0")
        page.click("text=JupyterLab Dark >> nth=0")
    run_cell(page, 0)
    page.wait_for_selector(".pv-guest", timeout=30_000)
    until(lambda: "grub>" in page.locator(".pv-paper").text_content(), 60)
    page.locator(".pv-display").click()
    page.keyboard.type("echo 6 times 7")
    page.keyboard.press("Enter")
    until(lambda: page.locator(".pv-paper").text_content().count("6 times 7") == 2)
    assert page.locator(".pv-guest").get_attribute("data-theme") == ("dark" if dark else "light")
    box, view = page.locator(".pv-guest").bounding_box(), page.locator(".jp-NotebookPanel").bounding_box()
    assert box["width"] <= view["width"] and box["height"] <= size[1] - 120
    page.locator(".pv-guest").scroll_into_view_if_needed()
    picture(page, f"lab-screen-{size[0]}-{'dark' if dark else 'light'}.png")
