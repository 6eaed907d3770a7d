"""The registers of a machine, by the manual's names.

`machine.cpu` reads and writes the processor's row. What a plain write could not do
faithfully (control registers, segment registers in protected mode) goes through the same
code of the core that the guest's instruction would run.
"""

from __future__ import annotations

import difflib
import html
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .errors import RegisterError
from .state.layout import (
    AC,
    AF,
    APIC_BASE,
    ARITHMETIC,
    ATTENTION,
    ATTRIBUTES,
    BASE,
    CC_CARRIES,
    CC_RESULT,
    CF,
    CPL,
    CR0,
    CR2,
    CR3,
    CR4,
    CS,
    DF,
    DR,
    EFER,
    EFLAGS,
    FS,
    GDTR_BASE,
    GDTR_LIMIT,
    GS,
    HALTED,
    ID,
    IDTR_BASE,
    IDTR_LIMIT,
    IF,
    IOPL_MASK,
    LDTR,
    LIMIT,
    NT,
    OF,
    PAT,
    PF,
    RF,
    RIP,
    SELECTOR,
    SF,
    SS,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TF,
    TR,
    VIF,
    VIP,
    VM,
    X87,
    X87_CONTROL,
    X87_STATUS,
    X87_VALID,
    ZF,
)
from .state.layout import DS as DS_SEG
from .state.layout import ES as ES_SEG
from .x87.values import SPECIAL, TOP, Float80

if TYPE_CHECKING:
    from .python_side.ring_0 import Ring0

M32 = 0xFFFF_FFFF
FLAG_NAMES = {
    "CF": CF,
    "PF": PF,
    "AF": AF,
    "ZF": ZF,
    "SF": SF,
    "TF": TF,
    "IF": IF,
    "DF": DF,
    "OF": OF,
    "NT": NT,
    "RF": RF,
    "VM": VM,
    "AC": AC,
    "VIF": VIF,
    "VIP": VIP,
    "ID": ID,
}
_WRITABLE = CF | PF | AF | ZF | SF | TF | IF | DF | OF | IOPL_MASK | NT | RF | AC | VIF | VIP | ID

NAMES32 = ("eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi")
NAMES16 = ("ax", "cx", "dx", "bx", "sp", "bp", "si", "di")
NAMES8 = ("al", "cl", "dl", "bl", "ah", "ch", "dh", "bh")
SEGMENTS = {"es": ES_SEG, "cs": CS, "ss": SS, "ds": DS_SEG, "fs": FS, "gs": GS, "ldtr": LDTR, "tr": TR}
TABLES = {
    "gdtr_base": (GDTR_BASE, 32),
    "gdtr_limit": (GDTR_LIMIT, 16),
    "idtr_base": (IDTR_BASE, 32),
    "idtr_limit": (IDTR_LIMIT, 16),
}
MSRS = {
    0x1B: APIC_BASE,
    0x174: SYSENTER_CS,
    0x175: SYSENTER_ESP,
    0x176: SYSENTER_EIP,
    0x277: PAT,
    0xC000_0080: EFER,
}


# --- flags -----------------------------------------------------------------------------


def arithmetic_flags(result: int, carries: int) -> int:
    """The six arithmetic flags of the lazy pair (see flags.py)."""
    flags = 0
    if carries & 0x8000_0000:
        flags |= CF
    if (carries >> 31 ^ carries >> 30) & 1:
        flags |= OF
    if carries & 8:
        flags |= AF
    if result & M32 == 0:
        flags |= ZF
    if (result >> 31 ^ result >> 32) & 1:
        flags |= SF
    if ((result ^ result >> 40) & 0xFF).bit_count() % 2 == 0:
        flags |= PF
    return flags


def lazy_pair(flags: int) -> tuple[int, int]:
    """Result and carries that say these arithmetic flags: the inverse of the above."""
    result = 0 if flags & ZF else 1
    if flags & SF:
        result |= 1 << 32
    low_parity_even = (result & 0xFF).bit_count() % 2 == 0
    if bool(flags & PF) != low_parity_even:
        result |= 1 << 40
    carry, overflow = bool(flags & CF), bool(flags & OF)
    carries = carry << 31 | (carry ^ overflow) << 30 | (8 if flags & AF else 0)
    return result, carries


