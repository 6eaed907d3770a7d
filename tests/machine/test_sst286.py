"""32,500 instructions as a real 80286 executed them (SingleStepTests by Daniel Balsom, MIT).

The data lies outside the repository: ../shared/sst286, or where PYVIRT_SST286 says. Each test
sets registers and memory, runs to the HLT that ends it and compares registers, memory and
flags. The flags that metadata.json calls undefined are masked, in the image that an
exception pushes too. What a 386 and later do differently on purpose is listed in EXCLUSIONS
with the place in the manual that says so; nothing else is left out.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pyvirt_edu import Machine

DATA = Path(os.environ.get("PYVIRT_SST286", Path(__file__).resolve().parents[3] / "shared" / "sst286"))
FILES = sorted(DATA.glob("*.jsonl.gz"))
WORDS = "ax bx cx dx sp bp si di".split()
SEGMENTS = "es cs ss ds".split()
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


#: (what differs, where the manual says so, which cases)
EXCLUSIONS: list[tuple[str, str, Callable[[Case], bool]]] = [
    (
        "LOCK where it is not allowed: the 80286 ignores it, later ones raise #UD",
        "volume 2, LOCK; volume 3B, Architecture Compatibility, LOCK",
        lambda case: 0xF0 in prefixes(case) and not lockable(case),
    ),
]


def excluded(case: Case) -> str | None:
    for what, _, applies in EXCLUSIONS:
        if applies(case):
            return what
    return None


class Bench:
    """One machine for all cases; only touched bytes are put back."""

    def __init__(self) -> None:
        self.machine = Machine(ram="16MiB", devices=())
        self.cpu = self.machine.cpu

    def run(self, case: Case, mask: int) -> list[str]:
        """Differences, as text; none is a pass."""
        machine, cpu = self.machine, self.cpu
        registers = case["initial"]["regs"]
        memory = dict(case["initial"]["ram"])
        for address, byte in memory.items():
            machine.write(address, bytes([byte]))
        for name in WORDS + SEGMENTS + ["ip"]:
            setattr(cpu, "e" + name if name in WORDS else name, registers[name])
        cpu.eflags = registers["flags"] & REAL_MODE_FLAGS | 2
        reason = machine.run(max_instructions=200_000).reason
        wrong = [] if reason == "halt" else [f"ended with {reason}"]

        expected = {**registers, **case["final"]["regs"]}
        for name in WORDS + SEGMENTS + ["ip"]:
            if getattr(cpu, name) != expected[name]:
                wrong.append(f"{name} {getattr(cpu, name):#x}, not {expected[name]:#x}")
        shown = mask & REAL_MODE_FLAGS
        if (cpu.eflags ^ expected["flags"]) & shown:
            wrong.append(f"flags {cpu.eflags & shown:#x}, not {expected['flags'] & shown:#x}")
        after = {**memory, **dict(case["final"]["ram"])}
        image = case.get("exception", {}).get("flags_address", -2)
        for address, byte in after.items():
            bits = 0xFF
            if address - image in (0, 1):  # of the flags that the exception pushed
                bits = shown >> 8 * (address - image) & 0xFF
            got = machine.read(address, 1)[0]
            if (got ^ byte) & bits:
                wrong.append(f"[{address:#x}] {got:#x}, not {byte:#x}")
        for address in after:
            machine.write(address, b"\0")
        return wrong

    def stray_bytes(self) -> int:
        """Bytes that were written where no case expects a write; all of RAM should be zero."""
        size = 16 << 20
        data = np.frombuffer(bytes(self.machine.read(0, size)), np.uint8)
        count = int(np.count_nonzero(data))
        if count:
            self.machine.write(0, bytes(size))
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
            if excluded(case) is None:
                wrong += [
                    f"{case['idx']} {case['name']} ({case['bytes']}): {text}"
                    for text in bench.run(case, mask)
                ]
    assert not wrong, "\n".join([f"{len(wrong)} differences", *wrong[:20]])
    assert bench.stray_bytes() == 0


@pytest.mark.skipif(not FILES, reason=f"no SingleStepTests data in {DATA}")
def test_little_is_excluded() -> None:
    total, left_out = 0, {what: 0 for what, _, _ in EXCLUSIONS}
    for path in FILES:
        with gzip.open(path, "rt") as lines:
            for line in lines:
                total += 1
                what = excluded(json.loads(line))
                if what is not None:
                    left_out[what] += 1
    assert total == 32_500
    assert all(left_out.values()), left_out  # an exclusion nothing needs is a mistake
    assert sum(left_out.values()) < total // 50, left_out
