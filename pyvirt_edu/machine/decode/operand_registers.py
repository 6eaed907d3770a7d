"""The registers an operand can name."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Register:
    """A register: its kind, the number that encodes it and its width in bits."""

    name: str
    kind: str  #: "general", "segment", "control", "debug" or "x87"
    number: int
    size: int


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
SEGMENTS = tuple(name for name, register in REGISTERS.items() if register.kind == "segment")
