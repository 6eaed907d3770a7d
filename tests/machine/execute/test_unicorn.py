"""Random instructions on our machine and on Unicorn: the same state afterwards.

Each case puts one random instruction (opcode table, random prefixes and operands) into flat
32-bit code or into real-mode code, with random registers and memory, executes it on both, and
compares registers, defined flags and all memory. Where Unicorn is known to be wrong or silent
the case is left to the tests that hold the manual's word: EXCLUDED says which operations, and
`Difference.aside` which outcomes; those are counted, and a test caps them.

The long run (marker ``long``) does a million cases, in pieces that xdist can spread:
``PYVIRT_CASES=1000000 pytest -m long -n 2 tests/machine/execute/test_unicorn.py``.
"""

from __future__ import annotations

import ctypes
import os
import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.memory.hostaccess_ops import HOST_NOTIFY_WRITE
from pyvirt_edu.machine.opcodes import FLAGS_WRITTEN_UNDEFINED, ROWS, Row
from pyvirt_edu.machine.registers import lazy_pair
from pyvirt_edu.machine.state import layout as at

from ..random_code import instruction, rows

unicorn = pytest.importorskip("unicorn", reason="unicorn is the oracle of this test")
from unicorn import (  # noqa: E402
    UC_ARCH_X86,
    UC_HOOK_INTR,
    UC_HOOK_MEM_READ,
    UC_HOOK_MEM_WRITE,
    UC_MODE_16,
    UC_MODE_32,
    UC_PROT_ALL,
    Uc,
    UcError,
)
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
NAMES = "EAX ECX EDX EBX ESP EBP ESI EDI".split()
UNICORN_REGISTERS = tuple(getattr(ux, f"UC_X86_REG_{name}") for name in NAMES)
UNICORN_STATE = (*UNICORN_REGISTERS, ux.UC_X86_REG_EFLAGS, ux.UC_X86_REG_EIP)
FLAG_BITS = {"o": 0x800, "s": 0x80, "z": 0x40, "a": 0x10, "p": 4, "c": 1}
ARITHMETIC = 0x8D5
ROTATES = ("ROL", "ROR", "RCL", "RCR")
SHIFTS = ("SHL", "SHR", "SAR", *ROTATES, "SHLD", "SHRD")
STRINGS = ("MOVS", "CMPS", "SCAS", "LODS", "STOS")
STACK = "PUSH POP PUSHA POPA CALL RET LEAVE".split()
OVERRIDES = {0x26: "es", 0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x64: "fs", 0x65: "gs"}
#: Of ten thousand cases, how many at most Unicorn has no say in.
MOST_ASIDE = {
    "memory that Unicorn does not map": 2500,
    "stores into a code segment": 200,
    "limits of segments": 60,
    "TZCNT and LZCNT for Unicorn": 20,
    "LEA of a register, which has no address": 60,
    "a store into its own page, which Unicorn restarts": 20,
    "both REPs: Unicorn obeys the first": 20,
    "overwritten by an earlier case": 20,
}
SLOTS, SLOT = 128, 32  # cases that share one image of memory, and the bytes of code of each


@dataclass(frozen=True)
class World:
    """Where things lie. Of what a segment register selects, Unicorn sees only the base."""

    bits: int
    ram: int
    code: int  # linear
    data: int  # linear
    stack: int  # linear; the pointer is a little above
    bases: dict[str, int]  # of the segments, in real mode; 64 KiB lie between two of them

    def inside(self, address: int, size: int, segments: set[str]) -> bool:
        """Whether an access lies in one of these segments, as it must in real mode."""
        return any(0 <= address - self.bases[s] <= 0x10000 - size for s in segments)


FLAT = World(32, 0x40000, 0x10000, 0x20000, 0x30000, {})
REAL = World(
    16,
    0xD0000,
    0x10000,
    0x30000,
    0x78000,
    {"cs": 0x10000, "ds": 0x30000, "es": 0x50000, "ss": 0x70000, "fs": 0x90000, "gs": 0xB0000},
)
WORLDS = {"32-bit": FLAT, "real mode": REAL}


