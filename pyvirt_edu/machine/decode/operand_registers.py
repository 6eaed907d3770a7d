"""The registers an operand can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Register:
    """A register: its kind, the number that encodes it and its width in bits.

    There is one object for each, in `REGISTERS`: compare with ``is``.
    """

    name: str
    kind: str  #: "general", "segment", "control", "debug" or "x87"
    number: int
    size: int

    @property
    def is_high(self) -> bool:
        """AH, CH, DH or BH: bits 8 to 15 of what `whole` names."""
        return self.size == 8 and self.number >= 4

    @property
    def whole(self) -> Register:
        """The general register that this one is a part of: EAX for AX, AL and AH."""
        if self.kind != "general":
            return self
        return GENERAL_32[self.number & 3 if self.is_high else self.number]

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Callable[[str], Register], tuple[str]]:
        return register, (self.name,)  # a copy is the same object


def register(name: str) -> Register:
    """A register by the name that programs give it."""
    return REGISTERS[name]


#: The general registers of each width, in the order of their numbers.
GENERAL = {
    8: "al cl dl bl ah ch dh bh".split(),
    16: "ax cx dx bx sp bp si di".split(),
    32: "eax ecx edx ebx esp ebp esi edi".split(),
}


def _registers() -> dict[str, Register]:
    groups = (
        *(("general", size, names) for size, names in GENERAL.items()),
        ("segment", 16, "es cs ss ds fs gs".split()),
        ("control", 32, [f"cr{i}" for i in range(8)]),
        ("debug", 32, [f"dr{i}" for i in range(8)]),
        ("x87", 80, [f"st{i}" for i in range(8)]),
    )
    found = {
        name: Register(name, kind, number, size)
        for kind, size, names in groups
        for number, name in enumerate(names)
    }
    return found | {"st": found["st0"]}


REGISTERS = _registers()
GENERAL_8, GENERAL_16, GENERAL_32 = (
    tuple(r for r in REGISTERS.values() if r.kind == "general" and r.size == size) for size in (8, 16, 32)
)
SEGMENTS = tuple(name for name, register in REGISTERS.items() if register.kind == "segment")
