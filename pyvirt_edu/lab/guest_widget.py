"""What the widgets of a running guest share: the buttons, the status line, the runner."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from . import house
from .runner import runner, told

HERE = Path(__file__).parent


def module(name: str) -> str:
    """The JavaScript of a widget: what all share, and its own file."""
    return "\n".join((HERE / file).read_text(encoding="utf-8") for file in ("house.js", "guest.js", name))


class GuestWidget(anywidget.AnyWidget):
    """A view of a machine that runs in the background.

    ``run`` is for a machine under a hypervisor: ``ConsoleWidget(m, run=hypervisor.gates.run)``.
    """

    _css = house.style("house.css", "guest.css")
    status = traitlets.Dict().tag(sync=True)

    def __init__(self, machine: Any, run: Callable[..., Any] | None = None) -> None:
        self.runner = runner(machine, run)
        super().__init__(status=self.runner.status())
        self._answer_anywhere()
        self.on_msg(self._message)
        self.runner.listen(self._show)

    # --- for cells ---------------------------------------------------------------------

    @property
    def machine(self) -> Any:
        return self.runner.machine

    @contextmanager
    def held(self) -> Iterator[Any]:
        """The machine between two slices, to look at it while it runs: ``with widget.held() as m:``."""
        with self.runner.held() as machine:
            yield machine

    def run(self) -> None:
        """Let the guest run in the background; returns at once."""
        self.runner.run()
        self.runner.tell()

    def pause(self) -> None:
        """Stop the guest; when this returns, the machine stands still and is yours."""
        self.runner.pause()

    def step(self, n: int = 1) -> None:
        self.runner.step(n)

    def back(self, n: int = 1) -> None:
        """Go back by so many instructions."""
        self.runner.back(n)

    def reset(self) -> None:
        """Go back to where the machine stood when its first widget was made."""
        self.runner.reset()

    def type(self, text: str) -> None:
        """As if typed in the widget."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the guest and take the widget away."""
        if getattr(self, "runner", None) is not None:
            self.runner.forget(self._show)
        super().close()

    # --- the browser's side ------------------------------------------------------------

    def _send(self, msg: Any, buffers: Any = None) -> None:
        super()._send(msg, buffers)
        self._answer_anywhere()

    def _answer_anywhere(self) -> None:
        """Let clicks come in while a cell computes.

        JupyterLab sends them to a thread of their own; newer ipykernels send them back to the
        thread that spoke last, which may be the one that computes.
        """
        if self.comm is not None:
            getattr(self.comm, "__dict__", {}).pop("_reply_subshell_id", None)

    def _message(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A click or a key. Whatever goes wrong is told in the status line."""
        if self.runner.running:
            self.runner.error = ""
        try:
            self._do(content["do"], content.get("what"))
        except Exception as error:
            self.runner.error = told(error)
            self.runner.tell()

    def _do(self, action: str, what: Any) -> None:
        actions: dict[str, Callable[[], None]] = {
            "run": self.run,
            "pause": self.pause,
            "step": self.step,
            "back": self.back,
            "back a second": self.runner.back_seconds,
            "reset": self.reset,
        }
        if action == "show":
            with self.runner.held():
                self._show(everything=True)
        else:
            actions[action]()

    def _show(self, everything: bool = False) -> None:
        """Send what is new; the runner calls with the machine held."""
        self.status = self.runner.status()

    # --- without a kernel --------------------------------------------------------------

    def _text(self) -> str:
        raise NotImplementedError

    def _html(self) -> str:
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live view, and what a page without a kernel shows instead: things as they stand."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is None:
            return None
        data, metadata = found if isinstance(found, tuple) else (found, {})
        self.runner.tell()
        with self.runner.held():
            texts = {"text/plain": self._text(), "text/html": self._html()}
        return {**data, **texts}, metadata
