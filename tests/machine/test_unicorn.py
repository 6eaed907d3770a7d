"""Random instructions on our machine and on Unicorn: the same state afterwards.

Each case puts one random instruction (opcode table, random prefixes and operands) into flat
32-bit code with random registers and memory, executes it on both, and compares registers,
defined flags and all memory. Flags of shifts are only compared where the manual defines them
for every count; test_alu.py and test_sst286.py look at the rest. Where Unicorn is known to be
wrong or silent the case is
left to the tests that hold the manual's word; EXCLUDED says which and why.

The long run (marker ``long``) does a million cases.
"""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.opcodes import FLAGS_WRITTEN_UNDEFINED, ROWS, Row

from .random_code import instruction, rows

unicorn = pytest.importorskip("unicorn", reason="unicorn is the oracle of this test")
from unicorn import UC_ARCH_X86, UC_HOOK_INTR, UC_MODE_32, Uc, UcError  # noqa: E402
from unicorn import x86_const as ux  # noqa: E402

#: Operations not compared with Unicorn, with the reason; each has tests of its own.
EXCLUDED = {
    **dict.fromkeys(
        "CALLF JMPF RETF IRET INT INT3 INTO INT1 SYSENTER SYSEXIT".split(),
        "needs gates and descriptors, which Unicorn does not deliver through",
    ),
    **dict.fromkeys("LDS LES LSS LFS LGS".split(), "loads descriptors"),
    **dict.fromkeys(
        "LLDT LTR SLDT STR VERR VERW LAR LSL ARPL SGDT SIDT LGDT LIDT SMSW LMSW INVLPG CLTS".split(),
        "system state, checked against the manual",
    ),
    **dict.fromkeys("RDTSC RDMSR WRMSR CPUID".split(), "reports the model, not a computation"),
    **dict.fromkeys("HLT IN OUT INS OUTS INVD WBINVD".split(), "leaves the processor"),
    **dict.fromkeys(
        {row.operation for row in ROWS if row.is_x87} | {"WAIT", "FXSAVE", "FXRSTOR"},
        "x87: test_x87_host.py compares it with the processor beneath",
    ),
    **dict.fromkeys("UD0 UD1 UD2".split(), "raises #UD by definition"),
    "SALC": "not documented",
    "NOP": "Unicorn takes some hint NOPs for instructions of later processors",
    "BOUND": "Unicorn compares before it checks the second word",
    "POPF": "differs in ID, AC and IOPL by the processor model",
    "PUSHF": "likewise",
    "ENTER": "Unicorn does not probe the frame first",
}
REGISTERS = "EAX ECX EDX EBX ESP EBP ESI EDI".split()
UNICORN_REGISTERS = [getattr(ux, f"UC_X86_REG_{name}") for name in REGISTERS]
CODE, DATA, RAM = 0x10000, 0x20000, 0x100000
FLAG_BITS = {"o": 0x800, "s": 0x80, "z": 0x40, "a": 0x10, "p": 4, "c": 1}
ARITHMETIC = 0x8D5


def defined_flags(row: Row) -> int:
    """Arithmetic flags that the manual defines after an instruction."""
    undefined = FLAGS_WRITTEN_UNDEFINED.get(row.operation, ("", ""))[1]
    if row.operation in ("SHL", "SHR", "SAR", "ROL", "ROR", "RCL", "RCR", "SHLD", "SHRD"):
        # OF is defined for counts of 1 only, AF and, past the operand's width, CF never
        undefined = "oa" if "1" in row.operands else "oac"
    return ARITHMETIC & ~sum(FLAG_BITS[f] for f in undefined)


