"""What the decoder has made: micro-ops, blocks and lazy flags, as a reader wants to see them.

Nothing here changes the machine. The blocks are a cache: they hold what has run and what no
store has hit since.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .decode import uops as names
from .state.layout import BLOCKS_USED, CC_CARRIES, CC_RESULT, MODE_SINGLE, TEMP, ZERO

if TYPE_CHECKING:
    from .bare_machine import BareMachine

GPR = "eax ecx edx ebx esp ebp esi edi".split()
CONDITIONS = "o no b nb z nz be nbe s ns p np l nl le nle".split()
SIGNS = {"ADD": "+", "SUB": "-", "AND": "&", "OR": "|", "XOR": "^"}
M32 = 0xFFFF_FFFF


@dataclass(frozen=True)
class MicroOp:
    """One micro-op of a block, with the address of its instruction."""

    address: int
    kind: str
    text: str

    def __repr__(self) -> str:
        return f"{self.address:08x}  {self.kind:<10} {self.text}".rstrip()


class MicroOps(list[MicroOp]):
    """A list of `MicroOp` that prints one a line."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "(nothing is decoded here)"


@dataclass(frozen=True)
class Block:
    """Straight-line code that is decoded now."""

    address: int
    length: int
    instructions: int
    micro_ops: int

    def __repr__(self) -> str:
        return (
            f"block at {self.address:#x}: {self.length} bytes, "
            f"{self.instructions} instructions, {self.micro_ops} micro-ops"
        )


class Blocks(list[Block]):
    """A list of `Block` that prints one a line."""

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "(no decoded block)"


def _register(number: int) -> str:
    if number < 8:
        return GPR[number]
    if number == ZERO:
        return "0"
    return f"t{number - TEMP}" if TEMP <= number < TEMP + 7 else f"word {number}"


def _sum(*parts: str) -> str:
    return " + ".join(part for part in parts if part != "0") or "0"


def _place(u: Any) -> str:
    index = _register(int(u["b"]))
    if index != "0" and int(u["scale"]):
        index += f"*{1 << int(u['scale'])}"
    displacement = int(u["disp"]) & M32
    return f"[{_sum(_register(int(u['a'])), index, f'{displacement:#x}' if displacement else '0')}]"


def _text(u: Any, start: int) -> str:
    kind = names.KINDS[u["kind"]]
    dst, a = _register(int(u["dst"])), _register(int(u["a"]))
    immediate = int(u["imm"]) & M32
    second = _sum(_register(int(u["b"])), f"{immediate:#x}" if immediate else "0")
    name = kind.rstrip("0123456789")
    target = start + int(u["next"]) + immediate & M32
    special: dict[str, Callable[[], str]] = {
        "MOVE": lambda: f"{dst} = {second}",
        "LEA": lambda: f"{dst} = {_place(u)[1:-1]}",
        "CMP": lambda: f"flags of {a} - ({second})" if " " in second else f"flags of {a} - {second}",
        "TEST": lambda: f"flags of {a} & {second}",
        "INC": lambda: f"{dst} = {a} + 1, CF stays",
        "DEC": lambda: f"{dst} = {a} - 1, CF stays",
        "LOAD": lambda: f"{dst} = {_place(u)}",
        "MODIFY": lambda: f"{dst} = {_place(u)}, will be written",
        "STORE": lambda: f"{_place(u)} = {dst}",
        "PUSH": lambda: f"push {second}",
        "POP": lambda: f"pop to {dst}",
        "JUMP": lambda: f"to {target:#x}",
        "JUMP_IF": lambda: f"to {target:#x} if {CONDITIONS[int(u['op']) & 15]}",
        "FAULT": lambda: f"exception {immediate & 0xFF}",
    }
    if name in SIGNS:
        return f"{dst} = {a} {SIGNS[name]} {second}"
    return special[name]() if name in special else ""


def _live(machine: BareMachine) -> list[Any]:
    arrays = machine._a
    used = int(arrays.code_used[BLOCKS_USED])
    return [b for b in arrays.blocks[1:used] if b["count"]]


def decoded_blocks(machine: BareMachine) -> Blocks:
    """The blocks that are decoded now, by physical address. Single-step blocks are left out."""
    found = [
        Block(int(b["physical"]), int(b["length"]), int(b["count"]), int(b["end"]) - int(b["start"]))
        for b in _live(machine)
        if not b["mode"] & MODE_SINGLE
    ]
    return Blocks(sorted(found, key=lambda block: block.address))


def micro_ops(machine: BareMachine, address: int) -> MicroOps:
    """The micro-ops of the block at a physical address; empty when none is decoded there."""
    blocks = [b for b in _live(machine) if int(b["physical"]) == address]
    blocks.sort(key=lambda b: int(b["mode"]) & MODE_SINGLE)
    if not blocks:
        return MicroOps()
    b = blocks[0]
    return MicroOps(
        MicroOp(address + int(u["rip"]), names.KINDS[u["kind"]], _text(u, address))
        for u in machine._a.uops[int(b["start"]) : int(b["end"])]
    )


def lazy_flags(machine: BareMachine) -> tuple[int, int]:
    """The two words in which the six arithmetic flags wait: result and carries (flags.py)."""
    return int(machine._c[CC_RESULT]), int(machine._c[CC_CARRIES])
