"""String instructions: bulk, sliced and stepped runs against a model of one iteration.

The bulk path of strings.py must not be visible: registers, memory, flags and the count of
instructions are those of the same iterations done one at a time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.machine.state.layout import AF, ARITHMETIC, CF, DF, OF, PF, SF, ZF

CODE = 0x20000
SIZE = 0x10004  # what the operands can reach; a dword at FFFF leaves the 64 KiB by three bytes
OPCODES = {"MOVS": 0xA4, "CMPS": 0xA6, "STOS": 0xAA, "LODS": 0xAC, "SCAS": 0xAE}


@dataclass
class State:
    eax: int
    ecx: int
    esi: int
    edi: int
    eflags: int
    instructions: int = 0


@dataclass(frozen=True)
class Case:
    op: str
    size: int
    rep: int  # 0, or the prefix F3 or F2
    wide: bool  # 32-bit addresses

    @property
    def code(self) -> bytes:
        prefix = (b"\x66" if self.size == 2 else b"") + (b"" if self.wide else b"\x67")
        repeat = bytes([self.rep]) if self.rep else b""
        return prefix + repeat + bytes([OPCODES[self.op] | (self.size > 1), 0xF4])


def compare_flags(a: int, b: int, size: int) -> int:
    """The flags of a - b, from the definitions."""
    bits = 8 * size
    r = (a - b) & (1 << bits) - 1
    sign = lambda x: x >> (bits - 1) & 1  # noqa: E731
    flags = CF if a < b else 0
    flags |= ZF if r == 0 else 0
    flags |= SF if sign(r) else 0
    flags |= OF if sign(a) != sign(b) and sign(r) != sign(a) else 0
    flags |= AF if a & 15 < b & 15 else 0
    return flags | (PF if bin(r & 255).count("1") % 2 == 0 else 0)


def model(case: Case, s: State, memory: bytearray) -> State:
    """The operation section of REP and of the five instructions."""
    s = replace(s)
    mask, size = 0xFFFFFFFF if case.wide else 0xFFFF, case.size
    step = -size if s.eflags & DF else size
    put = lambda old, value: old & ~mask & 0xFFFFFFFF | value & mask  # noqa: E731
    while True:
        s.instructions += 1
        if case.rep and s.ecx & mask == 0:
            return s
        si, di = s.esi & mask, s.edi & mask
        load = lambda at: int.from_bytes(memory[at : at + size], "little")  # noqa: E731
        accumulator = s.eax & (1 << 8 * size) - 1
        if case.op == "MOVS":
            memory[di : di + size] = memory[si : si + size]
        elif case.op == "STOS":
            memory[di : di + size] = accumulator.to_bytes(size, "little")
        elif case.op == "LODS":
            s.eax = s.eax & ~((1 << 8 * size) - 1) | load(si)
        else:
            left = load(si) if case.op == "CMPS" else accumulator
            s.eflags = s.eflags & ~ARITHMETIC | compare_flags(left, load(di), size)
        if case.op in ("MOVS", "CMPS", "LODS"):
            s.esi = put(s.esi, si + step)
        if case.op != "LODS":
            s.edi = put(s.edi, di + step)
        if not case.rep:
            return s
        s.ecx = put(s.ecx, s.ecx - 1)
        if s.ecx & mask == 0:
            return s
        if case.op in ("CMPS", "SCAS") and bool(s.eflags & ZF) != (case.rep == 0xF3):
            return s


def start_state(case: Case, rng: random.Random) -> State:
    """Operands near each other and near page ends, so that they overlap and cross."""
    count = rng.choice([0, 1, 2, 3, 7, 40, 300, 1500])
    reach = (count + 1) * case.size
    down = rng.random() < 0.4
    if case.wide:
        low, high = (reach, 0xF000) if down else (0, 0xF000 - reach)
        esi = rng.randint(low, high)
        near = esi + rng.choice([-9, -8, -4, -3, -1, 0, 1, 2, 4, 5, 8, 9, 4096, 300])
        edi = near if low <= near <= high and rng.random() < 0.7 else rng.randint(low, high)
        ecx = count
    else:  # anywhere: 16-bit addresses wrap; the upper halves must not matter
        esi, edi = rng.getrandbits(32), rng.getrandbits(32)
        ecx = rng.getrandbits(16) << 16 | count
    flags = 2 | rng.getrandbits(12) & ARITHMETIC | (DF if down else 0)
    eax = rng.choice([0, 0x20202020, rng.getrandbits(32)])
    return State(eax, ecx, esi, edi, flags)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine(ram="1MiB", devices=())


def run(
    machine: Machine, case: Case, s: State, memory: bytes, slices: random.Random | None
) -> tuple[State, int]:
    """To the HLT, whole or in slices of random length; the state, and cycles taken."""
    machine.write(0, memory)
    machine.load(case.code, at=CODE)
    machine.enter_protected_mode(eip=CODE, esp=0x90000)
    cpu = machine.cpu
    cpu.eax, cpu.ecx, cpu.esi, cpu.edi, cpu.eflags = s.eax, s.ecx, s.esi, s.edi, s.eflags
    before, cycles = machine.instructions, machine.cycles
    hlt = CODE + len(case.code) - 1
    while cpu.eip != hlt:
        left = s.instructions - (machine.instructions - before)
        assert left > 0, "more instructions than iterations"
        machine.run(max_instructions=left if slices is None else min(left, slices.choice([1, 2, 3, 17, 500])))
    state = State(cpu.eax, cpu.ecx, cpu.esi, cpu.edi, cpu.eflags, machine.instructions - before)
    return state, machine.cycles - cycles


@pytest.mark.parametrize("wide", [True, False], ids=["esi", "si"])
@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("op", OPCODES)
def test_against_the_model(machine: Machine, op: str, size: int, wide: bool) -> None:
    rng = random.Random(f"{op} {size} {wide}")
    for _ in range(25):
        case = Case(op, size, rng.choice([0, 0xF3, 0xF3, 0xF2]), wide)
        period = rng.choice([1, 3, 256])  # long runs of equals make CMPS and SCAS go on
        pattern = rng.randbytes(period)
        memory = bytearray((pattern * (SIZE // period + 1))[:SIZE])
        for _ in range(rng.choice([0, 3])):
            memory[rng.randrange(SIZE)] ^= 1
        start, original = start_state(case, rng), bytes(memory)
        if op == "SCAS" and rng.random() < 0.7:
            start.eax = int.from_bytes((pattern * 4)[:4], "little")
        expected = model(case, start, memory)
        start.instructions = expected.instructions
        cycles = set()
        for slices in (None, rng):
            state, taken = run(machine, case, start, original, slices)
            cycles.add(taken)
            assert state == expected, case
            assert machine.read(0, SIZE) == bytes(memory), case
        assert len(cycles) == 1, case


def test_rep_stops_at_a_fault_with_the_registers_of_that_iteration() -> None:
    """A word at offset FFFF in real mode is #GP."""
    real = Machine(ram="1MiB", devices=())
    real.load(b"\xf3\xab\xf4", at=0x7C00)  # rep stosw
    real.write(13 * 4, b"\x00\x06\x00\x00")  # #GP goes to 0000:0600
    real.load(b"\xf4", at=0x600)
    cpu = real.cpu
    cpu.cs, cpu.eip, cpu.es, cpu.ss, cpu.esp = 0, 0x7C00, 0x1000, 0x3000, 0x100
    cpu.eax, cpu.ecx, cpu.edi, cpu.eflags = 0x1234, 10, 0xFFF9, 2
    assert real.run(max_instructions=50).reason == "halt"
    assert (cpu.ecx, cpu.edi) == (7, 0xFFFF)
    assert real.read(0x1FFF9, 6) == b"\x34\x12" * 3
    assert int.from_bytes(real.read(0x300FA, 2), "little") == 0x7C00  # the instruction itself


