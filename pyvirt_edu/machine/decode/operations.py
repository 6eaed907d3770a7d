"""What the units do, numbered as the rows of the opcode table first name it.

A unit is asked for an operation by its number in the unit. Code that must know one imports its
name: ``from .operations import OP_FSUB`` is the operation that some row asks for as FSUB.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..opcodes import ROWS, Action
from .uops import MANNER

#: What the parameters of a unit's functions are given, by name; emit_assist packs the operands.
UNIT_VALUES = {
    "m": "m",
    "op": "op",
    "size": "operands & 0xFF",
    "address_size": "operands >> 8 & 0xFF",
    "seg": "operands >> 16 & 0xFF",
    "reg": "operands >> 24 & 0xFF",
    "repeat": "operands >> 32 & 0xFF",
    "in_memory": "operands >> 40 & 1",
    "manner": f"operands >> {MANNER}",
    "immediate": "immediate",
    # of the x87: the operand's format, how many registers to pop, the opcode's 11 bits, ST(i)
    "operand": "operands & 0xFF",
    "kind": "operands & 15",
    "pops": "operands >> 4 & 3",
    "opcode": "immediate",
    "i": "immediate & 7",
}

#: What a `MICRO_OPERATIONS` recipe is asked for: the place of the row's mnemonic in the list,
#: which is the `op` of the micro-op that it emits.
MICRO_OPERATIONS = {
    "alu": "ADD OR ADC SBB AND SUB XOR CMP TEST".split(),
    "unary": "INC DEC NOT NEG".split(),
    "shift": "ROL ROR RCL RCR SHL SHR SAL SAR".split(),
    "extend": "MOVZX MOVSX".split(),
    "loop": "LOOPNE LOOPE LOOP JCXZ".split(),
    "bit": "BT BTS BTR BTC".split(),
    "bit_scan": "BSF BSR".split(),
    "carry": "CLC STC CMC".split(),
}
CONDITIONAL = frozenset("jump_if set_if move_if".split())  # ... or the condition in the opcode

#: The recipes by number.
RECIPES = tuple(dict.fromkeys(row.action.recipe for row in ROWS))

_NUMBERS: dict[str, dict[tuple[str, str], int]] = {}
for _row in ROWS:
    if _row.action.unit:
        _unit = _NUMBERS.setdefault(_row.action.unit, {})
        _unit.setdefault((_row.action.call, _row.action.asked), len(_unit))


def operation(action: Action) -> int:
    """The number of what a row asks its unit for."""
    return _NUMBERS[action.unit][action.call, action.asked] if action.unit else 0


def calls(unit: str) -> Iterator[tuple[int, str]]:
    """Number and call of each operation of a unit."""
    for (call, _), number in _NUMBERS[unit].items():
        yield number, call


def __getattr__(name: str) -> int:
    """``OP_FSUB``: the number of the operation that rows ask for as FSUB."""
    asked = name.removeprefix("OP_")
    found = {number for unit in _NUMBERS.values() for (_, a), number in unit.items() if a == asked}
    if name == asked or len(found) != 1:
        raise AttributeError(f"{len(found)} operations of the opcode table are called {asked}")
    return found.pop()
