"""32,500 instructions as a real 80286 executed them (SingleStepTests by Daniel Balsom, MIT).

The data lies outside the repository: ../shared/sst286, or where PYVIRT_SST286 says. Each test
sets registers and memory, runs to the HLT that ends it and compares registers, memory and
flags. The flags that metadata.json calls undefined are masked, in the image that an
exception pushes too. What a 386 and later do differently on purpose is listed in EXCLUSIONS
with the place in the manual that says so, and checked to be so; nothing else is left out.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyvirt_edu import Machine

DATA = Path(os.environ.get("PYVIRT_SST286", Path(__file__).resolve().parents[4] / "shared" / "sst286"))
FILES = sorted(DATA.glob("*.jsonl.gz"))
WORDS = "ax bx cx dx sp bp si di".split()
SEGMENTS = "es cs ss ds".split()
RAM = 16 << 20
REAL_MODE_FLAGS = 0x0FFF  # IOPL and NT cannot be set on that chip in real mode

Case = dict[str, Any]


def body(case: Case) -> bytes:
    """The instruction without its prefixes."""
    code = bytes.fromhex(case["bytes"])
    while code[0] in (0x26, 0x2E, 0x36, 0x3E, 0xF0, 0xF2, 0xF3):
        code = code[1:]
    return code


def prefixes(case: Case) -> bytes:
    code = bytes.fromhex(case["bytes"])
    return code[: len(code) - len(body(case))]


def lockable(case: Case) -> bool:
    """What the manual's LOCK page allows: a read-modify-write with its destination in memory."""
    opcode, modrm = (body(case) + b"\0")[:2]
    reg = modrm >> 3 & 7
    if opcode < 0x38:
        allowed = opcode & 6 == 0  # ADD OR ADC SBB AND SUB XOR Eb,Gb and Ev,Gv
    elif opcode in (0x86, 0x87):
        allowed = True
    elif 0x80 <= opcode <= 0x83:
        allowed = reg != 7
    elif opcode in (0xF6, 0xF7):
        allowed = reg in (2, 3)
    else:
        allowed = opcode in (0xFE, 0xFF) and reg < 2
    return allowed and modrm < 0xC0


def vector_of(case: Case) -> int | None:
    return case["exception"]["number"] if "exception" in case else None


def uses_stack(case: Case) -> bool:
    """POP, LEAVE, RETF, or an operand in SS."""
    opcode, modrm = body(case)[:2]
    if opcode in (0x07, 0x17, 0x1F, 0xC9, 0xCA, 0xCB):
        return True
    override = [code for code in prefixes(case) if code in (0x26, 0x2E, 0x36, 0x3E)]
    if override:
        return override[-1] == 0x36
    mod, rm = modrm >> 6, modrm & 7
    return mod != 3 and (rm in (2, 3) or (rm == 6 and mod != 0)) and opcode not in STRINGS


@dataclass(frozen=True)
class Difference:
    """Something later processors do otherwise, and what they do instead: that is checked too."""

    what: str
    manual: str
    applies: Callable[[Case], bool]
    vector: int | None = None  #: this exception, with the registers as before
    no_fault: bool = False  #: the instruction completes
    open: str = ""  #: these registers are not compared, all else is


EXCLUSIONS = [
    Difference(
        "LOCK where it is not allowed: the 80286 ignores it, later ones raise #UD",
        "volume 2, LOCK, exceptions in real-address mode",
        lambda case: 0xF0 in prefixes(case) and not lockable(case),
        vector=6,
    ),
    Difference(
        "a stack operand past offset FFFF: the 80286 raises interrupt 13, later ones #SS",
        "volume 3B, 8086 Emulation, table of real-address mode exceptions, vector 12",
        lambda case: vector_of(case) == 13 and len(body(case)) <= 11 and uses_stack(case),
        vector=12,
    ),
    Difference(
        "an instruction of more than 10 bytes: interrupt 13; the limit is 15 since the 80386",
        "volume 2, 2.3.11; volume 3B, Architecture Compatibility",
        lambda case: vector_of(case) == 13 and len(case["bytes"]) // 2 - 1 > 10,
        no_fault=True,
    ),
    Difference(
        "MOV to and from FS and GS: segment registers since the 80386, #UD before",
        "volume 3B, Architecture Compatibility, new registers of the Intel386",
        lambda case: body(case)[0] in (0x8C, 0x8E) and body(case)[1] >> 3 & 7 in (4, 5),
        no_fault=True,
    ),
    Difference(
        "a string instruction past offset FFFF: the 80286 has moved SI, DI and CX already",
        "volume 3A, 6.5: a fault leaves the state as it was before the instruction",
        lambda case: vector_of(case) == 13 and body(case)[0] in STRINGS,
        open="si di cx",
    ),
]
STRINGS = (0x6D, 0x6F, 0xA5, 0xA7, 0xAB, 0xAD, 0xAF)


def difference(case: Case) -> Difference | None:
    return next((item for item in EXCLUSIONS if item.applies(case)), None)


