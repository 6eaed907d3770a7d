"""A short table of instructions: what each does, an example, its bytes, and what it left in EAX.

    instruction_table({"ADD": ("add eax, ecx", "eax + ecx")}, results={"ADD": 17})

The bytes come from the assembler. The row of the opcode table that they belong to must be one of
that instruction, so a name that the machine does not have cannot be shown.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import NamedTuple

from ..machine.assembler import assemble
from ..machine.opcodes import ROWS, TWO_BYTE, Row, rows_for

MEANINGS = {
    "MOV": "copy",
    "MOVZX": "copy a byte, zeros above it",
    "MOVSX": "copy a byte, its sign above it",
    "LEA": "compute an address, read nothing",
    "XCHG": "swap",
    "ADD": "add",
    "SUB": "subtract",
    "INC": "add 1",
    "DEC": "subtract 1",
    "NEG": "change the sign",
    "IMUL": "multiply (signed)",
    "CDQ": "widen EAX to 64 bits, EDX:EAX",
    "IDIV": "divide EDX:EAX (signed); the rest goes to EDX",
    "AND": "bits that are in both",
    "OR": "bits that are in either",
    "XOR": "bits that are in one only",
    "NOT": "flip every bit",
    "SHL": "shift left",
    "SHR": "shift right, zeros come in",
    "SAR": "shift right, the sign comes in",
    "CMP": "subtract, keep only the flags",
    "TEST": "AND, keep only the flags",
    "JMP": "go on elsewhere",
    "JZ": "jump if ZF is set (also written JE)",
    "JNZ": "jump if ZF is clear (also JNE)",
    "JL": "jump if less (signed), after CMP",
    "PUSH": "put a value on the stack",
    "POP": "take a value off the stack",
    "CALL": "push the address behind it, jump",
    "RET": "pop an address, jump there",
    "NOP": "nothing",
    "HLT": "stop until an interrupt comes",
}
#: Two names of one opcode: the width decides which (CWD makes DX:AX).
OPCODE_NAME = {"CDQ": "CWD"}


def row_of(code: bytes) -> Row:
    """The row of the opcode table that an instruction without prefixes belongs to."""
    two_byte = code[0] == TWO_BYTE
    opcode, rest = (code[1], code[2:]) if two_byte else (code[0], code[1:])
    for row in ROWS:
        if (row.two_byte, row.opcode) == (two_byte, opcode):
            if row.reg is None or (rest and rest[0] >> 3 & 7 == row.reg):
                return row
    raise ValueError(f"no row of the opcode table has the bytes {code.hex(' ')}")


class Instruction(NamedTuple):
    """One line of the table."""

    name: str
    meaning: str
    example: str
    python: str
    code: bytes
    opcodes: int  #: how many rows of the opcode table are called this
    eax: int | None


def _instruction(name: str, example: str, python: str, eax: int | None) -> Instruction:
    wanted = OPCODE_NAME.get(name, name)
    for line in assemble(example, bits=32, origin=0x10000).listing:
        if line.code and row_of(line.code).mnemonic == wanted:
            return Instruction(name, MEANINGS[name], example, python, line.code, len(rows_for(wanted)), eax)
    raise ValueError(f"the example of {name} does not contain it: {example!r}")


class InstructionTable(list[Instruction]):
    """A list of `Instruction` that shows as a table."""

    def __repr__(self) -> str:
        lines = []
        for row in self:
            eax = "" if row.eax is None else f"{row.eax:08x}"
            example = "; ".join(row.example.splitlines())
            lines.append(
                f"{row.name:5}  {row.meaning:45}  {example:40}  {row.code.hex(' '):15}  {eax}".rstrip()
            )
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names = (
            "instruction",
            "meaning",
            "example",
            "the same in Python",
            "its bytes",
            "opcodes",
            "EAX after",
        )
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in names)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(map(_line, self))}</tbody></table>"


def _line(row: Instruction) -> str:
    def code(text: str) -> str:
        return f"<code>{html.escape(text).replace(chr(10), '<br>')}</code>" if text else ""

    eax = "" if row.eax is None else f"{row.eax:08x}"
    cells = (
        *(html.escape(row.meaning), code(row.example), code(row.python), code(row.code.hex(" "))),
        *(str(row.opcodes), code(eax)),
    )
    body = "".join(f'<td style="text-align:left;vertical-align:top">{cell}</td>' for cell in cells)
    return f'<tr><th scope="row" style="text-align:left;vertical-align:top">{row.name}</th>{body}</tr>'


def instruction_table(
    examples: Mapping[str, tuple[str, str]], results: Mapping[str, int] | None = None
) -> InstructionTable:
    """The table for ``{name: (assembly, the same in Python)}`` and the EAX that each one left."""
    results = results or {}
    return InstructionTable(
        _instruction(name, text, python, results.get(name)) for name, (text, python) in examples.items()
    )
