"""From a mnemonic and its operands to bytes, by the opcode table.

Every row of the table whose operands fit is tried, at both operand sizes; the shortest encoding
wins. Nothing here knows an opcode: numbers come from the rows, prefixes from `PREFIXES`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..decode.operand_registers import REGISTERS, Register
from ..opcodes import (
    ADDRESS_SIZE,
    CONDITIONS,
    LOCK,
    OPERAND_SIZE,
    REP,
    REPNE,
    ROWS,
    SEGMENT_PREFIXES,
    TWO_BYTE,
    Row,
)
from .errors import AssemblyError, did_you_mean
from .expressions import Value
from .operands import FarPointer, Immediate, Memory, Operand, RegisterOperand

#: Prefix bytes by the words of the language.
PREFIXES = {
    "lock": LOCK, "rep": REP, "repe": REP, "repz": REP, "repne": REPNE, "repnz": REPNE,
    **{name.lower(): byte for name, byte in SEGMENT_PREFIXES.items()},
}  # fmt: skip
_WAIT = bytes(row.opcode for row in ROWS if row.mnemonic == "WAIT")
#: Prefix words that ask for a size; the byte follows only if the mode's own size differs.
SIZE_PREFIXES = {"o16": 16, "o32": 32, "a16": 16, "a32": 32}


@dataclass(frozen=True)
class Meaning:
    """What a mnemonic stands for: rows of the table and what its name settles about sizes."""

    name: str
    rows: tuple[Row, ...]
    size: int | None = None  #: operand size, as in CWDE or MOVSD
    address_size: int | None = None  #: as in JECXZ
    prefix: str = ""
    far: bool = False
    waits: bool = False  #: WAIT goes before it, as in FSTSW


#: The other names of the conditions.
_CONDITION_NAMES = {
    "B": "C NAE", "NB": "NC AE", "Z": "E", "NZ": "NE", "BE": "NA", "NBE": "A",
    "P": "PE", "NP": "PO", "L": "NGE", "NL": "GE", "LE": "NG", "NLE": "G",
}  # fmt: skip

#: Other names: the table's mnemonic, then what the name adds.
_ALIASES = """
sal SHL · retn RET · fwait WAIT · icebp INT1 · int01 INT1 · int03 INT3 · xlatb XLAT · loopz LOOPE
loopnz LOOPNE · ud2a UD2 · ud2b UD1 · jcxz JCXZ a16 · jecxz JCXZ a32 · cbw CBW 16 · cwde CBW 32
cwd CWD 16 · cdq CWD 32 · pushaw PUSHA 16 · pushad PUSHA 32 · pushal PUSHA 32 · popaw POPA 16
popad POPA 32 · popal POPA 32 · pushfw PUSHF 16 · pushfd PUSHF 32 · popfw POPF 16 · popfd POPF 32
iretw IRET 16 · iretd IRET 32 · retw RET 16 · retd RET 32 · retnw RET 16 · retnd RET 32
retfw RETF 16 · retfd RETF 32 · callf CALLF far · jmpf JMPF far · lcall CALLF far · ljmp JMPF far
pause NOP rep
"""

#: Instructions of the x87 that wait for pending exceptions first: WAIT, then FNINIT and so on.
_WAITING = "finit fclex fstcw fstsw fstenv fsave feni fdisi"

_STRINGS = ("MOVS", "CMPS", "STOS", "LODS", "SCAS", "INS", "OUTS")

#: Where memory without a stated width is as wide as the mode, as in ``call [eax]``.
_MODE_SIZED = frozenset("CALL JMP CALLF JMPF".split())


def _meanings() -> dict[str, Meaning]:
    by_name: dict[str, list[Row]] = {}
    for row in ROWS:
        by_name.setdefault(row.mnemonic, []).append(row)
    rows = {name: tuple(found) for name, found in by_name.items()}
    meanings = {name.lower(): Meaning(name.lower(), found) for name, found in rows.items()}
    for name, far in (("CALL", "CALLF"), ("JMP", "JMPF")):
        meanings[name.lower()] = Meaning(name.lower(), rows[name] + rows[far])
    for operation in ("J", "SET", "CMOV"):
        for condition in CONDITIONS:
            for other in _CONDITION_NAMES.get(condition, "").split():
                name = (operation + other).lower()
                meanings[name] = Meaning(name, rows[operation + condition])
    for operation in _STRINGS:
        for letter, size in (("b", 8), ("w", 16), ("d", 32)):
            wide = tuple(row for row in rows[operation] if _is_byte_row(row) == (size == 8))
            name = operation.lower() + letter
            meanings[name] = Meaning(name, wide, size if size != 8 else None)
    for name in _WAITING.split():
        meanings[name] = Meaning(name, rows[f"FN{name[1:].upper()}"], waits=True)
    for entry in " · ".join(_ALIASES.strip().splitlines()).split(" · "):
        name, target, *extra = entry.split()
        settled = extra[0] if extra else ""
        found = rows[target]
        if settled in PREFIXES:  # PAUSE is the bare NOP; there is none with operands
            found = tuple(row for row in found if not row.operands)
        meanings[name] = Meaning(
            name,
            found,
            int(settled) if settled.isdigit() else None,
            int(settled[1:]) if settled in ("a16", "a32") else None,
            settled if settled in PREFIXES else "",
            settled == "far",
        )
    return meanings


def _is_byte_row(row: Row) -> bool:
    return any(operand in ("Xb", "Yb") for operand in row.operands)


MEANINGS = _meanings()

# How well one operand fits one place of a row.
_NO, _FITS, _SETTLES, _GUESS = range(4)  # _SETTLES: it fixes the operand size; _GUESS: it has none


@dataclass(frozen=True, slots=True)
class _Match:
    row: Row
    operands: tuple[Operand, ...]
    size: int  #: operand size
    width: int | None  #: of a memory operand whose size nothing settles


def encode(
    meaning: Meaning,
    prefixes: Sequence[str],
    operands: list[Operand],
    bits: int,
    here: int,
    at_least: int = 0,
) -> bytes:
    """The shortest encoding of one instruction that has `at_least` so many bytes.

    The limit is how jumps are relaxed: an instruction that was long once stays long, so that
    the passes over the program come to an end.
    """
    prefixes = [meaning.prefix, *prefixes] if meaning.prefix else list(prefixes)
    if not operands and meaning.name in ("aam", "aad"):
        operands = [Immediate(Value(10), 1)]
    operands = _three_operand_imul(meaning, operands)
    operands = _size_beside_the_number(meaning, operands)
    if not operands and {("ST0", "STi"), ("STi", "ST0")} <= {row.operands for row in meaning.rows}:
        meaning = MEANINGS[meaning.name + "p"]  # a bare FADD pops (manual, FADD: "no-operand version")
    written = len(operands)
    operands = _implied_x87_registers(meaning, operands)
    if _is_exchange_with_itself(meaning, operands):
        meaning, operands = replace(MEANINGS["nop"], size=operands[0].register.size), []  # type: ignore[union-attr]
    if not operands and meaning.rows[0].operation in ("UD0", "UD1"):
        return bytes([0x0F, meaning.rows[0].opcode])  # NASM and disassemblers know them without operands
    matches = _matches(meaning, prefixes, operands, bits)
    if not matches:
        raise _no_match(meaning, prefixes, operands, bits)
    _check_widths(meaning, matches)
    encodings = []
    problem: AssemblyError | None = None
    for order, match in enumerate(matches):
        try:
            code = _encode_match(meaning, match, prefixes, bits, here)
        except AssemblyError as error:
            problem = error
            continue
        # Of equally short forms: the sign-extended byte, then the order of the table. The
        # documented NOP is the last of its rows; NASM takes `fadd st0, st0` for the form to STi.
        last = match.row.operation == "NOP" or (match.row.operands == ("STi", "ST0") and written == 2)
        later = -order if last else order
        encodings.append((len(code), "Is" not in match.row.operands, later, code))
    if not encodings:
        assert problem is not None
        raise problem
    encodings.sort()
    return next((e[3] for e in encodings if e[0] >= at_least), encodings[-1][3])


def _three_operand_imul(meaning: Meaning, operands: list[Operand]) -> list[Operand]:
    """``imul eax, 5`` stands for ``imul eax, eax, 5``."""
    if meaning.name == "imul" and len(operands) == 2 and isinstance(operands[1], Immediate):
        return [operands[0], *operands]
    return operands


def _size_beside_the_number(meaning: Meaning, operands: list[Operand]) -> list[Operand]:
    """``mov [ebx], dword 5`` for ``mov dword [ebx], dword 5``, where both are equally wide."""
    match operands:
        case [Memory(size=None) as memory, Immediate(size=int(size))] if any(
            row.operands == ("Ev", "Iz") for row in meaning.rows
        ):
            return [replace(memory, size=size), operands[1]]
    return operands


def _implied_x87_registers(meaning: Meaning, operands: list[Operand]) -> list[Operand]:
    """``faddp`` for ``faddp st1, st0``, ``fadd st1`` for ``fadd st0, st1``, ``fxch`` for ``fxch st1``."""
    if not all(isinstance(o, RegisterOperand) for o in operands):
        return operands
    forms = {row.operands for row in meaning.rows if "STi" in row.operands}
    if not forms or len(operands) in map(len, forms):
        return operands
    top, next_one = (RegisterOperand(REGISTERS[name], 1) for name in ("st0", "st1"))
    if forms == {("STi", "ST0")}:
        return [*(operands or [next_one]), top]
    if len(operands) == 2 and forms == {("STi",)}:
        # ST0 may be said where it takes part: before what it is compared with, around FXCH.
        names = [o.register.name for o in operands if isinstance(o, RegisterOperand)]
        if "st0" in names and meaning.name == "fxch":
            return operands[1:] if names[0] == "st0" else operands[:1]
        return operands[1:] if names[0] == "st0" and "com" in meaning.name else operands
    first: list[Operand] = [top] if ("ST0", "STi") in forms else []
    return [*first, *(operands or [next_one])]


def _is_exchange_with_itself(meaning: Meaning, operands: list[Operand]) -> bool:
    """``xchg eax, eax`` is where the opcode of NOP comes from; as code it is still NOP."""
    names = [o.register.name for o in operands if isinstance(o, RegisterOperand)]
    return meaning.name == "xchg" and names in (["ax", "ax"], ["eax", "eax"])


def _matches(meaning: Meaning, prefixes: Sequence[str], operands: list[Operand], bits: int) -> list[_Match]:
    forced = meaning.size
    for prefix in prefixes:
        if prefix in ("o16", "o32"):
            forced = SIZE_PREFIXES[prefix]
    found = []
    for row in meaning.rows:
        orders = [tuple(operands)]
        if not operands and any(place in ("Xb", "Xv", "Yb", "Yv") for place in row.operands):
            if meaning.name.upper() not in _STRINGS:  # the name says the size, or XLAT has one
                found.append(_Match(row, (), forced or bits, None))
            continue
        if row.operation in ("XCHG", "TEST") and not any(isinstance(o, Immediate) for o in operands):
            orders.append(tuple(reversed(operands)))
        if row.operation == "XCHG":
            orders.reverse()  # NASM names the first register in ModRM.reg
        if row.operation.startswith("LOOP") and len(operands) == 2:
            orders = [tuple(operands[:1])]  # the counter only sets the address size
        for order in orders:
            if len(order) != len(row.operands):
                continue
            match = _match(meaning, row, order, forced, bits)
            if match:
                found.append(match)
                break
    return found


def _match(
    meaning: Meaning, row: Row, operands: tuple[Operand, ...], forced: int | None, bits: int
) -> _Match | None:
    sizes = (forced,) if forced else (bits, 48 - bits)
    for size in sizes:
        fits = [_fit(meaning, row, place, operand, size) for place, operand in zip(row.operands, operands)]
        if _NO in fits:
            continue
        settled = _SETTLES in fits
        if size != bits and not settled and not forced:
            continue  # nothing asks for the other size
        width = None
        for place, fit in zip(row.operands, fits):
            if fit == _GUESS and not _settled_by_register(place, row, operands):
                width = _memory_width(place) or {"b": 8, "w": 16}.get(place[-1], size)
        return _Match(row, operands, size, width)
    return None


def _settled_by_register(place: str, row: Row, operands: tuple[Operand, ...]) -> bool:
    """Whether a register of the same kind of width stands beside the memory operand."""
    for other, operand in zip(row.operands, operands):
        if isinstance(operand, RegisterOperand) and (other[0] in "GZ" or other in ("AL", "rAX")):
            width = {"AL": "b", "rAX": "v"}.get(other, other[-1])
            if width == place[-1]:
                return True
    return False


def takes_word(row: Row, place: str) -> bool:
    """Whether the memory form of a register-sized operand is always a word (MOV Ev,Sw; SLDT)."""
    return place == "Ev" and ("Sw" in row.operands or row.operation in ("SLDT", "STR", "SMSW"))


def _memory_width(place: str) -> int | None:
    """Bits of a memory operand, None for addresses, areas and tables."""
    return {"Mw": 16, "Md": 32, "Mq": 64, "Mt": 80}.get(place)


def _fit(meaning: Meaning, row: Row, place: str, operand: Operand, size: int) -> int:
    """How an operand fits a place such as ``Ev`` at an operand size."""
    if isinstance(operand, RegisterOperand):
        if operand.size not in (None, operand.register.size):
            return _NO
        return _fit_register(row, place, operand.register, size)
    if isinstance(operand, Memory):
        return _fit_memory(meaning, row, place, operand, size)
    if isinstance(operand, FarPointer):
        return (
            _NO
            if place != "Ap"
            else _FITS
            if operand.size is None
            else _NO
            if operand.size != size
            else _SETTLES
        )
    return _fit_immediate(row, place, operand, size)


def _fit_register(row: Row, place: str, register: Register, size: int) -> int:
    name, kind, width = register.name, register.kind, register.size
    if place in ("ST0", "STi"):
        return _FITS if kind == "x87" and (place == "STi" or register.number == 0) else _NO
    if place in ("AL", "AX", "CL", "DX", "ES", "CS", "SS", "DS", "FS", "GS"):
        return _FITS if name.upper() == place else _NO
    if place == "rAX":
        return _SETTLES if kind == "general" and register.number == 0 and width == size else _NO
    where, wide = place[0], place[-1]
    if where in "SCD":
        return _FITS if kind == {"S": "segment", "C": "control", "D": "debug"}[where] else _NO
    if where == "M" or where not in "EGRZ" or kind != "general" or (row.mod == "m" and where == "E"):
        return _NO
    if where == "Z" and register.number != row.opcode & 7:
        return _NO
    if wide == "v":
        return _SETTLES if width == size else _NO
    if wide == "w":  # these look at 16 bits of whatever register it is
        loose = "Sw" in row.operands or row.operation in ("LAR", "LSL")
        return _FITS if width == 16 or (loose and width == 32) else _NO
    return _FITS if width == {"b": 8, "d": 32}[wide] else _NO


def _fit_memory(meaning: Meaning, row: Row, place: str, memory: Memory, size: int) -> int:
    where, wide = place[0], place[-1]
    if row.mod == "r" or where not in "EMOXY" or place == "ES":
        return _NO
    if row.operation in ("CALLF", "JMPF"):
        if not (memory.far or meaning.far):
            return _NO
        asked = {48: 32}.get(memory.size or 0, memory.size)
        return _FITS if asked is None else _SETTLES if asked == size else _NO
    if memory.far or (where == "O" and not memory.absolute):
        return _NO
    if where == "M":
        if exact := _memory_width(place):
            return _GUESS if memory.size is None else _FITS if memory.size == exact else _NO
        # An address or an area has no width. But LEA takes any, and INVLPG has m8 in the manual.
        widths = {"LEA": (memory.size,), "INVLPG": (None, 8)}.get(row.operation, (None,))
        return _FITS if memory.size in widths else _NO
    if where in "XY" and not _is_string_operand(where, memory):
        return _NO
    if takes_word(row, place):
        return _FITS if memory.size in (None, 16) else _NO
    width = {"b": 8, "w": 16}.get(wide, size)
    if memory.size is None:
        return _GUESS
    return _NO if memory.size != width else _SETTLES if wide == "v" else _FITS


def _is_string_operand(where: str, memory: Memory) -> bool:
    """``es:[edi]`` for Y, ``[esi]`` with any segment for X."""
    names = ("di", "edi") if where == "Y" else ("si", "esi")
    plain = memory.index is None and memory.displacement.plain and not memory.displacement.number
    segment = memory.segment.name if memory.segment else "es" if where == "Y" else ""
    return (
        plain and memory.base is not None and memory.base.name in names and (where == "X" or segment == "es")
    )


def in_range(value: Value, width: int) -> bool:
    """Whether a number can be written in so many bits, signed or not (with a bit to spare for ``~``)."""
    return not value.known or -(1 << width) <= value.number < 1 << width


def _fit_immediate(row: Row, place: str, immediate: Immediate, size: int) -> int:
    value = immediate.value
    if place == "1":
        return _FITS if value.known and value.plain and value.number == 1 and not immediate.size else _NO
    where, wide = place[0], place[-1]
    if where == "J":
        if immediate.distance == ("near" if wide == "b" else "short"):
            return _NO
        if immediate.size is None:
            return _FITS
        if wide == "b" or (row.operation == "Jcc" and not immediate.distance):
            return _NO  # a size is the target's; as in NASM, a condition needs `near` beside it
        return _SETTLES if immediate.size == size else _NO
    if where != "I" or immediate.distance:
        return _NO
    if wide in "bw":
        width = 8 if wide == "b" else 16
        return _FITS if immediate.size in (None, width) and in_range(value, width) else _NO
    settles = _SETTLES if immediate.size == size else _FITS
    if wide == "s":
        if immediate.size not in (None, 8, size) or (immediate.strict and immediate.size != 8):
            return _NO
        as_signed = (value.number + (1 << (size - 1))) % (1 << size) - (1 << (size - 1))
        fits = -128 <= as_signed < 128 and in_range(value, size)
        if immediate.size == 8:  # asked for: labels and unsigned bytes too
            return _FITS if not value.known or fits else _NO
        return settles if value.known and value.plain and fits else _NO
    return settles if immediate.size in (None, size) and in_range(value, size) else _NO


def _check_widths(meaning: Meaning, matches: list[_Match]) -> None:
    """Refuse memory of unknown width where it would make a difference."""
    widths = {match.width for match in matches if match.width}
    guess = any(match.width and any(p in ("Ev",) for p in match.row.operands) for match in matches)
    if not widths or matches[0].row.operation in _MODE_SIZED or not (guess or len(widths) > 1):
        return
    column = next(o.column for match in matches for o in match.operands if isinstance(o, Memory))
    raise AssemblyError(
        f"{meaning.name}: the size of the memory operand is not known",
        column,
        "write byte, word or dword before the bracket",
    )


def _has_size(row: Row) -> bool:
    """Whether the operand-size prefix means something to a row with these operands."""
    if row.operation in ("CBW", "CWD", "PUSHA", "POPA", "PUSHF", "POPF", "IRET"):
        return True
    return any(
        place == "rAX" or (place[-1] in "vzspa" and place != "Ms" and place[0] in "EGZIJAMOXY")
        for place in row.operands
    )


def _encode_match(meaning: Meaning, match: _Match, prefixes: Sequence[str], bits: int, here: int) -> bytes:
    row, operands, size = match.row, match.operands, match.size
    memory = next((o for o in operands if isinstance(o, Memory)), None)
    asked = next((SIZE_PREFIXES[p] for p in prefixes if p in ("a16", "a32")), None)
    address_size = meaning.address_size or asked or bits
    if memory is not None:
        if len({o.address_size for o in operands if isinstance(o, Memory)}) > 1:
            raise AssemblyError("both addresses must be equally wide", memory.column)
        if asked and asked != memory.address_size and not memory.absolute:
            raise AssemblyError(
                f"a{asked} contradicts the address {memory.address_size} bits wide", memory.column
            )
        if asked and memory.absolute:
            memory = replace(memory, address_size=asked)
        address_size = memory.address_size
    sized = _has_size(row)
    for place, operand in zip(row.operands, operands):
        if isinstance(operand, Memory) and takes_word(row, place):
            sized = False  # a word whatever the operand size
        if place == "Sw" and row.operands[0] == "Sw":
            sized = False
    if any(p in ("o16", "o32") for p in prefixes):
        sized = True
    out = bytearray(_WAIT if meaning.waits else b"")
    out += bytes(PREFIXES[prefix] for prefix in prefixes if prefix in PREFIXES)
    if "lock" in prefixes and not (row.lockable and isinstance(operands[0], Memory)):
        raise AssemblyError(
            f"lock cannot go with this form of {meaning.name}",
            1,
            "it needs a memory destination and add, inc, xchg ... (for the fault itself write db 0xF0)",
        )
    segments = [o.segment for o in operands if isinstance(o, Memory) and o.segment]
    if row.operands and row.operands[0][0] == "Y" and segments:
        segments = segments[1:]  # es:[edi] is fixed, it needs no prefix
    if row.operands and row.operands[-1][0] == "Y" and len(segments) == 2:
        segments = segments[:1]
    elif row.operands and row.operands[-1][0] == "Y":
        segments = [s for o, s in ((o, o.segment) for o in operands[:-1] if isinstance(o, Memory)) if s]
    out += bytes(PREFIXES[segment.name] for segment in segments)
    if (sized or meaning.size) and size != bits:
        out.append(OPERAND_SIZE)
    if address_size != bits:
        out.append(ADDRESS_SIZE)
    out += bytes([TWO_BYTE, row.opcode] if row.two_byte else [row.opcode])
    if row.has_modrm:
        out += _modrm(row, operands, memory)
    for place, operand in zip(row.operands, operands):
        out += _trailing(meaning, place, operand, memory, size, here + len(out))
    return bytes(out)


def _modrm(row: Row, operands: Sequence[Operand], memory: Memory | None) -> bytes:
    reg, rm = row.reg or 0, row.rm or 0
    for place, operand in zip(row.operands, operands):
        if isinstance(operand, RegisterOperand):
            if place == "STi":
                rm = operand.register.number
            elif place[0] in "GSCD" and place not in ("CL", "DX", "SS", "CS", "DS", "GS", "ST0"):
                reg = operand.register.number
            elif place[0] in "ER" and place != "ES":
                rm = operand.register.number
    return memory.encode(reg) if memory is not None else bytes([0xC0 | reg << 3 | rm])


def _little(number: int, width: int) -> bytes:
    return (number % (1 << width)).to_bytes(width // 8, "little")


def _trailing(
    meaning: Meaning, place: str, operand: Operand, memory: Memory | None, size: int, here: int
) -> bytes:
    """What follows ModRM for one operand: an immediate, an offset, a relative target."""
    where, wide = place[0], place[-1]
    if isinstance(operand, Memory) and where == "O":
        assert memory is not None
        memory.check_displacement(memory.address_size)
        return _little(memory.displacement.number, memory.address_size)
    if isinstance(operand, FarPointer):
        if not in_range(operand.offset, size) or not in_range(operand.selector, 16):
            remedy = f"the offset has {size} bits here" + (", write jmp dword for 32" if size == 16 else "")
            raise AssemblyError("the far pointer does not fit", operand.column, remedy)
        return _little(operand.offset.number, size) + _little(operand.selector.number, 16)
    if not isinstance(operand, Immediate) or place == "1":
        return b""
    if where == "I":
        width = {"b": 8, "s": 8, "w": 16}.get(wide, size)
        return _little(operand.value.number, width)
    width = 8 if wide == "b" else size
    if not operand.value.known:
        return bytes(width // 8)  # a guess; the next pass knows better
    distance = operand.value.number - (here + width // 8)
    if not -(1 << size) < distance < 1 << size:
        raise AssemblyError(
            f"the target {operand.value.number:#x} does not fit in {size} bits", operand.column
        )
    distance = (distance + (1 << (size - 1))) % (1 << size) - (1 << (size - 1))
    if wide == "b" and not -128 <= distance < 128:
        remedy = "leave out short" if operand.distance else "jump around it: reverse the condition, then jmp"
        raise AssemblyError(
            f"the target is {distance} bytes away, {meaning.name} reaches -128 to 127", operand.column, remedy
        )
    return _little(distance, width)


# What to say when nothing fits.

_PLACES = {
    "E": ("reg", "mem"), "G": ("reg",), "M": ("mem",), "R": ("reg",), "Z": ("reg",), "I": ("imm",),
    "J": ("target",),
    "O": ("[address]",), "A": ("selector:offset",), "S": ("segment register",), "C": ("control register",),
    "D": ("debug register",), "X": ("[esi]",), "Y": ("es:[edi]",),
}  # fmt: skip


def describe_place(place: str) -> str:
    """An operand place in words: ``Ev`` is ``reg/mem 16 or 32``."""
    if place in ("AL", "AX", "CL", "DX", "ES", "CS", "SS", "DS", "FS", "GS", "1", "ST0", "STi"):
        return place.lower()
    if place == "rAX":
        return "ax/eax"
    width = {"b": "8", "w": "16", "d": "32", "q": "64", "t": "80", "v": "16|32", "z": "16|32", "s": "8"}.get(
        place[1:], ""
    )
    kind = "/".join(_PLACES[place[0]])
    return kind + (width if place[0] in "EGRZIM" else "")


def describe_forms(meaning: Meaning, limit: int = 8) -> str:
    forms = list(
        dict.fromkeys(", ".join(map(describe_place, row.operands)) or "no operands" for row in meaning.rows)
    )
    return " · ".join(forms[:limit]) + (" · ..." if len(forms) > limit else "")


def _no_match(meaning: Meaning, prefixes: Sequence[str], operands: list[Operand], bits: int) -> AssemblyError:
    name = meaning.name
    counts = sorted({len(row.operands) for row in meaning.rows})
    column = operands[0].column if operands else 1
    if not operands and name.upper() in _STRINGS:
        return AssemblyError(f"{name}: the size is not known", column, f"write {name}b, {name}w or {name}d")
    if len(operands) not in counts:
        wanted = " or ".join(map(str, counts))
        plural = "s" if wanted != "1" else ""
        message = f"{name} takes {wanted} operand{plural}, not {len(operands)}"
        return AssemblyError(message, column, f"forms: {describe_forms(meaning)}")
    for o in operands:
        if isinstance(o, RegisterOperand) and o.size not in (None, o.register.size):
            said = f"{o.register.name} has {o.register.size} bits, not {o.size}"
            return AssemblyError(f"{name}: {said}", o.column, "leave out the size")
        if (
            isinstance(o, Immediate)
            and o.distance
            and not any("J" in p[0] for r in meaning.rows for p in r.operands)
        ):
            return AssemblyError(f"{o.distance} belongs to jumps, not to {name}", o.column)
    if name == "lea" and isinstance(operands[1], Immediate):
        return AssemblyError(
            "lea takes an address, not a number", operands[1].column, "put it in brackets: [ ... ]"
        )
    # Would it fit with another number?
    loose: list[Operand] = []
    for o in operands:
        loose.append(replace(o, value=replace(o.value, known=False)) if isinstance(o, Immediate) else o)
    if _matches(meaning, prefixes, loose, bits):
        bad = next(o for o in operands if isinstance(o, Immediate))
        widths = [8 if row.operands[-1][-1] in "bs" else bits for row in meaning.rows if row.operands]
        width = next(
            (o.register.size for o in operands if isinstance(o, RegisterOperand)), bad.size or max(widths)
        )
        if any(isinstance(o, Memory) and o.size for o in operands):
            width = next(o.size for o in operands if isinstance(o, Memory) and o.size)
        if bad.size:
            width = min(width, bad.size)
        if all(
            row.operands[-1] in ("Ib", "1", "CL")
            for row in meaning.rows
            if len(row.operands) == len(operands)
        ):
            width = 8
        return AssemblyError(f"the number {bad.value.number} does not fit in {width} bits", bad.column)
    memories = [o for o in operands if isinstance(o, Memory)]
    if len(memories) > 1:
        return AssemblyError(
            f"{name} cannot have two memory operands", memories[1].column, "load one into a register first"
        )
    sizes = [o.register.size if isinstance(o, RegisterOperand) else o.size for o in operands]
    known = [(size, o) for size, o in zip(sizes, operands) if size]
    counted = any(row.operands[-1] == "CL" for row in meaning.rows if row.operands)  # shifts
    if (
        not counted
        and len({size for size, _ in known}) > 1
        and all(not isinstance(o, RegisterOperand) or o.register.kind == "general" for o in operands)
    ):
        (a, first), (b, second) = known[0], known[1]
        text = f"{_name(first)} has {a} bits, {_name(second)} has {b}"
        remedy = "both must be equally wide, or use movzx or movsx"
        if any(isinstance(o, Immediate) for o in (first, second)):
            remedy = f"forms: {describe_forms(meaning)}"
        return AssemblyError(f"invalid operand sizes for {name}: {text}", second.column, remedy)
    return AssemblyError(
        f"{name} cannot take these operands", column, f"forms of {name}: {describe_forms(meaning)}"
    )


def _name(operand: Operand) -> str:
    return (
        operand.register.name
        if isinstance(operand, RegisterOperand)
        else ("the memory operand" if isinstance(operand, Memory) else "the number")
    )


def unknown_mnemonic(word: str, column: int, known: Sequence[str]) -> AssemblyError:
    if word.lower() in REGISTERS:
        return AssemblyError(f"a line cannot begin with the register {word}", column)
    remedy = did_you_mean(word.lower(), known) or f"if it is a label, write {word}:"
    return AssemblyError(f"unknown mnemonic {word}", column, remedy)
