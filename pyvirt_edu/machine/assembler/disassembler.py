"""The disassembler: bytes in, instructions out.

Capstone decodes; this module gives its text the spelling of our assembler, puts names on
addresses, and goes on after bytes that are no instruction: each of those is shown as ``db``.

    >>> from pyvirt_edu import disassemble
    >>> disassemble(b"\\xb8\\x2a\\x00\\x00\\x00\\xf4", at=0x1000)
    00001000  b8 2a 00 00 00        mov eax, 0x2a
    00001005  f4                    hlt
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capstone import Cs

from . import Program
from .encoding import ADDRESS_SIZE, OPERAND_SIZE, PREFIXES
from .registers import SEGMENTS

#: Capstone's names that are not Intel's.
_SPELLING = {
    "pushal": "pushad", "popal": "popad", "repz": "repe", "repnz": "repne", "sal": "shl",
    "fcompi": "fcomip", "fucompi": "fucomip",
}  # fmt: skip
_PREFIX_BYTES = frozenset([*PREFIXES.values(), OPERAND_SIZE, ADDRESS_SIZE])
#: Instructions whose text does not show the operand size.
_SILENT_SIZE = frozenset(
    "ret retf leave enter lgdt lidt sgdt sidt sysexit fldenv fnstenv frstor fnsave".split()
)
_BRANCH = re.compile(r"(?:j\w+|call|loop\w*)$")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One decoded instruction, or one byte that is none (mnemonic ``db``)."""

    address: int
    bytes: bytes
    text: str  #: as the assembler would read it
    mnemonic: str  #: with its prefixes: ``rep movsb``
    operands: str
    label: str = ""  #: the symbol at this address
    comment: str = ""  #: symbol the operand refers to

    @property
    def valid(self) -> bool:
        """False for bytes that are no instruction."""
        return self.mnemonic != "db"

    def __len__(self) -> int:
        return len(self.bytes)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        line = f"{self.address:08x}  {self.bytes.hex(' '):20}  {self.text}"
        return f"{line:60}  ; {self.comment}" if self.comment else line


class Disassembly(list[Instruction]):
    """A list of `Instruction` that prints as a listing."""

    def at(self, address: int) -> Instruction:
        """The instruction that begins at an address."""
        for instruction in self:
            if instruction.address == address:
                return instruction
        raise KeyError(f"no instruction begins at {address:#x}")

    @property
    def source(self) -> str:
        """The text alone, one instruction a line."""
        return "\n".join(instruction.text for instruction in self)

    def __repr__(self) -> str:
        lines = []
        for instruction in self:
            if instruction.label:
                lines.append(f"{instruction.label}:")
            lines.append(repr(instruction))
        return "\n".join(lines) or "<no instructions>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        style = 'style="text-align:left;white-space:pre"'
        body = []
        for i in self:
            if i.label:
                body.append(
                    f'<tr><th scope="row" colspan="4" {style}><code>{html.escape(i.label)}:</code></th></tr>'
                )
            cells = (f"{i.address:08x}", i.bytes.hex(" "), i.text, i.comment)
            body.append(
                "<tr>" + "".join(f"<td {style}><code>{html.escape(c)}</code></td>" for c in cells) + "</tr>"
            )
        names = ("Address", "Bytes", "Instruction", "Refers to")
        head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in names)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


@cache
def _capstone(bits: int) -> Cs:
    from capstone import CS_ARCH_X86, CS_MODE_16, CS_MODE_32, Cs  # a slow import, seldom needed

    return Cs(CS_ARCH_X86, CS_MODE_32 if bits == 32 else CS_MODE_16)


def _decode_one(code: bytes, address: int, bits: int) -> tuple[int, str, str] | None:
    """Length, mnemonic and operands of the first instruction."""
    for _, size, mnemonic, operands in _capstone(bits).disasm_lite(code[:15], address, 1):
        return size, *_spell(code[:size], address, bits, mnemonic, operands)
    return None


def _prefixes(code: bytes) -> set[int]:
    found = set()
    for byte in code:
        if byte not in _PREFIX_BYTES:
            break
        found.add(byte)
    return found