def flag_names(value: int) -> str:
    """EFLAGS as the names of the bits that are set."""
    names = [name for name, bit in FLAG_NAMES.items() if value & bit]
    level = value >> 12 & 3
    return " ".join(names + ([f"IOPL={level}"] if level else [])) or "-"


# --- the proxy -------------------------------------------------------------------------


def _checked(name: str, value: Any, bits: int) -> int:
    try:
        number = value.__index__()
    except AttributeError:
        raise RegisterError(f"{name} takes a whole number, not {value!r}") from None
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise RegisterError(
            f"{name} holds {bits} bits: {number:#x} is out of the range 0..{(1 << bits) - 1:#x}; "
            f"mask it with & {(1 << bits) - 1:#x}"
        )
    return int(number) & ((1 << bits) - 1)


class MSRs:
    """Model-specific registers by number: ``cpu.msr[0x174]``."""

    def __init__(self, machine: Ring0) -> None:
        self._machine = machine

    def _word(self, number: int) -> int:
        if number not in MSRS:
            known = ", ".join(f"{n:#x}" for n in MSRS)
            raise RegisterError(f"there is no MSR {number:#x} here; there are {known}")
        return MSRS[number]

    def __getitem__(self, number: int) -> int:
        return int(self._machine._c[self._word(number)])

    def __setitem__(self, number: int, value: int) -> None:
        self._machine._poke(((self._word(number), _checked(f"MSR {number:#x}", value, 64)),))

    def __iter__(self) -> Iterator[int]:
        return iter(MSRS)

    def __repr__(self) -> str:
        return "\n".join(f"{number:#010x}  {self[number]:#018x}" for number in MSRS)


class Segment:
    """What the hidden part of a segment register holds."""

    __slots__ = ("attributes", "base", "limit", "name", "selector")

    def __init__(self, name: str, selector: int, base: int, limit: int, attributes: int) -> None:
        self.name, self.selector, self.base = name, selector, base
        self.limit, self.attributes = limit, attributes

    def __repr__(self) -> str:
        return (
            f"{self.name} {self.selector:#06x}  base {self.base:#010x}  limit {self.limit:#010x}  "
            f"attributes {self.attributes:#06x}"
        )


