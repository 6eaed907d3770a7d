"""Charts: the same numbers as figure, picture, table and text; on a page of the book, plotly's."""

from __future__ import annotations

import html
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("plotly")
nbformat = pytest.importorskip("nbformat")

from pyvirt_edu.lab import bars, lines, show, stacked_bars  # noqa: E402
from pyvirt_edu.lab.charts import MIME, Chart  # noqa: E402
from pyvirt_edu.lab.house import page as whole_page  # noqa: E402

from .conftest import SIZES  # noqa: E402

CYCLES = {
    "guest": {"bare metal": 411_289, "trap & emulate": 265_585},
    "gates": {"trap & emulate": 65_950},
    "ports": {"trap & emulate": 210_000},
}


def charts() -> list[Chart]:
    return [
        show(bars({"cli": 15, "in": 224, "out": 220}, title="Exits", label="reason", value="times")),
        show(bars(CYCLES, title="Groups", value="cycles")),
        show(stacked_bars(CYCLES, title="Cycles", label="run", value="cycles")),
        show(lines({"a": [(2, 2.25), (0, 1.5)], "b": {0: 1, 2: 4}}, title="Slowdown", x="price", y="times")),
    ]


def test_text_table_and_picture_state_the_same() -> None:
    for chart in charts():
        text, page = repr(chart), chart._repr_html_()
        table = page[page.index("<table>") : page.index("</table>")]
        rows = [
            [html.unescape(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)]
            for row in re.findall(r"<tr>(.*?)</tr>", table)
        ]
        assert rows == [chart.head(), *chart.rows()]
        for row, line in zip(rows, text.splitlines()[1:]):
            assert " ".join(row).split() == line.split()
    titles = re.findall(r"<title>(.*?)</title>", charts()[2].svg())
    assert "trap &amp; emulate, gates: 65,950" in titles and "bare metal, gates: 0" in titles


def test_bars_are_as_tall_as_their_numbers() -> None:
    chart = charts()[2]
    tall = {
        title: float(height)
        for height, title in re.findall(r"height='([\d.]+)' fill='url[^>]*><title>(.*?)</title>", chart.svg())
    }
    unit = tall["bare metal, guest: 411,289"] / 411_289
    assert tall["trap &amp; emulate, ports: 210,000"] == pytest.approx(210_000 * unit, abs=0.1)


def test_nothing_is_told_by_colour_alone() -> None:
    for chart in charts()[:3]:
        shapes = [trace.marker.pattern.shape for trace in chart.figure.data]
        assert len(set(shapes)) == len(shapes)
    figure = charts()[3].figure
    assert len({(trace.line.dash, trace.marker.symbol) for trace in figure.data}) == 2


def test_what_jupyterlab_gets() -> None:
    data = charts()[0]._repr_mimebundle_()
    assert set(data) == {MIME, "text/html", "text/plain"}
    assert data[MIME]["data"][0]["x"] == ["cli", "in", "out"]
    assert sum(len(str(part)) for part in data.values()) < 20_000


def test_other_figures_are_refused() -> None:
    import plotly.graph_objects as go

    with pytest.raises(ValueError, match="bars or lines, not 'pie'"):
        show(go.Figure(go.Pie(values=[1])))
    with pytest.raises(ValueError, match="no values"):
        bars({})


def test_importing_the_lab_loads_no_plotly() -> None:
    code = "import sys, pyvirt_edu.lab.charts; sys.exit('plotly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


# --- in a browser --------------------------------------------------------------------------


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_without_plotly_the_picture_stays(
    show: Callable[..., Any], size: tuple[int, int], dark: bool
) -> None:
    body = "".join(chart._repr_html_() for chart in charts())
    page = show(whole_page("charts", body), size, dark)
    page.wait_for_timeout(200)
    assert page.locator(".pv-plain svg[role=img]").count() == 4
    assert page.locator(".pv-plot").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    if folder := os.environ.get("PYVIRT_SHOTS"):
        page.screenshot(
            path=Path(folder) / f"charts-{size[0]}-{'dark' if dark else 'light'}.png", full_page=True
        )


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A book of one notebook with two charts, built as ours."""
    for package in ("sphinx", "myst_nb", "sphinx_book_theme"):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("book")
    ours = Path(__file__).parents[2] / "book"
    (folder / "conf.py").write_text((ours / "conf.py").read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "_static").mkdir()
    for file in (ours / "_static").iterdir():
        (folder / "_static" / file.name).write_bytes(file.read_bytes())
    cells = [nbformat.v4.new_markdown_cell("# Charts")]
    for chart in charts()[2:]:
        output = nbformat.v4.new_output("execute_result", chart._repr_mimebundle_(), execution_count=1)
        cells.append(nbformat.v4.new_code_cell("show(figure)", outputs=[output], execution_count=1))
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    nbformat.write(notebook, folder / "index.ipynb")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", ".", "html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_a_page_of_the_book_has_plotlys(chromium: Any, book: Path, dark: bool) -> None:
    page = chromium.new_page(
        viewport={"width": 1280, "height": 720}, color_scheme="dark" if dark else "light"
    )
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((book / "index.html").as_uri())
    page.wait_for_selector(".pv-plot .main-svg", timeout=30_000)
    page.wait_for_function("document.querySelectorAll('.pv-plot .legend').length === 2")
    assert sum(url.endswith("plotly.min.js") for url in asked) == 1  # one copy for both
    assert all(url.startswith(("file:", "data:", "blob:")) for url in asked)
    assert page.locator(".pv-plain").count() == 0
    ink = page.evaluate("document.querySelector('.pv-plot')._fullLayout.font.color")
    assert ink == ("#e6e9ee" if dark else "#1c2430")
    if folder := os.environ.get("PYVIRT_SHOTS"):
        page.locator(".pv-chart").first.scroll_into_view_if_needed()
        page.screenshot(path=Path(folder) / f"book-charts-{'dark' if dark else 'light'}.png")
    page.close()
