"""Whole opcode maps against the processor beneath: what runs, what is undefined, what faults first.

Not the rows of our table but every opcode of both maps, with every register form and two memory
forms, of which one leads to an absent page, is run in ring 3 here and on the host. They must agree
on whether it is an invalid opcode, and on the kind of fault. What later processors have made of
opcodes that ours does not know is listed in `LATER`, by feature; the host is not asked there.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

import pytest

from pyvirt_edu.machine.opcodes import ROWS

from ..silicon import ABSENT, CODE, DATA, HOST, PAGE, Ours, Silicon

pytestmark = pytest.mark.skipif(not HOST.answers, reason="no x86 Linux beneath that lets a child be traced")
intel = pytest.mark.skipif(
    HOST.answers and HOST.maker != "GenuineIntel",
    reason="ours is an Intel processor; others differ in details",
)

#: In the notation of the opcode table; a place may be a range of opcodes or of ModRM.reg.
LATER = """
mmx          0F 60-6B · 0F 6E-7F · 0F D1-D5 · 0F D7-E5 · 0F E7-EF · 0F F1-FE
sse          0F 10-17 · 0F 28-2F · 0F 50-5F · 0F C2 · 0F C4-C6 · 0F AE/2-3m · 0F AE/7r
sse2         0F 6C-6D · 0F C3 · 0F D6 · 0F E6 · 0F AE/5-6r · 0F AE/7m
pni          DB/1m · DD/1m · DF/1m · 0F 7C-7D · 0F D0 · 0F F0
ssse3        0F 38-3F
popcnt       0F B8
fsgsbase     0F AE/0-4r
xsave        0F AE/4-6m · 0F C7/3-5m
rdrand       0F C7/6-7r
rtm          C6/7r · C7/7r
avx          C4/0-7r · C5/0-7r · 62/0-7r
xop          8F/1-7r · 8F/1-7m
3dnow        0F 0D-0F
syscall      0F 05 · 0F 07
vmx          0F 01/0-3r · 0F 01/5r · 0F 01/7r · 0F 78-79 · 0F C7/6-7m
rdpmc        0F 33
xbts         0F A6-A7
"""  #: rdpmc: our processor counts nothing; xbts: of one stepping of the 386, later somebody else's
#: These enter the host's kernel.
DOORS = frozenset((b"\x0f\x34", b"\x0f\x05", b"\xcd\x80"))
#: What a kernel may emulate (UMIP), which then fetches by rules of its own: SLDT, STR, SGDT, SIDT, SMSW.
EMULATED = frozenset(((0, 0), (0, 1), (1, 0), (1, 1), (1, 4)))
PREFIXES = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3))
REGISTERS = {
    "eax": DATA + 0x800, "ecx": ABSENT, "edx": DATA + 0x810, "ebx": DATA + 0x820,
    "esp": DATA + 0x840, "ebp": DATA + 0x880, "esi": DATA + 0x8C0, "edi": DATA + 0x900,
}  # fmt: skip
FILL = b"\x90"


def _later() -> set[tuple[bool, int, int, str]]:
    found = set()
    for line in LATER.strip().splitlines():
        for place in line.split(maxsplit=1)[1].split(" · "):
            parts = re.fullmatch(r"(0F )?(\w\w)(?:-(\w\w))?(?:/(\d)(?:-(\d))?([rm]))?", place)
            assert parts, place
            two, first, last, reg, last_reg, mod = parts.groups()
            for opcode in range(int(first, 16), int(last or first, 16) + 1):
                for number in range(int(reg), int(last_reg or reg) + 1) if reg else range(8):
                    found |= {(bool(two), opcode, number, m) for m in (mod or "rm")}
    return found


LATER_PLACES = _later()


def is_later(code: bytes) -> bool:
    """Whether an opcode without prefixes, and with ModRM if it has one here, is in the list."""
    two = code[0] == 0x0F
    opcode, rest = code[two], code[two + 1 :]
    if rest:
        return (two, opcode, rest[0] >> 3 & 7, "r" if rest[0] >= 0xC0 else "m") in LATER_PLACES
    return all((two, opcode, reg, mod) in LATER_PLACES for reg in range(8) for mod in "rm")


@pytest.fixture(scope="module")
def ours() -> Ours:
    return Ours()


@pytest.fixture(scope="module")
def silicon() -> Iterator[Silicon]:
    with Silicon() as child:
        yield child


def compare(
    ours: Ours, silicon: Silicon, codes: Iterable[bytes], least: int, prefix: bytes = b"", end: bool = False
) -> None:
    """Codes at the beginning of a page, or just before its end and an absent page."""
    wrong: dict[str, list[str]] = defaultdict(list)
    count = 0
    for code in codes:
        if is_later(code) or code[:2] in DOORS:
            continue
        whole = prefix + code
        place = CODE + PAGE - len(whole) if end else CODE
        for side in (silicon, ours):
            side.write(DATA, bytes(PAGE))
        text = whole if end else whole.ljust(16, FILL)
        theirs, mine = silicon.run(text, REGISTERS, place), ours.run(text, REGISTERS, place)
        count += 1
        if theirs != mine:
            key = f"host {theirs or 'completes'}, ours {mine or 'completes'}"
            wrong[key].append(whole.hex())
    assert not wrong, "\n".join(
        f"{key}: {len(found)}, {' '.join(found[:20])}" for key, found in wrong.items()
    )
    assert count > least, count


def opcodes() -> Iterator[bytes]:
    """Both maps."""
    for opcode in range(256):
        if opcode not in PREFIXES and opcode != 0x0F:
            yield bytes([opcode])
        yield bytes([0x0F, opcode])


def with_modrm(modrm: Iterable[int]) -> Iterator[bytes]:
    forms = list(modrm)
    return (code + bytes([form]) for code in opcodes() for form in forms)


def not_emulated(codes: Iterable[bytes]) -> Iterator[bytes]:
    return (c for c in codes if not (c[0] == 0x0F and (c[1], c[-1] >> 3 & 7) in EMULATED))


REGISTER_FORMS = range(0xC0, 0x100)
MEMORY_FORMS = [reg << 3 | rm for reg in range(8) for rm in (0, 1)]  # [eax] and, absent, [ecx]


def test_x87_register_forms(ours: Ours, silicon: Silicon) -> None:
    """All 512, of which fewer than 400 have a name in the manual."""
    escapes = [bytes([opcode, modrm]) for opcode in range(0xD8, 0xE0) for modrm in REGISTER_FORMS]
    compare(ours, silicon, escapes, 511)


def test_x87_exception_that_waits() -> None:
    """#UD, then #MF, and only then what is wrong with the operand; WAIT and the FN forms among them."""
    forms = [reg << 3 | rm for reg in range(8) for rm in (0, 1, 0xC0, 0xC1)]
    escapes = [bytes([opcode, form]) for opcode in range(0xD8, 0xE0) for form in forms]
    side = Ours()
    side.exception_waits()
    with Silicon() as child:
        child.exception_waits()
        compare(side, child, [*escapes, b"\x9b"], 250)
        assert child.run(b"\xd9\x01".ljust(16, FILL), REGISTERS) == "FPE"  # fld dword [ecx]