class CPU:
    """The registers of one processor."""

    __slots__ = ("_c", "_machine")
    _c: Any
    _machine: Ring0

    def __init__(self, machine: Ring0) -> None:
        object.__setattr__(self, "_machine", machine)
        object.__setattr__(self, "_c", machine._c)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(_unknown(name))

    def __setattr__(self, name: str, value: Any) -> None:
        member = getattr(CPU, name, None)
        if not isinstance(member, property):
            raise AttributeError(_unknown(name))
        if member.fset is None:
            raise AttributeError(f"{name} can be read only")
        member.fset(self, value)

    def segment(self, name: str) -> Segment:
        """Selector, base, limit and attributes of a segment register."""
        if name not in SEGMENTS:
            raise AttributeError(_unknown(name))
        n, c = SEGMENTS[name], self._c
        return Segment(name, c[SELECTOR + n], c[BASE + n], c[LIMIT + n], c[ATTRIBUTES + n])

    @property
    def eflags(self) -> int:
        c = self._c
        return int(c[EFLAGS] & ~ARITHMETIC | 2 | arithmetic_flags(c[CC_RESULT], c[CC_CARRIES]))

    @eflags.setter
    def eflags(self, value: int) -> None:
        value = _checked("eflags", value, 32)
        if (value ^ self._c[EFLAGS]) & VM:
            raise RegisterError(
                "VM cannot be set or cleared by assignment: it changes every segment; "
                "use IRET or a task switch, as a guest would"
            )
        result, carries = lazy_pair(value)
        keep = self._c[EFLAGS] & VM
        self._machine._poke(
            (
                (EFLAGS, value & _WRITABLE & ~ARITHMETIC | keep | 2),
                (CC_RESULT, result),
                (CC_CARRIES, carries),
                (ATTENTION, 1),
            )
        )

    @property
    def flags(self) -> str:
        """The names of the flags that are set."""
        return flag_names(self.eflags)

    @property
    def cpl(self) -> int:
        return int(self._c[CPL])

    @property
    def halted(self) -> bool:
        return bool(self._c[HALTED])

    @property
    def fcw(self) -> int:
        """The x87's control word."""
        return int(self._c[X87_CONTROL])

    @fcw.setter
    def fcw(self, value: int) -> None:
        self._machine._poke(((X87_CONTROL, _checked("fcw", value, 16) & 0x1F3F | 0x40),))

    @property
    def fsw(self) -> int:
        """The x87's status word; ES and B follow from the rest."""
        status = int(self._c[X87_STATUS])
        return status | 0x8080 if status & ~int(self._c[X87_CONTROL]) & 0x3F else status

    @fsw.setter
    def fsw(self, value: int) -> None:
        self._machine._poke(((X87_STATUS, _checked("fsw", value, 16) & 0x7F7F),))

    @property
    def ftw(self) -> int:
        """The x87's tag word: for each register 0 number, 1 zero, 2 special, 3 empty."""
        c, valid, tags = self._c, int(self._c[X87_VALID]), 0
        for i in range(8):
            significand, exponent = int(c[X87 + 2 * i]), int(c[X87 + 2 * i + 1]) & SPECIAL
            tag = 2
            if not valid >> i & 1:
                tag = 3
            elif exponent == significand == 0:
                tag = 1
            elif 0 < exponent < SPECIAL and significand & TOP:
                tag = 0
            tags |= tag << (2 * i)
        return tags

    @ftw.setter
    def ftw(self, value: int) -> None:
        value = _checked("ftw", value, 16)
        self._machine._poke(((X87_VALID, sum((value >> 2 * i & 3 != 3) << i for i in range(8))),))

    @property
    def msr(self) -> MSRs:
        return MSRs(self._machine)

    @property
    def mode(self) -> str:
        """Real, virtual-8086 or protected mode."""
        if not self._c[CR0] & 1:
            return "real"
        return "virtual-8086" if self._c[EFLAGS] & VM else "protected"

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if not name.startswith("_")]

    def as_dict(self) -> dict[str, int]:
        """The registers that a program sees, by name."""
        names = (*NAMES32, "eip", "eflags", "cs", "ss", "ds", "es", "fs", "gs", "cr0", "cr2", "cr3", "cr4")
        return {name: getattr(self, name) for name in names}

    def __repr__(self) -> str:
        r = self.as_dict()
        lines = ["  ".join(f"{n}={r[n]:08x}" for n in ("eax", "ebx", "ecx", "edx"))]
        lines.append("  ".join(f"{n}={r[n]:08x}" for n in ("esi", "edi", "ebp", "esp")))
        flags = f"eflags={r['eflags']:08x} [{self.flags}]"
        lines.append(f"eip={r['eip']:08x}  {flags}  {self.mode}, CPL {self.cpl}")
        lines.append("  ".join(f"{n}={r[n]:04x}" for n in ("cs", "ss", "ds", "es", "fs", "gs")))
        lines.append("  ".join(f"{n}={r[n]:08x}" for n in ("cr0", "cr2", "cr3", "cr4")))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        r = self.as_dict()

        def row(names: tuple[str, ...], digits: int) -> str:
            return "".join(
                f"<th scope='row'>{name}</th><td><code>{r[name]:0{digits}x}</code></td>" for name in names
            )

        lines = [
            row(("eax", "ebx", "ecx", "edx"), 8),
            row(("esi", "edi", "ebp", "esp"), 8),
            row(("cs", "ss", "ds", "es"), 4),
            row(("fs", "gs"), 4) + row(("eip", "eflags"), 8),
            row(("cr0", "cr2", "cr3", "cr4"), 8),
        ]
        caption = html.escape(f"{self.mode} mode, CPL {self.cpl}, flags {self.flags}")
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{caption}</caption>{body}</table>"


# --- the properties --------------------------------------------------------------------