def _spell(code: bytes, address: int, bits: int, mnemonic: str, operands: str) -> tuple[str, str]:
    """Say what Capstone leaves out, so that the text assembles to the same instruction."""
    words = [_SPELLING.get(word, word) for word in mnemonic.split()]
    name, prefixes = words[-1], _prefixes(code)
    other = 48 - bits  # the size that is not the mode's own
    far = name in ("lcall", "ljmp") or (name in ("call", "jmp") and operands.startswith("ptr "))
    if name == "rcl" and "," not in operands:
        operands += ", 1"
    size = other if OPERAND_SIZE in prefixes else bits
    if size == 16 and address <= 0xFFFF and _BRANCH.match(name) and _NUMBER.fullmatch(operands):
        operands = f"{int(operands, 0) & 0xFFFF:#x}"  # IP wraps at 64 KiB
    if OPERAND_SIZE in prefixes:
        if name == "push" and _NUMBER.fullmatch(operands):
            operands = f"{'word' if other == 16 else 'dword'} {operands}"
        elif name in ("pushf", "popf", "iret") and bits == 32:
            words[-1] += "w"
        elif (
            name in _SILENT_SIZE
            or (_BRANCH.match(name) and _NUMBER.fullmatch(operands))
            or (name in ("push", "pop") and operands in SEGMENTS)
            or far
        ):
            words.insert(0, f"o{other}")
    if ADDRESS_SIZE in prefixes:
        if name.startswith("loop") or name == "xlatb":
            words.insert(0, f"a{other}")
        word, mask = ("word", 0xFFFF) if other == 16 else ("dword", 0xFFFFFFFF)
        operands = re.sub(
            r"\[(0x[0-9a-f]+|\d+)\]", lambda found: f"[{word} {int(found[1], 0) & mask:#x}]", operands
        )
    if name == "xlatb":
        words[:0] = [segment for segment in SEGMENTS if PREFIXES[segment] in prefixes]
    if name in ("frstor", "fnsave"):
        operands = operands.removeprefix("dword ptr ")  # an area, not a number
    if far:
        words[-1] = name.removeprefix("l")
        if "[" in operands:
            operands = "far " + operands.removeprefix("ptr ")
        else:
            operands = operands.replace(", ", ":")
    operands = re.sub(r"(?<!word )(?<!byte )\bptr \[", "[", operands)
    return " ".join(words), operands


def disassemble(
    code: Any,
    *,
    at: int | None = None,
    bits: int | None = None,
    count: int | None = None,
    symbols: Mapping[str, int] | None = None,
) -> Disassembly:
    """Decode bytes to a `Disassembly`.

    `at` is the address of the first byte (0), `bits` the mode (32), `count` how many
    instructions to decode at most, `symbols` names to show beside addresses. A `Program` brings
    its own address, mode and symbols; what is given here goes before.
    """
    modes: list[tuple[int, int]] = []
    if isinstance(code, Program):
        modes = [(row.address, row.bits) for row in code.listing if row.code] if bits is None else []
        at = code.origin if at is None else at
        modes = [(address - code.origin + at, mode) for address, mode in modes]
        bits = code.bits if bits is None else bits
        symbols = code.symbols if symbols is None else symbols
    bits, at = bits or 32, at or 0
    if bits not in (16, 32):
        raise ValueError(f"bits must be 16 or 32, not {bits}")
    data = bytes(code)
    names: dict[int, str] = {}
    for name, value in (symbols or {}).items():
        names.setdefault(value, name)
    found = Disassembly()
    offset = 0
    while offset < len(data) and (count is None or len(found) < count):
        address = at + offset
        while modes and modes[0][0] <= address:
            bits = modes.pop(0)[1]
        decoded = _decode_one(data[offset : offset + 15], address, bits)
        if decoded is None:
            size, mnemonic, operands = 1, "db", f"{data[offset]:#04x}"
        else:
            size, mnemonic, operands = decoded
        text = f"{mnemonic} {operands}".rstrip()
        piece = data[offset : offset + size]
        comment = _refers_to(mnemonic, operands, names)
        found.append(Instruction(address, piece, text, mnemonic, operands, names.get(address, ""), comment))
        offset += size
    return found


def _refers_to(mnemonic: str, operands: str, names: Mapping[int, str]) -> str:
    """The symbol that a jump or a memory operand names, if there is one."""
    if not names:
        return ""
    if _BRANCH.match(mnemonic) and _NUMBER.fullmatch(operands):
        return names.get(int(operands, 0), "")
    for address in re.findall(r"\[(0x[0-9a-f]+|\d+)\]|, (0x[0-9a-f]{3,})$|^(0x[0-9a-f]{3,})$", operands):
        number = int(next(part for part in address if part), 0)
        if number in names:
            return names[number]
    return ""
