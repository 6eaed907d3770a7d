"""`pyvirt demo`: the headline comparison, as text and as a page for the lecture hall."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

BAR = 60  # characters of the longest bar


def three_ways() -> tuple[str, str]:
    """tiny2 on bare metal, under a monitor, and changed: text and page."""
    from ..hypervisor.three_ways import compare
    from ..lab import comparison_page, comparison_text

    runs = compare()
    title = "One kernel, three ways"
    longest = max(run.busy for run in runs)
    chart = [f"\nbusy cycles: # the guest, + exits ({longest // BAR:,} cycles a character)"]
    for run in runs:
        bar = "#" * round(BAR * run.guest_cycles / longest) + "+" * round(BAR * run.exit_cycles / longest)
        chart.append(f"{run.name:18}{bar}")
    return "\n".join([comparison_text(runs, title), *chart]), comparison_page(runs, title)


DEMOS: dict[str, Callable[[], tuple[str, str]]] = {"three-ways": three_ways}


def demo(name: str, page: Path, show: bool) -> int:
    """Print a demo and write its page; ``show`` opens it in the browser."""
    text, body = DEMOS[name]()
    print(text)
    try:
        page.write_text(body, encoding="utf-8")
    except OSError as error:
        remedy = "Name another file: pyvirt demo --html FILE"
        print(f"pyvirt: cannot write {page}: {error.strerror}. {remedy}", file=sys.stderr)
        return 1
    print(f"\nThe same with sliders: {page.resolve()}")
    if show and not webbrowser.open(page.resolve().as_uri()):
        print("pyvirt: there is no browser to open it with", file=sys.stderr)
        return 1
    return 0
