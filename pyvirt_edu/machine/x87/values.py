"""The x87's registers as Python sees them: floats that know all 80 bits.

>>> third = Float80.nearest(Fraction(1, 3))
>>> abs(third.exact - Fraction(1, 3)) < Fraction(1, 2**65)
True
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from ..errors import RegisterError

BIAS, TOP, SPECIAL = 16383, 1 << 63, 0x7FFF


class Float80(float):
    """A register's contents: to Python the nearest float, with the exact bits beside it."""

    significand: int  #: 64 bits, the integer bit at the top
    head: int  #: ``sign << 15 | biased exponent``

    def __new__(cls, significand: int, head: int) -> Float80:
        self = super().__new__(cls, _nearest_float(significand, head))
        self.significand, self.head = significand, head
        return self

    @classmethod
    def nearest(cls, value: Any) -> Float80:
        """The register nearest to a float, an integer or a fraction; a tie goes to the even one."""
        if isinstance(value, Float80):
            return value
        if isinstance(value, float) and not math.isfinite(value):
            head = SPECIAL | (0x8000 if math.copysign(1, value) < 0 else 0)
            return cls(TOP if math.isinf(value) else 3 << 62, head)
        number = abs(Fraction(value))
        sign = 0x8000 if value < 0 or (number == 0 and math.copysign(1, value) < 0) else 0
        if number == 0:
            return cls(0, sign)
        exponent = number.numerator.bit_length() - number.denominator.bit_length()
        if number < Fraction(2) ** exponent:
            exponent -= 1
        exponent = max(exponent, 1 - BIAS)
        significand = round(number / Fraction(2) ** (exponent - 63))
        if significand == 1 << 64:
            significand, exponent = TOP, exponent + 1
        if exponent > BIAS:
            raise RegisterError(f"a number of 2**{exponent} and more is too large for 80 bits")
        biased = exponent + BIAS if significand & TOP else 0
        return cls(significand, sign | biased)

    @property
    def exact(self) -> Fraction:
        """The value as a fraction; infinities and NaNs have none."""
        if self.head & SPECIAL == SPECIAL:
            raise ValueError(f"{self!r} is not a number")
        power = max(self.head & SPECIAL, 1) - BIAS - 63
        magnitude = self.significand * Fraction(2) ** power
        return -magnitude if self.head & 0x8000 else magnitude

    @property
    def bits(self) -> bytes:
        """The ten bytes in memory."""
        return self.significand.to_bytes(8, "little") + self.head.to_bytes(2, "little")

    def __repr__(self) -> str:
        return f"{float(self)!r} ({self.head:04x}:{self.significand:016x})"


def _nearest_float(significand: int, head: int) -> float:
    sign = -1.0 if head & 0x8000 else 1.0
    exponent = head & SPECIAL
    if exponent == SPECIAL:
        return math.copysign(math.inf if significand == TOP else math.nan, sign)
    if exponent and not significand & TOP:
        return math.nan  # an encoding the x87 does not support
    try:
        return sign * float(significand * Fraction(2) ** (max(exponent, 1) - BIAS - 63))
    except OverflowError:
        return sign * math.inf