def _plain(name: str, offset: int, bits: int, shift: int = 0) -> property:
    """A register that is a field of one word."""
    mask = (1 << bits) - 1

    if shift == 0:

        def get(self: CPU) -> int:
            return self._c[offset] & mask  # type: ignore[no-any-return]
    else:

        def get(self: CPU) -> int:
            return self._c[offset] >> shift & mask  # type: ignore[no-any-return]

    def put(self: CPU, value: int) -> None:
        old = self._c[offset]
        number = _checked(name, value, bits)
        self._machine._poke(((offset, old & ~(mask << shift) | number << shift),))

    return property(get, put, doc=name.upper())


def _instruction_pointer(name: str, bits: int) -> property:
    mask = (1 << bits) - 1

    def get(self: CPU) -> int:
        return self._c[RIP] & mask  # type: ignore[no-any-return]

    def put(self: CPU, value: int) -> None:
        self._machine._poke(((RIP, _checked(name, value, bits)), (HALTED, 0)))

    return property(get, put, doc=name.upper())


def _segment(name: str, number: int) -> property:
    def get(self: CPU) -> int:
        return self._c[SELECTOR + number] & 0xFFFF  # type: ignore[no-any-return]

    def put(self: CPU, value: int) -> None:
        self._machine._load_segment(name, number, _checked(name, value, 16))

    return property(get, put, doc=f"{name.upper()}: the selector; assigning loads the segment")


def _control(name: str, kind: str, number: int, offset: int) -> property:
    def get(self: CPU) -> int:
        return self._c[offset] & M32  # type: ignore[no-any-return]

    def put(self: CPU, value: int) -> None:
        self._machine._move_to(name, kind, number, _checked(name, value, 32))

    return property(get, put, doc=f"{name.upper()}: assigning acts as MOV {name.upper()} at CPL 0 does")


def _x87_register(i: int) -> property:
    def place(self: CPU) -> int:
        return (int(self._c[X87_STATUS]) >> 11) + i & 7

    def get(self: CPU) -> Float80 | None:
        n = place(self)
        if not int(self._c[X87_VALID]) >> n & 1:
            return None
        return Float80(int(self._c[X87 + 2 * n]), int(self._c[X87 + 2 * n + 1]))

    def put(self: CPU, value: Any) -> None:
        n, valid = place(self), int(self._c[X87_VALID])
        if value is None:
            self._machine._poke(((X87_VALID, valid & ~(1 << n)),))
            return
        try:
            number = Float80.nearest(value)
        except RegisterError:
            raise
        except (TypeError, ValueError):
            raise RegisterError(f"st{i} takes a number, or None for empty, not {value!r}") from None
        offset = X87 + 2 * n
        self._machine._poke(
            ((offset, number.significand), (offset + 1, number.head), (X87_VALID, valid | 1 << n))
        )

    text = f"ST({i}) as a `Float80`, None if it is empty; assigning a number fills it"
    return property(get, put, doc=text)


def _properties() -> Iterator[tuple[str, property]]:
    for i in range(8):
        yield NAMES32[i], _plain(NAMES32[i], i, 32)
        yield NAMES16[i], _plain(NAMES16[i], i, 16)
        yield NAMES8[i], _plain(NAMES8[i], i & 3, 8, 8 * (i >> 2))
    yield "eip", _instruction_pointer("eip", 32)
    yield "ip", _instruction_pointer("ip", 16)
    for i in range(8):
        yield f"st{i}", _x87_register(i)
    for name, number in SEGMENTS.items():
        yield name, _segment(name, number)
    for name, (offset, bits) in TABLES.items():
        yield name, _plain(name, offset, bits)
    for number, offset in ((0, CR0), (2, CR2), (3, CR3), (4, CR4)):
        yield f"cr{number}", _control(f"cr{number}", "cr", number, offset)
    for number in (0, 1, 2, 3, 6, 7):
        yield f"dr{number}", _control(f"dr{number}", "dr", number, DR + number)


for _name, _property in _properties():
    setattr(CPU, _name, _property)


def _unknown(name: str) -> str:
    names = [n for n, member in vars(CPU).items() if isinstance(member, property)]
    close = difflib.get_close_matches(name.lower(), names, 1)
    hint = f"; did you mean {close[0]!r}?" if close else "; dir(cpu) lists them"
    return f"the processor has no register {name!r}{hint}"
