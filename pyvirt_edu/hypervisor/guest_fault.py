"""What a guest is owed when its own instruction cannot be done: an exception, not an error of ours."""

from __future__ import annotations

from ..machine.exits import VECTOR_NAMES


class GuestFault(Exception):
    """Raised by checked accesses; whoever handles the exit delivers it to the guest."""

    def __init__(self, vector: int, error: int = 0, cr2: int | None = None) -> None:
        super().__init__(vector, error, cr2)
        self.vector, self.error, self.cr2 = vector, error, cr2

    def __str__(self) -> str:
        where = "" if self.cr2 is None else f" at {self.cr2:#x}"
        return f"{VECTOR_NAMES.get(self.vector, self.vector)}, error code {self.error:#x}{where}"