class Bench:
    """One machine for all cases; only touched bytes are put back."""

    def __init__(self) -> None:
        self.machine = Machine(ram=RAM, devices=())
        self.cpu = self.machine.cpu

    def run(self, case: Case, mask: int) -> list[str]:
        """What is wrong, as text; nothing is a pass."""
        known = difference(case)
        if known is not None and (known.vector or known.no_fault):
            return self.run_as_documented(case, known)
        machine, cpu = self.machine, self.cpu
        registers, memory = self.load(case)
        reason = machine.run(max_instructions=200_000).reason
        wrong = [] if reason == "halt" else [f"ended with {reason}"]

        expected = {**registers, **case["final"]["regs"]}
        for name in [*WORDS, *SEGMENTS, "ip"]:
            if getattr(cpu, name) != expected[name] and not (known and name in known.open.split()):
                wrong.append(f"{name} {getattr(cpu, name):#x}, not {expected[name]:#x}")
        shown = mask & REAL_MODE_FLAGS
        if (cpu.eflags ^ expected["flags"]) & shown:
            wrong.append(f"flags {cpu.eflags & shown:#x}, not {expected['flags'] & shown:#x}")
        after = {**memory, **dict(case["final"]["ram"])}
        image = -2
        if "exception" in case:  # the suite gives the even address
            image = case["exception"]["flags_address"] + (expected["sp"] & 1)
        for address, byte in after.items():
            bits = 0xFF
            if address - image in (0, 1):  # of the flags that the exception pushed
                bits = shown >> 8 * (address - image) & 0xFF
            got = machine.read(address, 1)[0]
            if (got ^ byte) & bits:
                wrong.append(f"[{address:#x}] {got:#x}, not {byte:#x}")
        for address in after:
            machine.write(address, b"\0")
        if wrong:  # it may have run away, and left real mode or written anywhere
            machine.reset()
            self.clear()
        return wrong

    def load(self, case: Case) -> tuple[dict[str, int], dict[int, int]]:
        registers = case["initial"]["regs"]
        memory = dict(case["initial"]["ram"])
        for address, byte in memory.items():
            self.machine.write(address, bytes([byte]))
        for name in [*WORDS, "ip"]:
            setattr(self.cpu, "e" + name, registers[name])
        for name in SEGMENTS:
            setattr(self.cpu, name, registers[name])
        self.cpu.eflags = registers["flags"] & REAL_MODE_FLAGS | 2
        return registers, memory

    def run_as_documented(self, case: Case, known: Difference) -> list[str]:
        """The manual says how later processors differ: does this one?"""
        machine, cpu = self.machine, self.cpu
        registers, memory = self.load(case)
        for vector in (6, 12, 13):
            machine.break_on(vector)
        exit = machine.run(max_instructions=1)
        for vector in (6, 12, 13):
            machine.clear_break_on(vector)
        wrong = []
        if exit.vector != known.vector:
            wrong.append(f"vector {exit.vector}, not {known.vector}: {known.what}")
        if known.vector:
            wrong += [
                f"{name} changed"
                for name in [*WORDS, *SEGMENTS, "ip"]
                if getattr(cpu, name) != registers[name]
            ]
        machine.reset()
        if known.no_fault:
            self.clear()  # it may have written anywhere
        for address in {*memory, *dict(case["final"]["ram"])}:
            machine.write(address, b"\0")
        return wrong

    def clear(self) -> None:
        self.machine.write(0, bytes(RAM))

    def stray_bytes(self) -> int:
        """Bytes that were written where no case expects a write; all of RAM should be zero."""
        data = np.frombuffer(self.machine.read(0, RAM), np.uint8)
        count = int(np.count_nonzero(data))
        if count:
            self.clear()
        return count


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench()


def flags_mask(name: str) -> int:
    """The defined flags of an opcode, named as its file."""
    opcodes = json.loads((DATA / "metadata.json").read_text())["opcodes"]
    opcode, _, reg = name.partition(".")
    row = opcodes[opcode]["reg"][reg] if reg else opcodes[opcode]
    return row.get("flags-mask", 0xFFFF)


@pytest.mark.skipif(not FILES, reason=f"no SingleStepTests data in {DATA}")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.partition(".jsonl")[0])
def test_as_the_chip_did(bench: Bench, path: Path) -> None:
    mask = flags_mask(path.name.partition(".jsonl")[0])
    wrong = []
    with gzip.open(path, "rt") as lines:
        for line in lines:
            case = json.loads(line)
            name = f"{case['idx']} {case['name']} ({case['bytes']})"
            wrong += [f"{name}: {text}" for text in bench.run(case, mask)]
    assert not wrong, "\n".join([f"{len(wrong)} differences", *wrong[:20]])
    assert bench.stray_bytes() == 0


@pytest.mark.skipif(not FILES, reason=f"no SingleStepTests data in {DATA}")
def test_little_is_different() -> None:
    total, found = 0, {item.what: 0 for item in EXCLUSIONS}
    for path in FILES:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                total += 1
                known = difference(json.loads(line))
                if known is not None:
                    found[known.what] += 1
    assert total == 32_500
    assert all(found.values()), found  # an exclusion nothing needs is a mistake
    assert sum(found.values()) < total // 50, found
