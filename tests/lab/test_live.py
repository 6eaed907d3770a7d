"""The widget, driven without a browser."""

from __future__ import annotations

import pytest

from pyvirt_edu.lab import player

from .demo import demo

pytest.importorskip("anywidget")


def test_python_hears_the_step_and_sets_it() -> None:
    from pyvirt_edu.lab import TracePlayer

    widget = TracePlayer(demo())
    heard: list[int] = []
    widget.on_step(heard.append)
    # what the browser sends when the reader presses "Step" twice
    widget.set_state({"step": 1})
    widget.set_state({"step": 2})
    widget.step = 5
    assert heard == [1, 2, 5]


def test_the_step_stays_within_the_trace() -> None:
    widget = player(demo()).widget()
    widget.step = 10_000
    assert widget.step == len(demo()["steps"])
    widget.step = -3
    assert widget.step == 0


def test_the_widget_carries_its_fallbacks() -> None:
    shown = player(demo(), step=3)
    data, _ = shown.widget()._repr_mimebundle_()
    assert data["text/html"] == shown._repr_html_()
    assert data["text/plain"] == repr(shown)
    assert "application/vnd.jupyter.widget-view+json" in data
