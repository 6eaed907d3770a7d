"""Drills that check themselves: reading machine code, by seed.

    hex_drill(seed=1)          shows a question; in JupyterLab with a field for the answer
    hex_drill(seed=1).check("0x2f")

The same seed gives the same question everywhere. Every answer is read from the machine after it
ran the code in question; none is typed in. Without a kernel the answer is folded below the question.
"""

from __future__ import annotations

import html
import random
import re
import struct
from collections.abc import Callable
from functools import cache, wraps
from itertools import count
from typing import Any, Protocol

from ..computer import Machine
from ..machine.assembler import assemble
from ..machine.registers import FLAG_NAMES
from .prompts import _somebody_there

CODE, DATA, STACK = 0x10000, 0x20000, 0x90000
DIRECTORY, TARGET = 0x1000, 0x400000
M32 = 0xFFFF_FFFF
FLAGS = {name: FLAG_NAMES[name] for name in ("CF", "ZF", "SF", "OF")}
#: Flat code and data for ring 3, behind the operand of LGDT; IRET goes there.
RING_3_GDT = struct.pack("<HIHQQQ", 23, DATA + 8, 0, 0, 0x00CFFA000000FFFF, 0x00CFF2000000FFFF)
TO_RING_3 = f"""lgdt [{DATA:#x}]
push 0x13
pop ds
push 0x13
push {STACK:#x}
push 2
push 0x0b
push ring3
iret
ring3: """
PF_BITS = ("P", "W/R", "U/S", "RSVD", "I/D")
#: Entries of the page directory for the 4 MiB at TARGET (large pages of physical address 0).
PAGES = {
    "no page": 0,
    "a read-only page": 0x85,
    "a page for ring 0 only": 0x83,
    "a page whose entry has a reserved bit set": 0x200087,
}


# --- a question and its answers ----------------------------------------------------------


