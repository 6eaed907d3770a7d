"""The trace player as a widget: Python sees the step that the reader looks at, and can set it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from . import static
from .trace_player import Player, player

HERE = Path(__file__).parent


class TracePlayer(anywidget.AnyWidget):
    """``TracePlayer(trace)``; ``widget.step`` is the position, 0 before the first step.

    >>> widget.on_step(lambda step: print(step))
    """

    _esm = static.module()
    _css = HERE / "player.css"
    step = traitlets.Int(0).tag(sync=True)
    data = traitlets.Dict().tag(sync=True)
    height = traitlets.Int(0).tag(sync=True)

    def __init__(self, trace: Any, **options: Any) -> None:
        shown = trace if isinstance(trace, Player) else player(trace, **options)
        self.player = shown
        super().__init__(data=shown.packed, step=shown.step, height=shown.height or 0)

    @traitlets.validate("step")
    def _within(self, proposal: Any) -> int:
        count = len(self.data.get("steps", ()))
        return max(0, min(int(proposal["value"]), count)) if self.data else int(proposal["value"])

    def on_step(self, callback: Any) -> None:
        """Call back with the position whenever it changes."""
        self.observe(lambda change: callback(change["new"]), names="step")

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view, and what a page without a kernel shows instead."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is None:
            return None
        data, metadata = found if isinstance(found, tuple) else (found, {})
        shown = Player(self.player.document, self.step, self.player.height)
        texts = {"text/plain": static.text(shown.packed), "text/html": shown._repr_html_()}
        return {**data, **texts}, metadata