class Pair:
    """Both processors over the same memory contents."""

    def __init__(self) -> None:
        self.ours = Machine(ram=RAM, devices=())
        self.ours.enter_protected_mode(eip=CODE, esp=0x80000)
        self.theirs = self.fresh()
        self.vector: int | None = None

    def fresh(self) -> Uc:
        uc = Uc(UC_ARCH_X86, UC_MODE_32)
        uc.mem_map(0, RAM)
        uc.hook_add(UC_HOOK_INTR, self.interrupt)
        return uc

    def interrupt(self, uc: Uc, vector: int, _: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def run(self, code: bytes, registers: list[int], flags: int, data: bytes) -> tuple[str, str]:
        """Execute one instruction on both; what each did ("ok", "fault n", ...)."""
        if self.vector is not None:
            self.theirs = self.fresh()  # a fault that nobody delivered would nest for ever
            self.vector = None
            self.ours.write(0, bytes(RAM))
        ours, theirs = self.ours, self.theirs
        for target in (ours.write, theirs.mem_write):
            target(CODE, code + b"\x90" * 16)
            target(DATA, data)
        for name, number, value in zip(REGISTERS, UNICORN_REGISTERS, registers, strict=True):
            setattr(ours.cpu, name.lower(), value)
            theirs.reg_write(number, value)
        ours.cpu.eip = CODE
        ours.cpu.eflags = flags
        theirs.reg_write(ux.UC_X86_REG_EFLAGS, flags)
        theirs.ctl_flush_tb()  # its translations outlive a mem_write
        try:
            theirs.emu_start(CODE, RAM - 1, count=1)
            them = "ok" if self.vector is None else f"fault {self.vector}"
        except UcError as error:
            them = {unicorn.UC_ERR_INSN_INVALID: "fault 6"}.get(error.errno, f"error {error}")
        stop = ours.step()
        us = f"fault {stop.vector}" if stop.reason == "exception" else "ok"
        return us, them


def case(rng: random.Random, row: Row) -> tuple[bytes, list[int], int, bytes]:
    code = instruction(rng, row, 32, lock=False)  # Unicorn's #UD rules for LOCK are not the manual's
    registers = [
        rng.choice((rng.randrange(1 << 32), rng.randrange(DATA, DATA + 0x8000), rng.randrange(64)))
        for _ in REGISTERS
    ]
    registers[4] = rng.randrange(0x80000, 0x80100)
    if row.operation in ("MOVS", "CMPS", "SCAS", "LODS", "STOS", "PUSHA"):
        registers[1] = rng.choice((0, 2, 3))  # after the last iteration Unicorn still looks at ECX
        registers[6], registers[7] = DATA + rng.randrange(64), DATA + 0x100 + rng.randrange(64)
    flags = 0x202 & ~0x200 | 2 | (rng.randrange(1 << 12) & (ARITHMETIC | 0x400))
    return code, registers, flags, rng.randbytes(0x200)


def expected_fault(row: Row, code: bytes) -> str:
    """Where Unicorn lacks a check, what the manual demands of this encoding."""
    prefixes = code[: code.index(row.opcode if not row.two_byte else 0x0F)]
    if row.operation == "LEA":
        return "fault 6"  # a register is no address
    segments = [p for p in prefixes if p in (0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65)]
    if segments and segments[-1] == 0x2E:
        return "fault 13"  # a code segment is never writable
    return "none"


def compare(pair: Pair, rng: random.Random, row: Row, counts: Counter[str]) -> str | None:
    """Run one case; a description of the difference, or None."""
    code, registers, flags, data = case(rng, row)
    if row.operation in ("BSF", "BSR") and 0xF3 in code[: code.index(0x0F)]:
        counts["TZCNT and LZCNT for Unicorn"] += 1  # REP means nothing to a P6
        return None
    for vector in (0, 5, 6, 13, 12, 14):
        pair.ours.break_on(vector)
    us, them = pair.run(code, registers, flags, data)
    text = f"{code.hex()} {row}: registers {[hex(r) for r in registers]} flags {flags:x}: "
    if them.startswith("error"):
        counts["memory that Unicorn does not map"] += 1
        clean(pair)
        return None
    if us != them and us == expected_fault(row, code):
        clean(pair)
        counts["faults that Unicorn does not raise"] += 1
        return None
    if us != them:
        clean(pair)
        return text + f"ours {us}, Unicorn {them}"
    counts["faults" if us.startswith("fault") else "executed"] += 1
    if us.startswith("fault"):
        clean(pair)
        return None
    problems = []
    for name, number in zip(REGISTERS, UNICORN_REGISTERS, strict=True):
        ours, theirs = getattr(pair.ours.cpu, name.lower()), pair.theirs.reg_read(number)
        if ours != theirs:
            problems.append(f"{name} {ours:08x} {theirs:08x}")
    mask = defined_flags(row) | 0x400
    mine, other = pair.ours.cpu.eflags & mask, pair.theirs.reg_read(ux.UC_X86_REG_EFLAGS) & mask
    if mine != other:
        problems.append(f"EFLAGS {mine:x} {other:x}")
    eip = pair.theirs.reg_read(ux.UC_X86_REG_EIP)
    code_changed = pair.ours.read(CODE, 0x1000) != bytes(pair.theirs.mem_read(CODE, 0x1000))
    if eip == CODE and pair.ours.cpu.eip != CODE and (code_changed or b"\xf2\xf3" in code):
        # it restarts a store into the page it runs in, and obeys the first of two REPs
        counts["restarted by Unicorn"] += 1
        clean(pair)
        return None
    if pair.ours.cpu.eip != eip:
        problems.append(f"EIP {pair.ours.cpu.eip:08x} {eip:08x}")
    if pair.ours.read(0, RAM) != bytes(pair.theirs.mem_read(0, RAM)):
        problems.append("memory")
        clean(pair)
    return text + ", ".join(problems) if problems else None


def clean(pair: Pair) -> None:
    """Make both memories equal again."""
    pair.ours.write(0, bytes(RAM))
    pair.theirs.mem_write(0, bytes(RAM))


def differences(seed: int, count: int) -> tuple[list[str], Counter[str]]:
    rng = random.Random(seed)
    chosen = [
        row
        for row in rows(frozenset(EXCLUDED))
        if not (row.operation == "TEST" and row.reg == 1)  # an alias that Unicorn refuses
        and not (row.operation == "RET" and row.operands)  # Unicorn takes the count for signed
        and not any(o in ("ES", "CS", "SS", "DS", "FS", "GS", "Sw", "Cd", "Dd") for o in row.operands)
    ]
    pair, counts, found = Pair(), Counter(), []
    for i in range(count):
        problem = compare(pair, rng, chosen[i % len(chosen)], counts)
        if problem:
            found.append(problem)
    return found, counts


def test_random_instructions() -> None:
    found, counts = differences(seed=2026, count=6000)
    assert counts["executed"] > 3000, counts
    assert not found, f"{len(found)} differences; the first ones:\n" + "\n".join(found[:20])


@pytest.mark.long
def test_a_million_random_instructions() -> None:
    total = int(os.environ.get("PYVIRT_CASES", "1000000"))
    found, counts = differences(seed=1, count=total)
    print(dict(counts))
    assert not found, f"{len(found)} differences; the first ones:\n" + "\n".join(found[:40])