@dataclass
class Case:
    row: Row
    code: bytes
    registers: list[int]
    flags: int

    def __str__(self) -> str:
        registers = " ".join(f"{n}={v:x}" for n, v in zip(NAMES, self.registers))
        return f"{self.code.hex()} {self.row}: {registers} flags {self.flags:x}"

    @property
    def prefixes(self) -> bytes:
        return self.code[: self.code.index(0x0F if self.row.two_byte else self.row.opcode)]

    def segments(self, bits: int) -> set[str]:
        """What the instruction may use: of its memory operand, the stack, the strings' target."""
        code, prefixes = self.code, self.prefixes
        after = code[len(prefixes) + 1 + self.row.two_byte :] + b"\0\0"
        mod, rm = after[0] >> 6, after[0] & 7
        if (bits == 32) != (0x67 in prefixes):
            base = after[1] & 7 if rm == 4 else rm
            on_stack = (rm == 4 and base == 4) or (base == 5 and mod != 0)
        else:
            on_stack = rm in (2, 3) or (rm == 6 and mod != 0)
        found = {"ss" if self.row.has_modrm and on_stack else "ds"}
        for prefix in prefixes:
            if prefix in OVERRIDES:
                found = {OVERRIDES[prefix]}
        if self.row.operation in STRINGS:
            found.add("es")
        if self.row.operation in STACK:
            found.add("ss")
        return found

    def operand_bits(self, bits: int) -> int:
        if self.row.operands and self.row.operands[0] == "Eb":
            return 8
        return bits ^ 48 if 0x66 in self.prefixes else bits

    def defined_flags(self, bits: int) -> int:
        """Arithmetic flags that the manual defines after this instruction."""
        operation, operands = self.row.operation, self.row.operands
        if operation not in SHIFTS:
            undefined = FLAGS_WRITTEN_UNDEFINED.get(operation, ("", ""))[1]
            return ARITHMETIC & ~sum(FLAG_BITS[f] for f in undefined)
        count = 1 if "1" in operands else self.registers[1] if "CL" in operands else self.code[-1]
        count &= 31
        if count == 0:
            return ARITHMETIC  # nothing changes
        mask = ARITHMETIC if operation in ROTATES else ARITHMETIC & ~FLAG_BITS["a"]
        if count > 1:
            mask &= ~FLAG_BITS["o"]
        width = self.operand_bits(bits)
        if operation in ("SHL", "SHR") and count >= width:
            mask &= ~FLAG_BITS["c"]
        if operation in ("SHLD", "SHRD") and count > width:
            mask = 0
        return mask


def draw(rng: random.Random, row: Row, world: World) -> Case:
    code = instruction(rng, row, world.bits, lock=False)  # Unicorn's #UD rules for LOCK are not the manual's
    case = Case(row, code, [], 2 | (rng.randrange(1 << 12) & (ARITHMETIC | 0x400)))
    real = world.bits == 16
    for _ in NAMES:
        near = rng.randrange(0x2000) if real else rng.randrange(world.data, world.data + 0x8000)
        case.registers.append(rng.choice((rng.randrange(1 << 32), near, rng.randrange(64))))
    case.registers[4] = rng.randrange(0x8000, 0x8100) if real else rng.randrange(0x30000, 0x30100)
    if real:
        edge = rng.randrange(8)
        case.registers[edge] = rng.choice((case.registers[edge], rng.randrange(0xFFF0, 0x10000)))
        case.registers[4] |= rng.choice((0, 0, 0, rng.randrange(1 << 16) << 16))  # only SP counts
    if row.operation in (*STRINGS, "PUSHA"):
        wide = (world.bits == 32) != (0x67 in case.prefixes)
        case.registers[1] = rng.choice((0, 2, 3))  # after the last iteration Unicorn still looks at ECX
        base = 0 if real else world.data
        case.registers[6], case.registers[7] = base + rng.randrange(64), base + 0x100 + rng.randrange(64)
        if real and not wide:
            for i in (1, 6, 7):
                case.registers[i] |= rng.choice((0, rng.randrange(1 << 16) << 16))
    return case


