"""The serial terminal of a running guest, to be typed into."""

from __future__ import annotations

import html
from typing import Any

from .guest_widget import GuestWidget, module


class ConsoleWidget(GuestWidget):
    """``ConsoleWidget(machine)``: click it and type; the guest runs in the background.

    Keys go to the serial port as a VT100 sends them, and what the guest sends is shown as a
    VT100 would.
    """

    _esm = module("console.js")

    def __init__(self, machine: Any, run: Any = None) -> None:
        _ = machine.console  # a machine without devices says that it has none
        super().__init__(machine, run)

    def type(self, text: str) -> None:
        self.runner.type(text)

    def _do(self, action: str, what: Any) -> None:
        if action == "type":
            self.runner.type(str(what))
        elif action == "paste":
            self.runner.type(str(what).replace("\n", "\r"))  # as if Enter were pressed
        else:
            super()._do(action, what)

    def _show(self, everything: bool = False) -> None:
        super()._show()
        terminal = self.runner.terminal
        first, lines = terminal.take_all() if everything else self.runner.news
        line, column = terminal.cursor
        self.send({"first": first, "lines": lines, "cursor": [line, column], "start": terminal.dropped})

    def _text(self) -> str:
        return f"{self.runner.terminal.text}\n[{self.runner.sentence()}]"

    def _html(self) -> str:
        return (
            "<pre role='log' aria-label='serial terminal' style='background:#111;color:#eee;padding:.6em;"
            f"max-height:30em;overflow:auto'>{html.escape(self.runner.terminal.text)}</pre>"
            f"<p>{html.escape(self.runner.sentence())}</p>"
        )