def paged(missing: int) -> Machine:
    """Identity paging of the first MiB but one page."""
    machine = Machine(ram="1MiB", devices=())
    machine.write(0x80000, (0x81003).to_bytes(4, "little"))
    for page in range(256):
        entry = 0 if page == missing else page << 12 | 3
        machine.write(0x81000 + 4 * page, entry.to_bytes(4, "little"))
    machine.enter_protected_mode(eip=CODE, esp=0x90000)
    machine.cpu.cr3 = 0x80000
    machine.cpu.cr0 |= 0x80000000
    machine.break_on(14)
    return machine


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("missing", ["source", "destination"])
def test_page_fault_in_the_middle(missing: str, down: bool) -> None:
    """REP MOVSD over a page that is not there: everything before it is done, CR2 is the place."""
    machine = paged(0x31 if missing == "source" else 0x41)
    cpu = machine.cpu
    machine.load(b"\xf3\xa5\xf4", at=CODE)
    data = random.Random(1).randbytes(0x3000)
    machine.write(0x30000, data)
    cpu.esi, cpu.edi, cpu.ecx = (0x32FFC, 0x42FFC, 3072) if down else (0x30000, 0x40000, 3072)
    cpu.eflags = 2 | (DF if down else 0)
    before = machine.instructions
    exit = machine.run(max_instructions=10_000)
    assert (exit.reason, exit.vector, exit.error_code) == ("exception", 14, 0 if missing == "source" else 2)
    assert (cpu.ecx, machine.instructions - before) == (2048, 1024)
    first = 0x1FFC if down else 0x1000
    assert (cpu.esi, cpu.edi, cpu.eip) == (0x30000 + first, 0x40000 + first, CODE)
    assert cpu.cr2 == (0x30000 if missing == "source" else 0x40000) + first
    done = slice(0x2000, 0x3000) if down else slice(0, 0x1000)
    assert machine.read(0x40000 + done.start, 0x1000) == data[done]
    # the page appears, and the instruction goes on where it was
    page = cpu.cr2 >> 12
    machine.write(0x81000 + 4 * page, (page << 12 | 3).to_bytes(4, "little"))
    machine.clear_break_on()
    assert machine.run(max_instructions=10_000).reason == "halt"
    assert (cpu.ecx, machine.instructions - before) == (0, 3073)
    assert machine.read(0x40000, 0x3000) == data


