"""The lazy flags against the manual's definitions (volume 1, 3.4.3.1 and appendix B)."""

from __future__ import annotations

import numpy as np
import pytest

from pyvirt_edu.machine.state import flags, layout
from pyvirt_edu.machine.state.layout import AF, ARITHMETIC, CF, DF, IF, IOPL_MASK, OF, PF, SF, TF, ZF

from ..core_bench import Bench

u64 = np.uint64
ALL = [sum(bit for i, bit in enumerate((CF, PF, AF, ZF, SF, OF)) if number >> i & 1) for number in range(64)]


@pytest.mark.parametrize("wanted", ALL)
def test_any_six_flags_come_back(wanted: int) -> None:
    result, carries = flags.result_for(u64(wanted)), flags.carries_for(u64(wanted))
    assert flags.get_arithmetic(u64(result), u64(carries)) == wanted


def test_conditions() -> None:
    for value in ALL:
        cf, pf, zf, sf, of = (bool(value & bit) for bit in (CF, PF, ZF, SF, OF))
        manual = [of, cf, zf, cf or zf, sf, pf, sf != of, zf or sf != of]
        result, carries = u64(flags.result_for(u64(value))), u64(flags.carries_for(u64(value)))
        for code in range(16):
            expected = manual[code // 2] != bool(code % 2)
            assert flags.condition(u64(code), result, carries) == expected, (hex(value), code)


def test_parity_is_of_the_low_byte() -> None:
    for value in range(512):
        assert flags.parity(u64(value)) == (bin(value & 0xFF).count("1") % 2 == 0)


@pytest.mark.parametrize(("value", "size", "expected"), [
    (0x7F, 1, 0x7F), (0x80, 1, 0xFFFFFF80), (0x1FF, 1, 0xFFFFFFFF),
    (0x7FFF, 2, 0x7FFF), (0x8000, 2, 0xFFFF8000), (0x80000000, 4, 0x80000000), (1 << 33, 4, 0),
])  # fmt: skip
def test_sign_extend(value: int, size: int, expected: int) -> None:
    assert flags.sign_extend(u64(value), u64(size)) == expected


def test_whole_register() -> None:
    bench = Bench()
    assert flags.read_eflags(bench.m) & ~ARITHMETIC == 2  # bit 1 is always set
    flags.write_eflags(bench.m, u64(0xFFFFFFFF), u64(ARITHMETIC | IF | DF))
    assert flags.read_eflags(bench.m) == ARITHMETIC | IF | DF | 2
    # bits outside the mask stay
    flags.write_eflags(bench.m, u64(IOPL_MASK | CF), u64(ZF | DF | IOPL_MASK))
    assert flags.read_eflags(bench.m) == (ARITHMETIC & ~ZF) | IF | IOPL_MASK | 2


@pytest.mark.parametrize(("before", "value", "noticed"), [
    (0, 0, 0), (0, CF | DF, 0), (0, IF, 1), (IF, IF, 0), (IF, 0, 1), (0, TF, 1), (TF, TF, 1), (TF, 0, 1),
    (0, layout.RF, 1),
])  # fmt: skip
def test_what_the_loop_must_look_at(before: int, value: int, noticed: int) -> None:
    bench = Bench()
    mask = u64(TF | IF | DF | layout.RF | ARITHMETIC)
    flags.write_eflags(bench.m, u64(before), mask)
    bench.words[layout.ATTENTION] = 0
    flags.write_eflags(bench.m, u64(value), mask)
    assert bench.words[layout.ATTENTION] == noticed
