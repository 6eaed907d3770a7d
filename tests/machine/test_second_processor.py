"""The arrays hold a second processor: what is shared is shared, and code written by one is seen
by the other. `Machine` has one processor so far; here the handle is switched by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.costs import CostModel
from pyvirt_edu.machine.decode.decoder_tables import decoder_tables
from pyvirt_edu.machine.state import jit
from pyvirt_edu.machine.state import layout as L
from pyvirt_edu.machine.state.arrays import Arrays

SWITCHED = ((L.H_CPU, "words"), (L.H_FAST, "fast"), (L.H_TLB, "tlb"), (L.H_LINKS, "links"))

LOCKED_COUNT = """
again:
    mov eax, 1
.lock:
    xchg eax, [0x500]
    test eax, eax
    jne .lock
    inc dword [0x504]
    mov dword [0x500], 0
    dec ecx
    jne again
    hlt
"""


class Pair:
    """Two processors in flat protected mode over one RAM."""

    def __init__(self) -> None:
        start = Machine(ram="1MiB", devices=(), history=False)
        start.enter_protected_mode(eip=0x10000, esp=0x90000)
        self.arrays = Arrays(1 << 20, 2, CostModel().array(), decoder_tables())
        self.arrays.connect(jit.entry_points())
        self.arrays.words[:] = start._a.words
        self.call = jit.ENTRY_TYPE(jit.entry_points()["run"])

    def put(self, source: str, at: int) -> None:
        code = np.frombuffer(bytes(assemble(source, bits=32, origin=at)), np.uint8)
        self.arrays.ram[at : at + len(code)] = code

    def run(self, number: int, steps: int, eip: int | None = None) -> int:
        a = self.arrays
        for slot, name in SWITCHED:
            a.handle[slot] = getattr(a, name)[number].ctypes.data
        row = a.words[number]
        if eip is not None:
            row[L.RIP], row[L.HALTED] = eip, 0
        row[L.INSTRUCTION_LIMIT] = row[L.INSTRUCTIONS] + np.uint64(steps)
        row[L.RUN_DEADLINE] = L.NEVER
        return int(self.call(a.handle.ctypes.data, 0, 0, 0))


@pytest.mark.parametrize("quantum", [1, 7, 37, 1000])
def test_a_lock_holds(quantum: int) -> None:
    pair = Pair()
    pair.put(LOCKED_COUNT, 0x10000)
    pair.arrays.words[:, L.RCX] = 300
    running = {0, 1}
    while running:
        running = {n for n in running if pair.run(n, quantum) != L.EXIT_HLT}
    assert int.from_bytes(pair.arrays.ram[0x504:0x508].tobytes(), "little") == 600


def test_one_patches_what_the_other_runs() -> None:
    """The first stores before the page holds code, so its fast path knows the page; then the
    second runs it, and the first stores again."""
    pair = Pair()
    pair.put("mov eax, 1\nhlt", 0x20000)
    for value in (7, 9, 11):
        pair.put(f"mov dword [0x20001], {value}\nhlt", 0x30000 + 256 * value)
    pair.run(0, 9, eip=0x30000 + 256 * 7)
    pair.run(0, 9, eip=0x30000 + 256 * 9)
    pair.run(1, 9, eip=0x20000)
    assert pair.arrays.words[1, L.RAX] == 9
    pair.run(0, 9, eip=0x30000 + 256 * 11)
    pair.run(1, 9, eip=0x20000)
    assert pair.arrays.words[1, L.RAX] == 11