def test_counts_do_not_depend_on_slices_with_paging() -> None:
    """Accesses, misses and cycles of a copy over six pages, whole and one instruction at a time."""
    ledgers = []
    for limit in (100_000, 1, 7):
        machine = paged(0xFF)
        machine.load(b"\xf3\xa5\xf4", at=CODE)
        cpu = machine.cpu
        cpu.esi, cpu.edi, cpu.ecx = 0x30400, 0x40800, 3000
        while machine.run(max_instructions=limit).reason == "limit":
            pass
        ledgers.append((machine.instructions, machine.cycles, repr(machine.ledger)))
    assert ledgers[0] == ledgers[1] == ledgers[2]


def test_devices() -> None:
    """REP INSW, OUTSB and MOVSB with devices: one access an iteration, in order."""
    machine = Machine(ram="1MiB", devices=())
    queue, written, seen = [0x1122, 0x3344, 0x5566], [], []
    machine.on_port(0x1F0, read=lambda port, size: queue.pop(0), count=2)
    machine.on_port(0x3F8, write=lambda port, value, size: written.append((value, size)))
    machine.on_mmio(
        0xC0000,
        0x1000,
        read=lambda at, size: at & 0xFF,
        write=lambda at, value, size: seen.append((at, value)),
    )
    # mov dx,1F0h; rep insw; mov dx,3F8h; rep outsb; rep movsb twice (from and to the device)
    machine.load(
        bytes.fromhex("66BAF001 66F36D 66BAF803 B105 BE00050000 F36E")
        + bytes.fromhex("B104 BE10000C00 BF00060000 F3A4 B103 BE00050000 BF20000C00 F3A4 F4"),
        at=CODE,
    )
    machine.enter_protected_mode(eip=CODE, esp=0x90000)
    cpu = machine.cpu
    cpu.ecx, cpu.edi = 3, 0x500
    before = machine.instructions
    assert machine.run(max_instructions=1000).reason == "halt"
    data = bytes.fromhex("221144336655")
    assert machine.read(0x500, 6) == data
    assert written == [(byte, 1) for byte in data[:5]]
    assert machine.read(0x600, 4) == bytes([0x10, 0x11, 0x12, 0x13])
    assert seen == [(0xC0020 + i, data[i]) for i in range(3)]
    assert machine.instructions - before == 3 + 5 + 4 + 3 + 11  # the iterations and the rest
    assert not queue


