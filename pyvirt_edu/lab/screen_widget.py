"""The VGA text screen of a running guest, with its keyboard."""

from __future__ import annotations

import html
from typing import Any

from .guest_widget import GuestWidget, module


class ScreenWidget(GuestWidget):
    """``ScreenWidget(machine)``: click it and type; keys go to the PS/2 keyboard."""

    _esm = module("screen.js")

    def __init__(self, machine: Any, run: Any = None) -> None:
        self._screen = machine.screen
        self._rows: list[Any] = []
        self._looks: Any = None
        super().__init__(machine, run)

    def type(self, text: str) -> None:
        for character in text:
            self.runner.press(character)

    def press(self, *names: str) -> None:
        """Keys pressed together: ``press("ctrl", "alt", "delete")``."""
        self.runner.press(*names)

    def _do(self, action: str, what: Any) -> None:
        if action == "press":
            self.runner.press(*map(str, what))
        elif action in ("type", "paste"):
            self.type(str(what))
        else:
            super()._do(action, what)

    def _show(self, everything: bool = False) -> None:
        super()._show()
        screen = self._screen
        rows = screen._runs() if screen.mode == "text" else []
        looks = [len(rows), screen.columns, screen.colours, screen.cursor]
        changed = {i: row for i, row in enumerate(rows) if everything or row != self._row(i)}
        if changed or everything or looks != self._looks:
            self.send({"rows": changed, "looks": looks})
        self._rows, self._looks = rows, looks

    def _row(self, number: int) -> Any:
        return self._rows[number] if number < len(self._rows) else None

    def _text(self) -> str:
        return f"{self._screen!r}\n[{self.runner.sentence()}]"

    def _html(self) -> str:
        return f"{self._screen._repr_html_()}<p>{html.escape(self.runner.sentence())}</p>"
