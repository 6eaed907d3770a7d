"""Addresses in code, both ways: ModRM, SIB and displacement (manual 2A, tables 2-1 to 2-3)."""

from __future__ import annotations

from struct import Struct
from typing import NamedTuple

from .operand_registers import GENERAL_32, REGISTERS, Register

BP, EBP, ESP = REGISTERS["bp"], REGISTERS["ebp"], REGISTERS["esp"]
DS, SS = REGISTERS["ds"], REGISTERS["ss"]
#: A base that means SS unless a prefix says otherwise.
STACK_BASES = frozenset([BP, EBP, ESP])

#: Base and index of a 16-bit address by ModRM.rm (table 2-1).
PAIRS_16 = tuple(
    (REGISTERS[base], REGISTERS.get(index))
    for base, index in (pair.split("+") for pair in "bx+si bx+di bp+si bp+di si+ di+ bp+ bx+".split())
)
_SCALES = {1: 0x00, 2: 0x40, 4: 0x80, 8: 0xC0}
_MODS = {0: 0x00, 8: 0x40, 16: 0x80, 32: 0x80}
_SIGNED = {8: Struct("<b").pack, 16: Struct("<h").pack, 32: Struct("<i").pack}


class Form(NamedTuple):
    """What a ModRM byte, with SIB if there is one, says about an address."""

    base_register: Register | None
    index_register: Register | None
    scale: int
    segment: Register  #: without a prefix
    bits: int  #: of the displacement
    fewest: int  #: bits that it takes at least


def _fewest(base: Register | None, index: Register | None, size: int) -> int:
    """An address without base has a full displacement; EBP, and BP alone, have at least a byte,
    because ModRM.mod 0 with their number means no base."""
    if base is None:
        return size
    return 8 if base is EBP or (base is BP and index is None) else 0


def _form(base: Register | None, index: Register | None, scale: int, mod: int, size: int) -> Form:
    bits = size if base is None else (0, 8, size)[mod]
    segment = SS if base in STACK_BASES else DS
    return Form(base, index, scale, segment, bits, _fewest(base, index, size))


def _forms_16() -> list[Form | None]:
    forms: list[Form | None] = []
    for modrm in range(0xC0):
        mod, rm = modrm >> 6, modrm & 7
        base, index = (None, None) if mod == 0 and rm == 6 else PAIRS_16[rm]
        forms.append(_form(base, index, 1, mod, 16))
    return forms


def _forms_32() -> list[Form | None]:
    forms: list[Form | None] = []
    for modrm in range(0xC0):
        mod, rm = modrm >> 6, modrm & 7
        base = None if mod == 0 and rm == 5 else GENERAL_32[rm]
        forms.append(None if rm == 4 else _form(base, None, 1, mod, 32))
    return forms


def _forms_sib(mod: int) -> list[Form]:
    forms = []
    for sib in range(256):
        base = None if mod == 0 and sib & 7 == 5 else GENERAL_32[sib & 7]
        number = sib >> 3 & 7
        index, scale = (None, 1) if number == 4 else (GENERAL_32[number], 1 << (sib >> 6))
        forms.append(_form(base, index, scale, mod, 32))
    return forms


#: By address size, then by a ModRM byte below C0; None: a SIB byte follows.
FORMS = {16: _forms_16(), 32: _forms_32()}
#: By ModRM.mod, then by the SIB byte.
SIB_FORMS = tuple(_forms_sib(mod) for mod in range(3))

#: How a base and an index are written: ModRM.rm, SIB without its scale, bits of the displacement at least.
Spots = dict[tuple[Register | None, Register | None], tuple[int, int | None, int]]


def _spots_16() -> Spots:
    spots: Spots = {pair: (rm, None, _fewest(*pair, 16)) for rm, pair in enumerate(PAIRS_16)}
    return spots | {(None, None): (6, None, 16)}


def _spots_32() -> Spots:
    spots: Spots = {(None, None): (5, None, 32)}
    for base in (None, *GENERAL_32):
        number, fewest = 5 if base is None else base.number, _fewest(base, None, 32)
        for index in GENERAL_32:
            if index is not ESP:  # its number stands for no index
                spots[base, index] = 4, index.number << 3 | number, fewest
        if base is not None:
            spots[base, None] = (4, 4 << 3 | number, 0) if base is ESP else (number, None, fewest)
    return spots


_SPOTS = {16: _spots_16(), 32: _spots_32()}


def signed(value: int, size: int) -> int:
    """A number of so many bits, read as two's complement."""
    half = 1 << size - 1
    return (value + half & 2 * half - 1) - half


def encode_address(
    reg: int,
    base: Register | None,
    index: Register | None,
    scale: int,
    displacement: int,
    wanted: int | None,
    size: int,
) -> bytes:
    """ModRM, SIB and displacement, with ``reg`` in ModRM.reg.

    ``displacement`` is a signed number of ``size`` bits; ``wanted`` says in how many bits it is
    written, None: in the fewest. A KeyError or ValueError says that there is no such address.
    """
    rm, sib, fewest = _SPOTS[size][base, index]
    if wanted is None:
        in_a_byte = fewest <= 8 and -128 <= displacement < 128
        wanted = fewest if displacement == 0 else 8 if in_a_byte else size
    elif wanted < fewest or (displacement and not wanted):
        raise ValueError(f"displacement {displacement} in {wanted} bits")
    head = reg << 3 | rm | (_MODS[wanted] if base else 0)
    tail = _SIGNED[wanted](displacement) if wanted else b""
    if sib is not None:
        return bytes((head, sib | _SCALES[scale])) + tail
    if scale != 1:
        raise ValueError("a scale without an index")
    return bytes((head,)) + tail