class Drill:
    """A question, the answer that the machine gave, a hint, and why.

    The answer is a number of ``bits`` bits, in any base unless ``base`` is 10 or 16; with
    ``names`` it is some of those names, or none.
    """

    def __init__(
        self,
        question: str,
        answer: str,
        why: str,
        shown: str = "",
        *,
        hint: str = "",
        bits: int = 32,
        base: int | None = None,
        names: tuple[str, ...] = (),
    ) -> None:
        self.question, self.answer, self.why, self.shown = question, answer, why, shown
        self.hint, self.bits, self.base, self.names = hint, bits, base, names
        self.another: Callable[[], Drill] | None = None

    def check(self, said: str) -> bool:
        """Whether this is the answer."""
        if self.names:
            return _names(said) == _names(self.answer)
        return _number(said) == _number(self.answer) and self.base in (None, _base(said))

    def verdict(self, said: str, tries: int = 1) -> str:
        """What to tell somebody who answered this; from the second try on, all of it."""
        if self.check(said):
            return f"Right. {self.why}"
        slip = self._slip(said)
        if tries < 2:
            hint = "" if slip and not self.names else self.hint
            return " ".join(filter(None, ("Not yet.", slip, hint)))
        return f"Not yet. {slip + ' ' if slip else ''}{self.why}"

    def _slip(self, said: str) -> str:
        """The usual mistakes have a name."""
        if not said.strip():
            return "Type an answer first."
        return self._slip_of_names(said) if self.names else self._slip_of_number(said)

    def _slip_of_names(self, said: str) -> str:
        got, right = _names(said), _names(self.answer)
        if not got <= set(self.names):
            return f"Answer with some of {' '.join(self.names)}, or none."
        wrong, missing = len(got - right), len(right - got)
        parts = [f"{wrong} too many" if wrong else "", f"{missing} missing" if missing else ""]
        return f"{' and '.join(filter(None, parts))}."

    def _slip_of_number(self, said: str) -> str:
        got, right = _number(said), _number(self.answer)
        if self.base != 10 and _base(said) == 10 and _bare_hex(said) == right:
            return "These are the right digits. Write 0x before a hexadecimal number."
        if got is None:
            return "This does not read as a number. Write 47, 0x2f or 0b101111."
        assert right is not None
        if got == right:
            return (
                f"The value is right. Write it in {'decimal' if self.base == 10 else 'hexadecimal, with 0x'}."
            )
        if got == -right:
            return "The size is right, the sign is not."
        if right < 0 and got in (right % (1 << self.bits), right % (1 << 32)):
            return "That is the unsigned reading. The top bit is set: the signed number is negative."
        if got < 0 and got % (1 << self.bits) == right:
            return "These are the bits as a signed number. The question is for the unsigned one."
        if not -(1 << self.bits - 1) <= got < 1 << self.bits:
            return f"That does not fit into {self.bits} bits."
        if right >= 0 and got >= 0 and _swapped(got, self.bits) == right:
            return "You read the bytes in the wrong order."
        return ""

    # --- how it shows

    def __repr__(self) -> str:
        return "\n".join(part for part in (self.question, self.shown) if part)

    def _question_html(self) -> str:
        shown = f"<pre>{html.escape(self.shown)}</pre>" if self.shown else ""
        return f"<p><b>Drill.</b> {html.escape(self.question)}</p>{shown}"

    def _repr_html_(self) -> str:
        folded = f"<p><code>{html.escape(self.answer)}</code>. {html.escape(self.why)}</p>"
        return f"{self._question_html()}<details><summary>Answer</summary>{folded}</details>"

    def widget(self) -> Any:
        """The question with a field: Enter or the button checks, and another one can follow."""
        return _widget(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        plain = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if not _somebody_there():
            return plain
        live: dict[str, Any] = self.widget()._repr_mimebundle_()
        return {**live, **plain}


def _widget(first: Drill) -> Any:
    import ipywidgets

    shown = [first]
    tried: list[str] = []
    question = ipywidgets.HTML(first._question_html())
    field = ipywidgets.Text(placeholder="your answer", description="Answer", continuous_update=False)
    button = ipywidgets.Button(description="Check", layout={"width": "90px"})
    more = ipywidgets.Button(description="Another", layout={"width": "90px"})
    told = ipywidgets.HTML()

    def check(_: Any) -> None:
        said = field.value.strip()
        if said and said not in tried:  # leaving the field and clicking is one try
            tried.append(said)
        verdict = shown[0].verdict(said, len(tried))
        told.value = f'<div role="status" style="padding:2px 0 6px">{html.escape(verdict)}</div>'

    def next_one(_: Any) -> None:
        if shown[0].another:
            shown[0] = shown[0].another()
        question.value = shown[0]._question_html()
        tried.clear()
        field.value = told.value = ""

    button.on_click(check)
    more.on_click(next_one)
    field.observe(lambda change: check(change) if change["new"] else None, "value")
    buttons = [field, button, more] if first.another else [field, button]
    return ipywidgets.VBox([question, ipywidgets.HBox(buttons), told])


def _number(text: str) -> int | None:
    """Decimal, 0x2f, 2fh or 0b101111, with a sign and underscores if wanted; None: no number."""
    said = text.strip().lower().replace("_", "").replace("\u2212", "-")
    found = re.fullmatch(r"([+-]?)(?:0x([0-9a-f]+)|([0-9][0-9a-f]*)h|0b([01]+)|([0-9]+))", said)
    if not found:
        return None
    sign, hexadecimal, suffixed, binary, decimal = found.groups()
    digits, base = next(
        pair for pair in ((hexadecimal or suffixed, 16), (binary, 2), (decimal, 10)) if pair[0]
    )
    return int(digits, base) * (-1 if sign == "-" else 1)


def _base(text: str) -> int:
    """The base that a number is written in."""
    said = text.strip().lower().lstrip("+-\u2212")
    return 16 if said.startswith("0x") or said.endswith("h") else 2 if said.startswith("0b") else 10


def _bare_hex(text: str) -> int | None:
    """What the digits would be with 0x before them."""
    said = text.strip().replace("_", "").replace(" ", "")
    return int(said, 16) if re.fullmatch(r"[0-9a-fA-F]+", said) else None


def _names(text: str) -> frozenset[str]:
    """A set of names; "none" and "-" are the empty set, no answer at all is no set of names."""
    words = re.split(r"[\s,;+|]+", text.strip().strip(".").upper())
    return frozenset() if words in (["NONE"], ["-"]) else frozenset(words)


def _swapped(value: int, bits: int) -> int | None:
    """The number with its bytes in the other order; None if there are not several."""
    if bits < 16 or value >= 1 << bits:
        return None
    return int.from_bytes(value.to_bytes(bits // 8, "big"), "little")


# --- the machine that knows the answers ----------------------------------------------------


class Kind(Protocol):
    """A kind of drill: a seed gives a question."""

    def __call__(self, seed: int = 0) -> Drill: ...


def _seeded(make: Callable[[random.Random], Drill]) -> Kind:
    @wraps(make)
    def drill(seed: int = 0) -> Drill:
        made = make(random.Random(seed))

        def another() -> Drill:
            later = (drill(seed + step) for step in count(1))
            return next(found for found in later if repr(found) != repr(made))

        made.another = another
        return made

    return drill


@cache
def _start() -> tuple[Machine, Any]:
    m = Machine(ram="1MiB", devices=(), history=False)
    m.enter_protected_mode(eip=CODE, esp=STACK)
    return m, m.snapshot()


def _run(text: str, data: bytes = b"", prepare: Callable[[Machine], None] | None = None) -> Any:
    m, start = _start()
    m.restore(start)
    m.clear_break_on()
    m.load(assemble(text + "\nhlt", bits=32, origin=CODE), at=CODE)
    m.load(data.ljust(64, b"\0"), at=DATA)
    if prepare:
        prepare(m)
    m.exit = m.run(max_instructions=1000)  # type: ignore[attr-defined]
    return m


# --- the kinds -------------------------------------------------------------------------------


@_seeded
def hex_drill(pick: random.Random) -> Drill:
    """Hexadecimal, binary and decimal: the low byte of EAX."""
    number = pick.randint(17, 255)
    value = _run(f"mov eax, {number}").cpu.eax
    shown, base = pick.choice([(f"{value:#04x}", 10), (str(value), 16), (f"{value:#010b}", 16)])
    answer = str(value) if base == 10 else f"{value:#04x}"
    why = f"{value:#04x} is {value >> 4} times 16 plus {value & 15}, {value}; its bits are {value:08b}."
    hint = "One hexadecimal digit is four bits; the left digit counts 16 times."
    wanted = "decimal" if base == 10 else "hexadecimal (0x...)"
    return Drill(f"Write {shown} in {wanted}.", answer, why, hint=hint, bits=8, base=base)


@_seeded
def little_endian_drill(pick: random.Random) -> Drill:
    """A word in a dump."""
    data, offset = pick.randbytes(8), pick.randint(0, 4)
    where = f"mov eax, [{DATA + offset:#x}]"
    value = _run(where, data).cpu.eax
    low = data[offset : offset + 4].hex(" ")
    why = f"The low byte comes first: {low}, read byte by byte from the right, is {value:#010x}."
    hint = f"Count to the byte at {DATA + offset:#x}, take four bytes, read them from the right."
    shown = f"{DATA:08x}  {data.hex(' ')}"
    return Drill(f"What is in EAX after {where}?", f"{value:#010x}", why, shown, hint=hint)


@_seeded
def twos_complement_drill(pick: random.Random) -> Drill:
    """A byte, read as signed: MOVSX widens it."""
    byte = pick.randint(0x80, 0xFF)
    wide = _run(f"movsx eax, byte [{DATA:#x}]", bytes([byte])).cpu.eax
    value = wide - (1 << 32)
    why = f"The top bit is set, so take 256 away: {byte} - 256 = {value}. MOVSX makes it {wide:#x}."
    hint = "First read it as an unsigned number. If the top bit is set, take 256 away."
    return Drill(f"Which signed number is the byte {byte:#04x}?", str(value), why, hint=hint, bits=8)


@_seeded
def address_drill(pick: random.Random) -> Drill:
    """An effective address: LEA computes it."""
    base, index = pick.randrange(0x100, 0x1000, 16), pick.randint(1, 15)
    scale, far = pick.choice((2, 4, 8)), pick.choice((-8, -4, 4, 8))
    place = f"[ebx + ecx*{scale} {'-' if far < 0 else '+'} {abs(far)}]"
    code = f"mov ebx, {base:#x}\nmov ecx, {index}\nlea eax, {place}"
    value = _run(code).cpu.eax
    sign = "-" if far < 0 else "+"
    why = f"{place[1:-1]} is {base:#x} + {index * scale:#x} {sign} {abs(far)} = {value:#x}."
    hint = f"LEA computes the sum in the brackets. {index} * {scale} is {index * scale:#x}."
    return Drill("What is in EAX?", f"{value:#x}", why, code, hint=hint)


@_seeded
def flags_drill(pick: random.Random) -> Drill:
    """CF, ZF, SF and OF after an operation."""
    edges = [0, 1, 5, 0x7FFFFFFF, 0x80000000, M32]
    a, b = pick.choice(edges), pick.choice(edges)
    code = f"mov eax, {a:#x}\n{pick.choice(('add', 'sub', 'cmp'))} eax, {b:#x}"
    m = _run(code)
    set_ = [name for name, bit in FLAGS.items() if m.cpu.eflags & bit]
    what = f"EAX is {m.cpu.eax:#x}"
    if "cmp" in code:
        what = f"CMP sets the flags of {a:#x} - {b:#x} = {a - b & M32:#x} and keeps EAX"
    why = f"Set: {' '.join(set_) or 'none'}. {what}. CF is for unsigned numbers, OF for signed ones."
    hint = "ZF: is the result zero? SF: its top bit? CF: did it not fit as unsigned? OF: as signed?"
    question = "Which of CF ZF SF OF are set at the end? (names, or none)"
    return Drill(question, " ".join(set_) or "none", why, code, hint=hint, names=tuple(FLAGS))


@_seeded
def eax_drill(pick: random.Random) -> Drill:
    """A few instructions: what is in EAX?"""
    a, b, rounds = pick.randint(1, 9), pick.randint(1, 9), pick.randint(2, 5)
    code = f"mov eax, {a}\nmov ecx, {rounds}\nagain: add eax, {b}\ndec ecx\njnz again"
    value = _run(code).cpu.eax
    why = f"The loop runs {rounds} times: {a} + {rounds} * {b} = {value}."
    ending = pick.choice(("", "push", "jump"))
    if ending == "push":
        code += "\npush eax\nadd eax, 100\npop eax"
        why += " POP brings back the value that PUSH kept."
    if ending == "jump":
        code += "\ncmp eax, 20\njl small\nmov eax, 20\nsmall: inc eax"
        why += f" It is {'less than' if value < 20 else 'not less than'} 20, so JL "
        why += "jumps over the MOV" if value < 20 else "does not jump and MOV makes it 20"
        why += ", and INC adds 1."
    value = _run(code).cpu.eax
    hint = "Keep a line for each round: EAX and ECX. JNZ goes back as long as DEC did not reach zero."
    return Drill("What is in EAX at the end?", str(value), why, code, hint=hint)


@_seeded
def frame_drill(pick: random.Random) -> Drill:
    """A cdecl frame in a dump of the stack."""
    first, second, local = pick.randint(16, 255), pick.randint(16, 255), pick.randint(16, 255)
    caller = f"sub esp, {pick.randrange(16, 256, 4)}\nmov ebp, esp\nsub esp, {pick.randrange(0, 16, 4)}"
    m = _run(f"{caller}\npush {second}\npush {first}\ncall f\nf: push ebp\nmov ebp, esp\npush {local}")
    dump = m.read(m.cpu.esp, 20)
    values = dict(zip(FRAME, struct.unpack("<5I", dump), strict=True))
    name = pick.choice(FRAME)
    why = f"From ESP up: {', '.join(f'{what} {value:#x}' for what, value in values.items())}."
    lines = [f"{m.cpu.esp + i:08x}  {dump[i : i + 16].hex(' ')}" for i in (0, 16)]
    shown = "\n".join([f"esp={m.cpu.esp:08x}  ebp={m.cpu.ebp:08x}", *lines])
    hint = "EBP points to the saved EBP. The return address is four bytes higher, then the arguments follow."
    asked = name if name.startswith("argument") else f"the {name}"
    question = f"A function has set up EBP and pushed one local variable. What is {asked}?"
    return Drill(question, f"{values[name]:#x}", why, shown, hint=hint)


FRAME = ("local variable", "saved EBP", "return address", "argument 1", "argument 2")


@_seeded
def dump_drill(pick: random.Random) -> Drill:
    """A register dump: a part of a register, or what a register is for."""
    names, ring = ("eax", "ebx", "ecx", "edx"), pick.choice((0, 3))
    code = "\n".join(f"mov {name}, {pick.getrandbits(32):#x}" for name in names)
    m = _run(TO_RING_3 + code if ring else code, RING_3_GDT, lambda m: m.break_on(13))  # HLT is for ring 0
    shown = "\n".join("  ".join(f"{n}={getattr(m.cpu, n):08x}" for n in row) for row in DUMP)
    shown += "\n" + "  ".join(f"{n}={getattr(m.cpu, n):04x}" for n in ("cs", "ss", "ds"))
    name = pick.choice(names)
    part, which, bits = pick.choice(
        [("l", "lowest byte", 8), ("h", "byte above the lowest", 8), ("x", "lower half", 16)]
    )
    register = f"{name[1]}{part}"
    value = getattr(m.cpu, register)
    asked = [
        (f"What is in {register.upper()}?", value, f"{register.upper()} is the {which} of {name.upper()}",
         "The letter before L, H or X names the register: AL, AH and AX are parts of EAX.", bits),
        ("At which address is the next instruction?", m.cpu.eip, "EIP points there",
         "One register always points to the next instruction.", 32),
        ("Where is the top of the stack?", m.cpu.esp, "ESP points there",
         "One register always points to the top of the stack.", 32),
        ("In which ring does this code run?", m.cpu.cs & 3,
         f"The low two bits of CS, {m.cpu.cs:#x}, say it", "Look at the low two bits of CS.", 16),
    ]  # fmt: skip
    question, answer, why, hint, bits = pick.choice([asked[0], *asked])
    return Drill(question, f"{answer:#x}", f"{why}: {answer:#x}.", shown, hint=hint, bits=bits)


DUMP = (("eax", "ebx", "ecx", "edx"), ("esi", "edi", "ebp", "esp"), ("eip", "eflags"))


@_seeded
def page_fault_drill(pick: random.Random) -> Drill:
    """The error code of a page fault made on purpose."""
    what = pick.choice(tuple(PAGES))
    write = what == "a read-only page" or pick.random() < 0.5
    user = what == "a page for ring 0 only" or pick.random() < 0.5
    code = f"mov [{TARGET:#x}], eax" if write else f"mov eax, [{TARGET:#x}]"

    def paging(m: Machine) -> None:
        m.write(DIRECTORY, struct.pack("<II", 0x87, PAGES[what]))
        m.cpu.cr4, m.cpu.cr3 = 1 << 4, DIRECTORY
        m.cpu.cr0 |= 1 << 31 | 1 << 16
        m.break_on(14)

    m = _run(TO_RING_3 + code if user else code, RING_3_GDT, paging)
    error = m.exit.error_code
    names = [name for i, name in enumerate(PF_BITS) if error >> i & 1]
    why = f"The error code is {error:#x}, in bits {error:05b}; CR2 is {m.cpu.cr2:#x}. "
    why += f"Set: {' '.join(names) or 'none'}; bit 0 is P."
    lies = "there is no page" if not PAGES[what] else f"lies {what}"
    writes = "CR0.WP is set. " if what == "a read-only page" else ""
    question = f"Ring {3 if user else 0} runs this; at {TARGET:#x} {lies}. {writes}The error code? (number)"
    hint = "Add: 1 if a page is there, 2 for a write, 4 from ring 3, 8 for a reserved bit."
    return Drill(question, f"{error:#x}", why, code, hint=hint, bits=5)