@intel
@pytest.mark.parametrize("prefix", [b"", b"\xf0"], ids=["plain", "LOCK"])
def test_every_opcode(ours: Ours, silicon: Silicon, prefix: bytes) -> None:
    compare(ours, silicon, with_modrm([*REGISTER_FORMS, *MEMORY_FORMS]), 25_000, prefix)


#: These are as yet without a place in the map, on our processor; the manual calls the prefixes reserved.
PREFIX_RESERVED = ("FXSAVE", "FXRSTOR")


@intel
@pytest.mark.parametrize("prefix", [b"\x66", b"\xf2", b"\xf3", b"\xf0\xf3"], ids=lambda p: p.hex())
def test_with_prefixes(ours: Ours, silicon: Silicon, prefix: bytes) -> None:
    reserved = {(row.opcode, row.reg) for row in ROWS if row.operation in PREFIX_RESERVED}
    codes = with_modrm([reg << 3 | rm for reg in range(8) for rm in (0, 1, 0xC0, 0xC1)])
    plain = (c for c in codes if not (c[0] == 0x0F and (c[1], c[-1] >> 3 & 7) in reserved))
    compare(ours, silicon, plain, 10_000, prefix)


@intel
def test_what_is_fetched_first(ours: Ours, silicon: Silicon) -> None:
    """At the end of a page: how many bytes an instruction must have before it is invalid."""
    compare(ours, silicon, opcodes(), 200, end=True)
    forms = [reg << 3 | rm for reg in range(8) for rm in (0x00, 0x80, 0xC0)]
    compare(ours, silicon, not_emulated(with_modrm(forms)), 8000, end=True)


@intel
@pytest.mark.parametrize("count", [11, 13])
def test_too_long_or_undefined(ours: Ours, silicon: Silicon, count: int) -> None:
    """Prefixes that make long forms longer than 15 bytes: #GP, where the form itself is #UD."""
    forms = [reg << 3 | rm for reg in range(8) for rm in (0x00, 0x80, 0xC0)]
    compare(ours, silicon, not_emulated(with_modrm(forms)), 8000, b"\x2e" * count)


def test_arpl_writes_only_what_it_raises(ours: Ours, silicon: Silicon) -> None:
    """To CS, which cannot be written: a fault only if there is a privilege level to raise."""
    for requested, outcome in ((0, ""), (3, "SEGV")):
        for side in (silicon, ours):
            side.write(DATA, bytes(PAGE))
            registers = REGISTERS | {"edx": requested}
            assert side.run(b"\x2e\x63\x10".ljust(16, FILL), registers) == outcome  # arpl [cs:eax], dx


def test_later_opcodes_are_undefined_here(ours: Ours) -> None:
    """The list excuses the host, not us."""
    later = [code for code in with_modrm([*REGISTER_FORMS, *MEMORY_FORMS]) if is_later(code)]
    assert len(later) > 10_000
    assert [code.hex() for code in later if ours.run(code.ljust(16, FILL), REGISTERS) != "UD"] == []
