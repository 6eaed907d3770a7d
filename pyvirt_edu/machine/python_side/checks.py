"""Numbers that users give: whole ones, in range, or an error that names them."""

from __future__ import annotations

from typing import Any

from ..errors import RegisterError
from ..state.layout import NEVER


def within(name: str, value: Any, bits: int) -> int:
    """A whole number of so many bits."""
    try:
        number = value.__index__()
    except AttributeError:
        raise RegisterError(f"{name} takes a whole number, not {value!r}") from None
    if not 0 <= number < 1 << bits:
        raise RegisterError(f"{name}={number:#x} is out of the range 0..{(1 << bits) - 1:#x}")
    return int(number)


def amount(name: str, value: Any) -> int:
    """A number of things."""
    try:
        number = value.__index__()
    except AttributeError:
        raise ValueError(f"{name} takes a whole number, not {value!r}") from None
    if not 0 <= number < NEVER:
        raise ValueError(f"{name}={number} is out of range; it is a count, 0 or more")
    return int(number)
