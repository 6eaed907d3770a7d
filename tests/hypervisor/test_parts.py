"""Parts can be replaced, and what they did can be recorded and replayed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.hypervisor.parts import Host, RecordingHost, Reflect, ReplayHost
from pyvirt_edu.hypervisor.several_guests import SeveralGuests
from pyvirt_edu.machine.errors import MachineError

from .test_several_guests import bare, tiny2


class Mine(Reflect):
    calls = 0

    def __call__(self, host: Host, frame: Any) -> str:
        Mine.calls += 1
        host.decide(3)
        return super().__call__(host, frame)


def test_a_part_of_mine_is_used_and_its_record_can_be_replayed() -> None:
    hv = SeveralGuests(Machine(ram="16MiB"), parts={"reflect": Mine})
    notes: list[Any] = []
    hv.host = lambda guest: RecordingHost(guest, notes)
    guest = hv.create(tiny2("a"))
    hv.run(until=guest.halted, max_instructions=3_000_000)
    assert guest.console.text == bare()
    assert Mine.calls > 0
    first = notes.index(("decide", (3,), None))
    frame: Any = SimpleNamespace(vector=14)
    assert Mine()(ReplayHost(notes[first : first + 2]), frame) == "exception 14"  # type: ignore[arg-type]
    with pytest.raises(MachineError, match="recorded was"):
        Reflect()(ReplayHost(notes[first : first + 2]), frame)  # type: ignore[arg-type]


def test_an_unknown_part_is_named() -> None:
    with pytest.raises(MachineError, match="there is no part 'wlak'"):
        SeveralGuests(Machine(ram="16MiB"), parts={"wlak": Mine})
