"""Drills that check themselves: reading machine code, by seed.

    hex_drill(seed=1)          shows a question; in JupyterLab with a field for the answer
    hex_drill(seed=1).check("0x2f")

The same seed gives the same question everywhere. Every answer is read from the machine after it
ran the code in question; none is typed in. Without a kernel the answer is folded below the question.
"""

from __future__ import annotations

import html
import random
import struct
from collections.abc import Callable
from functools import cache
from typing import Any

from ..computer import Machine
from ..machine.assembler import assemble
from .prompts import _somebody_there

CODE, DATA, STACK = 0x10000, 0x20000, 0x90000
TABLES, UNMAPPED, SUPERVISOR = 0x1000, 0x200000, 0x3000
M32 = 0xFFFF_FFFF
FLAGS = {"CF": 1, "ZF": 0x40, "SF": 0x80, "OF": 0x800}
#: Flat code and data for ring 3, behind the operand of LGDT; IRET goes there.
GDT = struct.pack("<HIHQQQ", 23, DATA + 8, 0, 0, 0x00CFFA000000FFFF, 0x00CFF2000000FFFF)
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


class Drill:
    """A question, the answer that the machine gave, and why."""

    def __init__(self, question: str, answer: str, why: str, shown: str = "") -> None:
        self.question, self.answer, self.why, self.shown = question, answer, why, shown

    def check(self, said: str) -> bool:
        """Whether this is the answer: as a number in any base, or as a set of names."""
        return _meaning(said) == _meaning(self.answer)

    def verdict(self, said: str) -> str:
        """What to tell somebody who answered this."""
        if self.check(said):
            return f"Right: {self.answer}."
        return f"Not yet. {_slip(said, self.answer)}{self.why}"

    def __repr__(self) -> str:
        return "\n".join(part for part in (self.question, self.shown) if part)

    def _question_html(self) -> str:
        shown = f"<pre>{html.escape(self.shown)}</pre>" if self.shown else ""
        return f"<p><b>Drill.</b> {html.escape(self.question)}</p>{shown}"

    def _repr_html_(self) -> str:
        folded = f"<p><code>{html.escape(self.answer)}</code>. {html.escape(self.why)}</p>"
        return f"{self._question_html()}<details><summary>Answer</summary>{folded}</details>"

    def widget(self) -> Any:
        """The question with a field: Enter or the button checks."""
        import ipywidgets

        field = ipywidgets.Text(placeholder="your answer", description="Answer")
        button = ipywidgets.Button(description="Check")
        told = ipywidgets.HTML()

        def check(_: Any) -> None:
            told.value = html.escape(self.verdict(field.value))

        button.on_click(check)
        field.continuous_update = False
        field.observe(check, "value")
        row = ipywidgets.HBox([field, button])
        return ipywidgets.VBox([ipywidgets.HTML(self._question_html()), row, told])

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        plain = {"text/plain": repr(self), "text/html": self._repr_html_()}
        if not _somebody_there():
            return plain
        live: dict[str, Any] = self.widget()._repr_mimebundle_()
        return {**live, **plain}


def _meaning(text: str) -> Any:
    said = text.strip().replace("_", "")
    try:
        return int(said, 0) if said[:2].lower() in ("0x", "0b") else int(said)
    except ValueError:
        return frozenset(said.upper().replace(",", " ").split())


def _slip(said: str, answer: str) -> str:
    """The usual mistakes have a name."""
    got, right = _meaning(said), _meaning(answer)
    if not (isinstance(got, int) and isinstance(right, int)):
        return ""
    if got >= 0 and right >= 0 and got < 1 << 32 and right < 1 << 32:
        if got.to_bytes(4, "big") == right.to_bytes(4, "little"):
            return "You read the bytes in the wrong order. "
    if (got - right) % (1 << 32) == 0 or (got - right) % 256 == 0:
        return "The bits are right, the sign is not. "
    return ""


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


def hex_drill(seed: int = 0) -> Drill:
    """Hexadecimal, binary and decimal: the low byte of EAX."""
    pick = random.Random(seed)
    number = pick.randint(17, 255)
    value = _run(f"mov eax, {number}").cpu.eax
    shown, answer = pick.choice(
        [(f"{value:#04x}", str(value)), (str(value), f"{value:#04x}"), (f"{value:#010b}", f"{value:#04x}")]
    )
    base = "decimal" if answer.isdigit() else "hexadecimal (0x...)"
    why = f"{value:#04x} is {value >> 4} times 16 plus {value & 15}, {value}; its bits are {value:08b}."
    return Drill(f"Write {shown} in {base}.", answer, why)


def little_endian_drill(seed: int = 0) -> Drill:
    """A word in a dump."""
    pick = random.Random(seed)
    data, offset = pick.randbytes(8), pick.randint(0, 4)
    value = _run(f"mov eax, [{DATA + offset:#x}]", data).cpu.eax
    why = (
        f"The low byte comes first: {data[offset : offset + 4].hex(' ')}, read from the right, is {value:#x}."
    )
    where = f"mov eax, [{DATA + offset:#x}]"
    return Drill(f"What is in EAX after {where}?", f"{value:#010x}", why, f"{DATA:08x}  {data.hex(' ')}")


def twos_complement_drill(seed: int = 0) -> Drill:
    """A byte, read as signed: MOVSX widens it."""
    byte = random.Random(seed).randint(0x80, 0xFF)
    wide = _run(f"movsx eax, byte [{DATA:#x}]", bytes([byte])).cpu.eax
    why = f"The top bit is set, so take 256 away: {byte} - 256. MOVSX makes it {wide:#x}."
    return Drill(f"Which signed number is the byte {byte:#04x}?", str(wide - (1 << 32)), why)