def test_ins_asks_whether_it_may_write_before_it_reads() -> None:
    machine = paged(0x31)
    reads = []
    machine.on_port(0x60, read=lambda port, size: reads.append(port) or 0x42)
    machine.load(b"\x6c\xf4", at=CODE)  # insb
    cpu = machine.cpu
    cpu.edi, cpu.edx = 0x31000, 0x60
    assert machine.run(max_instructions=10).vector == 14
    assert reads == []
    machine.write(0x81000 + 4 * 0x31, (0x31003).to_bytes(4, "little"))
    assert machine.run(max_instructions=10).reason == "halt"
    assert reads == [0x60]
    assert machine.read(0x31000, 1) == b"\x42"


def test_a_watchpoint_inside_the_bulk_stops_after_its_iteration() -> None:
    machine = Machine(ram="1MiB", devices=())
    machine.load(b"\xf3\xaa\xf4", at=CODE)  # rep stosb
    machine.enter_protected_mode(eip=CODE, esp=0x90000)
    machine.watch(0x31234, 1)
    cpu = machine.cpu
    cpu.eax, cpu.ecx, cpu.edi = 0x55, 0x3000, 0x30000
    assert machine.run(max_instructions=100_000).reason == "watchpoint"
    assert (cpu.edi, cpu.ecx, cpu.eip) == (0x31235, 0x3000 - 0x1235, CODE)
    assert machine.read(0x31234, 2) == b"\x55\0"
    assert machine.run(max_instructions=100_000).reason == "halt"
    assert machine.instructions == 0x3001


def test_a_string_store_over_its_own_code() -> None:
    """REP STOSB writes HLT over itself: the next iteration is the HLT."""
    machine = Machine(ram="1MiB", devices=())
    machine.load(b"\xf3\xaa\x90\x90\xeb\xfe", at=CODE)
    machine.enter_protected_mode(eip=CODE, esp=0x90000)
    cpu = machine.cpu
    cpu.eax, cpu.ecx, cpu.edi = 0xF4, 100, CODE - 10
    assert machine.run(max_instructions=1000).reason == "halt"
    assert (cpu.ecx, cpu.edi, cpu.eip) == (89, CODE + 1, CODE + 1)
    assert machine.instructions == 12


@pytest.mark.parametrize("code", ["F3AB", "F3A4", "F3A5", "F3A6", "F3AC"])
def test_a_limit_falls_between_iterations(code: str) -> None:
    """Each iteration is an instruction, done in bulk or not: a run of n does n of them, no more."""
    machine = Machine(ram="1MiB", devices=())
    machine.load(bytes.fromhex(code) + b"\xf4", at=CODE)
    machine.enter_protected_mode(eip=CODE, esp=0x90000)
    cpu = machine.cpu
    cpu.ecx, cpu.esi, cpu.edi = 1000, 0x30000, 0x40000
    left = 1000
    for n in (1, 2, 7, 100, 500):
        machine.run(max_instructions=n)
        left -= n
        assert (cpu.ecx, cpu.eip, machine.instructions) == (left, CODE, 1000 - left)
    cycles = machine.cycles
    machine.run(max_cycles=11)
    assert cycles + 11 <= machine.cycles < cycles + 11 + 20
    assert cpu.ecx > left - 12
