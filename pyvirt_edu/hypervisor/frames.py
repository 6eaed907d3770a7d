"""The machine's page frames: each has one owner.

Invariant: every frame is free or belongs to exactly one owner, and what an owner holds is what was
allocated to it and not given back. `check` counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..machine.errors import MachineError
from ..machine.state.layout import PAGE

FREE, RESERVED = "free", "reserved"


class OutOfFrames(MachineError):
    """There are not as many free frames as were asked for."""


class Frames:
    """Frames are numbers: the frame `f` is the page of memory at ``f * 4096``.

    >>> frames = Frames(first=256, end=512)         # 1 MiB to 2 MiB
    >>> frames.allocate("web", 2)
    [256, 257]
    >>> frames.owner(257), frames.held("web"), frames.held("free")
    ('web', 2, 254)
    """

    def __init__(self, first: int, end: int) -> None:
        self.first, self.end = first, end
        self._names = [RESERVED, FREE]
        self._owner = np.zeros(end, np.int16)  # an index of _names
        self._owner[first:] = 1

    def _number(self, owner: str) -> int:
        if owner not in self._names:
            self._names.append(owner)
        return self._names.index(owner)

    def allocate(self, owner: str, count: int = 1) -> list[int]:
        """So many free frames, the lowest ones; OutOfFrames, and nothing is taken, if there are fewer."""
        found = np.flatnonzero(self._owner == 1)[:count]
        if len(found) < count:
            raise OutOfFrames(
                f"{owner} asks for {count:,} frames, and {len(found):,} are free: "
                "give the machine more RAM, or its domains less"
            )
        self._owner[found] = self._number(owner)
        return found.tolist()

    def free(self, owner: str, frames: list[int]) -> None:
        """Give frames back; MachineError, and none goes, if one is another's."""
        for frame in frames:
            if self.owner(frame) != owner:
                raise MachineError(f"frame {frame:#x} belongs to {self.owner(frame)}: {owner} cannot free it")
        self._owner[frames] = 1

    def owner(self, frame: int) -> str:
        """Who holds a frame: "free", or "reserved" for what is none of the allocator's."""
        return self._names[self._owner[frame]] if 0 <= frame < self.end else RESERVED

    def owned(self, owner: str) -> list[int]:
        """All frames that somebody holds."""
        return np.flatnonzero(self._owner == self._number(owner)).tolist()

    def held(self, owner: str) -> int:
        return len(self.owned(owner))

    def belongs(self, address: int, owner: str) -> bool:
        """Whether a machine address lies in a frame of this owner."""
        return self.owner(address // PAGE) == owner

    def check(self) -> None:
        """The invariant: what was reserved is reserved still, and every owner has a name."""
        assert not self._owner[: self.first].any(), "a reserved frame was given away"
        assert self._owner.min(initial=0) >= 0 and self._owner.max(initial=0) < len(self._names)

    def state(self) -> Any:
        return {"names": list(self._names), "owner": self._owner.tobytes()}

    def restore(self, state: Any) -> None:
        self._names = list(state["names"])
        self._owner = np.frombuffer(state["owner"], np.int16).copy()