class Pair:
    """Both processors, each with its own memory of the same contents."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.ours = Machine(ram=1 << 20, devices=(), history=False)
        cpu = self.ours.cpu
        if world.bits == 32:
            self.ours.enter_protected_mode(eip=world.code)
        for name, base in world.bases.items():
            setattr(cpu, name, base >> 4)
        for vector in (0, 5, 6, 13, 12, 14):
            self.ours.break_on(vector)
        self.memory = np.frombuffer(self.ours._ram, np.uint8)[: world.ram]
        self.their_memory = np.zeros(world.ram + 0x1000, np.uint8)
        place = -self.their_memory.ctypes.data % 0x1000
        self.their_memory = self.their_memory[place : place + world.ram]
        self.same = ctypes.CDLL(None).memcmp
        self.same.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
        self.accesses: list[tuple[int, int]] = []
        self.vector: int | None = None
        self.theirs = Uc(UC_ARCH_X86, UC_MODE_16 if world.bits == 16 else UC_MODE_32)
        self.theirs.mem_map_ptr(0, world.ram, UC_PROT_ALL, self.their_memory.ctypes.data)
        for name, base in world.bases.items():
            self.theirs.reg_write(getattr(ux, f"UC_X86_REG_{name.upper()}"), base >> 4)
        self.theirs.hook_add(UC_HOOK_INTR, self.interrupt)
        self.theirs.hook_add(UC_HOOK_MEM_READ | UC_HOOK_MEM_WRITE, self.access)
        self.fresh = self.theirs.context_save()

    def interrupt(self, uc: Uc, vector: int, _: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def access(self, uc: Uc, kind: int, address: int, size: int, value: int, _: object) -> None:
        self.accesses.append((address, size))

    def fill(self, rng: random.Random, cases: list[Case]) -> None:
        """Memory for some cases: the code of each in a place of its own, random data."""
        world = self.world
        self.memory[:] = 0
        code = b"".join((case.code + b"\xeb\xfe").ljust(SLOT, b"\x90") for case in cases)
        self.memory[world.code : world.code + len(code)] = np.frombuffer(code, np.uint8)
        for place in sorted({world.data, *world.bases.values()} - {world.code}):
            self.memory[place : place + 0x400] = np.frombuffer(rng.randbytes(0x400), np.uint8)
        near = [rng.randrange(world.ram if i & 1 else 1 << 32) for i in range(0x100)]  # RET goes there
        self.memory[world.stack - 0x100 : world.stack + 0x300] = np.array(near, np.uint32).view(np.uint8)
        self.level()
        self.theirs.ctl_flush_tb()  # its translations outlive what we write behind its back

    def level(self) -> None:
        """Give Unicorn the memory that we have, and both forget decoded code."""
        self.ours._host(self.ours._handle, HOST_NOTIFY_WRITE, 0, self.world.ram)
        self.their_memory[:] = self.memory

    def equal_memory(self) -> bool:
        return not self.same(self.memory.ctypes.data, self.their_memory.ctypes.data, self.world.ram)

    def run(self, case: Case, place: int) -> tuple[str, str]:
        """Execute one instruction on both; what each did ("ok", "fault n", ...)."""
        ours, theirs = self.ours, self.theirs
        if self.vector is not None:
            theirs.context_restore(self.fresh)  # a fault that nobody delivered would nest for ever
            self.vector = None
        self.accesses.clear()
        theirs.reg_write_batch(
            [*zip(UNICORN_REGISTERS, case.registers, strict=True), (ux.UC_X86_REG_EFLAGS, case.flags)]
        )
        c = ours._c
        for number, value in enumerate(case.registers):
            c[number] = value
        c[at.RIP] = place - self.world.bases.get("cs", 0)
        c[at.EFLAGS] = case.flags
        c[at.CC_RESULT], c[at.CC_CARRIES] = lazy_pair(case.flags)
        try:
            theirs.emu_start(place, place + len(case.code), count=1)  # it translates no further
            them = "ok" if self.vector is None else f"fault {self.vector}"
        except UcError as error:
            them = {unicorn.UC_ERR_INSN_INVALID: "fault 6"}.get(error.errno, f"error {error}")
        stop = ours.step()
        return f"fault {stop.vector}" if stop.reason == "exception" else "ok", them

    def aside(self, case: Case, place: int, us: str, them: str) -> str:
        """Why Unicorn has no say in what happened, or nothing."""
        operation, prefixes, real = case.row.operation, case.prefixes, self.world.bits == 16
        if them.startswith("error"):
            return "memory that Unicorn does not map"
        if operation in ("BSF", "BSR") and 0xF3 in prefixes:
            return "TZCNT and LZCNT for Unicorn"  # REP means nothing to a P6
        eip = self.theirs.reg_read(ux.UC_X86_REG_EIP)
        if us == "ok" and them == "ok" and eip == place - self.world.bases.get("cs", 0):
            page = place & ~0xFFF
            if any(a < page + 0x1000 and a + n > page for a, n in self.accesses):
                return "a store into its own page, which Unicorn restarts"
            if 0xF2 in prefixes and 0xF3 in prefixes:
                return "both REPs: Unicorn obeys the first"
        if us == them:
            return ""
        if us == "fault 6" and operation == "LEA":
            return "LEA of a register, which has no address"
        if us == "fault 13" and not real and [p for p in prefixes if p in OVERRIDES][-1:] == [0x2E]:
            return "stores into a code segment"
        if us in ("fault 12", "fault 13") and real:
            segments = case.segments(16)
            if eip > 0xFFFF or any(not self.world.inside(*access, segments) for access in self.accesses):
                return "limits of segments"
        return ""

    def difference(self, case: Case) -> str:
        """What is not the same after both have executed the instruction."""
        *registers, flags, eip = self.theirs.reg_read_batch(UNICORN_STATE)
        c, problems = self.ours._c, []
        for number, theirs in enumerate(registers):
            if c[number] != theirs:
                problems.append(f"{NAMES[number]} {c[number]:08x} {theirs:08x}")
        mask = case.defined_flags(self.world.bits) | 0x400
        ours = self.ours.cpu.eflags
        if (ours ^ flags) & mask:
            problems.append(f"EFLAGS {ours & mask:x} {flags & mask:x}")
        if c[at.RIP] != eip:
            problems.append(f"EIP {c[at.RIP]:08x} {eip:08x}")
        if not self.equal_memory():
            problems.append("memory")
        return ", ".join(problems)

    def judge(self, case: Case, place: int, counts: Counter[str]) -> str:
        """Run one case; a description of the difference, or nothing."""
        if bytes(self.memory[place : place + len(case.code)]) != case.code:
            counts["overwritten by an earlier case"] += 1
            return ""
        us, them = self.run(case, place)
        reason = self.aside(case, place, us, them)
        problem = ""
        if reason:
            counts[reason] += 1
        elif us != them:
            problem = f"ours {us}, Unicorn {them}"
        elif us == "ok":
            counts["executed"] += 1
            counts[f"executed {case.row.operation}"] += 1
            problem = self.difference(case)
        else:
            counts["faults"] += 1
            if [int(self.ours._c[i]) for i in range(8)] != case.registers:
                problem = f"registers changed before {us}"
        if problem or us != "ok" or reason:
            self.level()
        return f"{case}: {problem}" if problem else ""


def compared_rows() -> list[Row]:
    return [
        row
        for row in rows(frozenset(EXCLUDED))
        if not (row.operation == "TEST" and row.reg == 1)  # an alias that Unicorn refuses
        and not (row.operation == "RET" and row.operands)  # Unicorn takes the count for signed
        and not any(o in ("ES", "CS", "SS", "DS", "FS", "GS", "Sw", "Cd", "Dd") for o in row.operands)
    ]


def differences(world: World, seed: int, count: int) -> tuple[list[str], Counter[str]]:
    rng = random.Random(seed)
    chosen = compared_rows()
    pair, found = Pair(world), []
    counts: Counter[str] = Counter()
    for first in range(0, count, SLOTS):
        cases = [draw(rng, chosen[i % len(chosen)], world) for i in range(first, min(count, first + SLOTS))]
        pair.fill(rng, cases)
        for slot, case in enumerate(cases):
            problem = pair.judge(case, world.code + SLOT * slot, counts)
            if problem:
                found.append(problem)
        if len(found) > 100:
            break
    return found, counts


def check(world: World, seed: int, count: int) -> None:
    found, counts = differences(world, seed, count)
    print(dict(counts))
    assert not found, f"{len(found)} differences; the first ones:\n" + "\n".join(found[:40])
    assert counts["executed"] > 0.7 * count, counts
    for reason, most in MOST_ASIDE.items():
        assert counts[reason] <= 5 + most * count / 10_000, (reason, counts)


@pytest.mark.parametrize("name", WORLDS)
def test_random_instructions(name: str) -> None:
    check(WORLDS[name], seed=2026, count=8000)


def test_every_operation_is_executed() -> None:
    """In both worlds, each operation that is not excluded completes."""
    wanted = {row.operation for row in compared_rows()}
    for world in WORLDS.values():
        _, counts = differences(world, seed=5, count=len(compared_rows()) * 8)
        assert not {name for name in wanted if not counts[f"executed {name}"]}


PIECES = 20


@pytest.mark.long
@pytest.mark.parametrize("piece", range(PIECES))
@pytest.mark.parametrize("name", WORLDS)
def test_a_million_random_instructions(name: str, piece: int) -> None:
    total = int(os.environ.get("PYVIRT_CASES", "1000000"))
    check(WORLDS[name], seed=1000 + piece, count=total // (PIECES * len(WORLDS)))
