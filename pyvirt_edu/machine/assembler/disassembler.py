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

from ..decode.operand_registers import GENERAL, SEGMENTS
from ..opcodes import ADDRESS_SIZE, OPERAND_SIZE, ROWS, Row
from . import Program
from .encoding import MEANINGS, PREFIXES, takes_word

#: Capstone's names that are not Intel's.
_SPELLING = {
    "pushal": "pushad", "popal": "popad", "repz": "repe", "repnz": "repne", "sal": "shl",
    "fcompi": "fcomip", "fucompi": "fucomip", "feni8087_nop": "fneni", "fdisi8087_nop": "fndisi",
}  # fmt: skip
#: Names that say a size, which Capstone gets wrong in 16-bit code.
_CONVERSIONS = {"cbw": ("cbw", "cwde"), "cwde": ("cbw", "cwde"), "cwd": ("cwd", "cdq"), "cdq": ("cwd", "cdq")}
_PREFIX_BYTES = frozenset([*PREFIXES.values(), OPERAND_SIZE, ADDRESS_SIZE])
#: Instructions whose text does not show the operand size.
_SILENT_SIZE = frozenset(
    "ret retf leave enter lgdt lidt sgdt sidt sysexit fldenv fnstenv frstor fnsave".split()
)
#: Register forms of the x87 that Capstone does not know: mnemonic and operand by the bytes.
_ALIASES = {
    bytes((row.opcode, 0xC0 | (row.reg or 0) << 3 | i)): (row.mnemonic.lower(), f"st({i})")
    for row in ROWS
    if row.is_x87 and row.mod == "r" and row.operands == ("STi",)
    for i in range(8)
}
_BRANCH = re.compile(r"(?:j\w+|call|loop\w*)$")
_NUMBER = re.compile(r"0x[0-9a-f]+|\d+")
_MEMORY = re.compile(r"(?:\w\w:)?\[.*?\]")
_ROWS: dict[tuple[bool, int], list[Row]] = {}
for _each in ROWS:
    _ROWS.setdefault((_each.two_byte, _each.opcode), []).append(_each)


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
        """The text alone, one instruction a line; what this machine does not know is written as bytes."""
        lines = []
        for i in self:
            known = not i.valid or _split(i.bytes)[1] is not None
            lines.append(
                i.text if known else f"db {', '.join(f'{byte:#04x}' for byte in i.bytes)}  ; {i.text}"
            )
        return "\n".join(lines)

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
        spelled = _spell(code[:size], address, bits, mnemonic, operands)
        return (size, *spelled) if spelled else None
    if code[:2] in _ALIASES:
        return 2, *_ALIASES[code[:2]]
    return None


def _split(code: bytes) -> tuple[bytes, Row | None, bytes]:
    """The prefixes, the row of the opcode table, and what follows the opcode: ModRM, SIB, ..."""
    body = code.lstrip(bytes(_PREFIX_BYTES))
    prefixes = code[: len(code) - len(body)]
    two_byte = body[:1] == b"\x0f"
    opcode, rest = (body + bytes(3))[two_byte], body[1 + two_byte :] + bytes(8)
    modrm = rest[0]
    for row in _ROWS.get((two_byte, opcode), ()):
        only = "m" if row.mod == "m" or any(place[0] == "M" for place in row.operands) else row.mod
        if only and (modrm >= 0xC0) != (only == "r"):
            continue
        if row.reg in (None, modrm >> 3 & 7) and row.rm in (None, modrm & 7):
            return prefixes, row, rest
    return prefixes, None, rest