def address_drill(seed: int = 0) -> Drill:
    """An effective address: LEA computes it."""
    pick = random.Random(seed)
    base, index = pick.randrange(0x100, 0x1000, 16), pick.randint(1, 15)
    scale, far = pick.choice((2, 4, 8)), pick.choice((-8, -4, 4, 8))
    place = f"[ebx + ecx*{scale} {'-' if far < 0 else '+'} {abs(far)}]"
    code = f"mov ebx, {base:#x}\nmov ecx, {index}\nlea eax, {place}"
    value = _run(code).cpu.eax
    why = f"{base:#x} + {index} * {scale} {far:+} = {value:#x}. LEA reads no memory."
    return Drill("What is in EAX?", f"{value:#x}", why, code)


def flags_drill(seed: int = 0) -> Drill:
    """CF, ZF, SF and OF after an operation."""
    pick = random.Random(seed)
    edges = [0, 1, 5, 0x7FFFFFFF, 0x80000000, M32]
    a, b = pick.choice(edges), pick.choice(edges)
    code = f"mov eax, {a:#x}\n{pick.choice(('add', 'sub', 'cmp'))} eax, {b:#x}"
    m = _run(code)
    names = [name for name, bit in FLAGS.items() if m.cpu.eflags & bit]
    why = (
        f"Set: {' '.join(names) or 'none'}; EAX is {m.cpu.eax:#x}. CF is for unsigned numbers, OF for signed."
    )
    question = "Which of CF ZF SF OF are set at the end? (names, or none)"
    return Drill(question, " ".join(names) or "none", why, code)


def eax_drill(seed: int = 0) -> Drill:
    """A few instructions: what is in EAX?"""
    pick = random.Random(seed)
    a, b, count = pick.randint(1, 9), pick.randint(1, 9), pick.randint(2, 5)
    code = f"mov eax, {a}\nmov ecx, {count}\nagain: add eax, {b}\ndec ecx\njnz again"
    if pick.random() < 0.5:
        code += "\npush eax\nadd eax, 100\npop eax"
    value = _run(code).cpu.eax
    why = f"The loop runs {count} times: {a} + {count} * {b} = {value}. POP brings an old value back."
    return Drill("What is in EAX at the end?", str(value), why, code)


def frame_drill(seed: int = 0) -> Drill:
    """A cdecl frame in a dump of the stack."""
    pick = random.Random(seed)
    first, second = pick.randint(16, 255), pick.randint(16, 255)
    m = _run(f"push {second}\npush {first}\ncall f\nf: push ebp\nmov ebp, esp")
    dump = m.read(m.cpu.ebp, 16)
    saved, back, one, two = struct.unpack("<4I", dump)
    name, value = pick.choice([("the return address", back), ("argument 1", one), ("argument 2", two)])
    why = f"From EBP up: saved EBP {saved:#x}, return {back:#x}, argument 1 {one:#x}, argument 2 {two:#x}."
    shown = f"ebp={m.cpu.ebp:08x}\n{m.cpu.ebp:08x}  {dump.hex(' ')}"
    return Drill(f"A function has just set up EBP. What is {name}?", f"{value:#x}", why, shown)


def dump_drill(seed: int = 0) -> Drill:
    """A register dump: one register of it."""
    pick = random.Random(seed)
    names = ("eax", "ebx", "ecx", "edx")
    m = _run("\n".join(f"mov {name}, {pick.getrandbits(32):#x}" for name in names))
    shown = "  ".join(f"{name}={getattr(m.cpu, name):08x}" for name in names)
    name, part = pick.choice(names), pick.choice("lh")
    register = f"{name[1]}{part}"
    value = _run(f"mov {name}, {getattr(m.cpu, name):#x}\nmovzx eax, {register}").cpu.eax
    which = "lowest byte" if part == "l" else "byte above the lowest"
    why = f"{register.upper()} is the {which} of {name.upper()}: {value:#04x}."
    return Drill(f"What is in {register.upper()}?", f"{value:#04x}", why, shown)


def page_fault_drill(seed: int = 0) -> Drill:
    """The error code of a page fault made on purpose."""
    pick = random.Random(seed)
    write, present = pick.random() < 0.5, pick.random() < 0.5
    target = SUPERVISOR if present else UNMAPPED
    code = f"mov [{target:#x}], eax" if write else f"mov eax, [{target:#x}]"
    user = present or pick.random() < 0.5  # ring 0 may touch a supervisor page

    def paging(m: Machine) -> None:
        entries = [page << 12 | (3 if page << 12 == SUPERVISOR else 7) for page in range(256)]
        m.write(TABLES + 0x1000, struct.pack("<256I", *entries).ljust(4096, b"\0"))
        m.write(TABLES, struct.pack("<I", TABLES + 0x1000 | 7))
        m.cpu.cr3, m.cpu.cr0 = TABLES, m.cpu.cr0 | 0x8000_0000
        m.break_on(14)

    m = _run(TO_RING_3 + code if user else code, GDT, paging)
    error = m.exit.error_code
    names = [name for i, name in enumerate(PF_BITS) if error >> i & 1]
    why = f"The error code is {error:#x}, in bits {error:05b}; CR2 is {m.cpu.cr2:#x}. Bit 0 is P."
    who = "Ring 3" if user else "Ring 0"
    kind = "a page for ring 0 only" if present else "a page that is not present"
    question = f"{who} runs this; {target:#x} lies in {kind}. The error code? (number)"
    return Drill(question, f"{error:#x}", f"{why} Set: {' '.join(names) or 'none'}.", code)
