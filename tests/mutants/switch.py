"""Which mutant a process is: copied into the package as ``machine/mutant_switch.py``."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

MOST = 4096  # numbers of mutants are below
PLACE = 0x10_0000_0000  # a piece of our own, where nothing else is mapped: the number, and marks
MARKS = PLACE + 4096
FIXED_NOREPLACE = 0x100000

_map = ctypes.CDLL(None, use_errno=True).mmap
_map.restype = ctypes.c_void_p
_map.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_FLAGS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | FIXED_NOREPLACE
if _map(PLACE, 4096 + MOST, mmap.PROT_READ | mmap.PROT_WRITE, _FLAGS, -1, 0) != PLACE:
    raise OSError("no room for the number of the mutant")
_number = ctypes.c_uint64.from_address(PLACE)
_marks = (ctypes.c_uint8 * MOST).from_address(MARKS)


@intrinsic
def awake(typing: Any, number: Any) -> Any:
    """In machine code: is this process mutant ``number``? Its place has been reached."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        byte, word = ir.IntType(8), ir.IntType(64)
        mark = builder.add(arguments[0], word(MARKS))
        builder.store(byte(1), builder.inttoptr(mark, byte.as_pointer()))
        current = builder.load(word(PLACE).inttoptr(word.as_pointer()))
        return builder.icmp_unsigned("==", current, arguments[0])

    return types.boolean(types.uint64), generate


def awake_in_python(number: int) -> bool:
    """The same in Python."""
    _marks[number] = 1
    return _number.value == number


def wake(number: int) -> None:
    """Be this mutant from now on; 0 is none."""
    _number.value = number


def reached() -> list[int]:
    """The mutants whose places were reached since the last call."""
    found = [number for number, mark in enumerate(bytes(_marks)) if mark]
    ctypes.memset(MARKS, 0, MOST)
    return found