def _spell(code: bytes, address: int, bits: int, mnemonic: str, operands: str) -> tuple[str, str] | None:
    """Say what Capstone leaves out or mistakes, so that the text assembles to the same instruction.

    None if it is none: Capstone overlooks LOCK where it is not allowed.
    """
    prefixes, row, rest = _split(code)
    modrm, sib = rest[:2]
    words = [_SPELLING.get(word, word) for word in mnemonic.split()]
    # BND, NOTRACK and the like are what prefixes that mean nothing here were used for later.
    words = [word for word in words[:-1] if word in PREFIXES] + words[-1:]
    name = words[-1]
    if PREFIXES["lock"] in prefixes and (row is None or not row.lockable or modrm >= 0xC0):
        return None
    other = 48 - bits  # the size that is not the mode's own
    size = other if OPERAND_SIZE in prefixes else bits
    if name in _CONVERSIONS:
        words[-1] = name = _CONVERSIONS[name][size == 32]
    if row is not None and row.operation == "NOP" and row.two_byte:
        words = ["nop"]  # the hints that it became: PREFETCH, ENDBR, ...
        found = _MEMORY.search(operands)
        width = "word" if size == 16 else "dword"
        operands = f"{width} ptr {found[0]}" if found else GENERAL[size][modrm & 7]
    elif row is not None and name not in MEANINGS and name not in ("lcall", "ljmp"):
        words[-1] = name = row.mnemonic.lower()  # a later processor's, as TZCNT is BSF with a prefix
        if row.is_x87 and modrm >= 0xC0:
            operands = ", ".join({"ST0": "st(0)", "STi": f"st({modrm & 7})"}.get(o, o) for o in row.operands)
    places = () if row is None else row.operands
    far = row is not None and row.operation in ("CALLF", "JMPF")
    if any(place[0] in "XY" for place in places) and len(words) == 1:
        # MOVSD with a prefix is another instruction in later processors, and loses it.
        words = [word for word in ("repne", "rep") if PREFIXES[word] in prefixes][:1] + words
    if name == "rcl" and "," not in operands:
        operands += ", 1"
    if row is not None and "Ev" in places and not takes_word(row, "Ev"):
        # In 16-bit code, behind a prefix that means something else today, Capstone has dword.
        operands = re.sub(r"\bd?word ptr ", f"{'word' if size == 16 else 'dword'} ptr ", operands)
    if any(place[0] == "J" for place in places):
        distance = code[-1:] if "Jb" in places else code[-size // 8 :]
        target = address + len(code) + int.from_bytes(distance, "little", signed=True)
        # IP wraps at 64 KiB; above that, in 16-bit code, these are not offsets but linear addresses.
        operands = f"{target & (0xFFFF if size == 16 and address <= 0xFFFF else 0xFFFFFFFF):#x}"
    if OPERAND_SIZE in prefixes:
        if name == "push" and _NUMBER.fullmatch(operands.removeprefix("-")):
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
        # An address alone: its width is not seen, and Capstone cuts it to that of the mode.
        start = 0 if any(place[0] == "O" for place in places) else 2 if other == 32 and modrm & 7 == 4 else 1
        number = int.from_bytes(rest[start : start + other // 8], "little")
        alone = f"[{'word' if other == 16 else 'dword'} {number:#x}]"
        operands = re.sub(r"\[(0x[0-9a-f]+|\d+)\]", alone, operands)
    if name == "xlatb":
        segments = [segment for byte in prefixes for segment in SEGMENTS if PREFIXES[segment] == byte]
        words[:0] = segments[-1:]
    if name == "fstpnce":
        operands = operands.removesuffix(", st(0)")
    if name in ("frstor", "fnsave"):
        operands = operands.removeprefix("dword ptr ")  # an area, not a number
    if far:
        words[-1] = name.removeprefix("l")
        if "[" in operands:
            operands = "far " + operands.removeprefix("ptr ")
        else:
            operands = operands.replace(", ", ":")
    elif name not in ("lea", "invlpg") and any(place in ("M", "Ma", "Mp", "Ms") for place in places):
        operands = re.sub(r"\w+ ptr ", "", operands)  # an address or an area, not a number
    if modrm >> 6 == 0 and modrm & 7 == 4 and sib & 0x3F == 0x2D:
        # EBP as index alone is in DS. As a base it would be in SS, and ebp*2 becomes ebp + ebp.
        operands = re.sub(r"\[ebp(?:\*1)? ", "[nosplit ebp*1 ", operands).replace("[ebp*2", "[nosplit ebp*2")
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
