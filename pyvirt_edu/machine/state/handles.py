"""What every function of the core starts from: the handle, and the arrays behind it.

``m`` is the address of the handle (see layout.py). The views below are plain array headers
over memory that NumPy owns; making one costs a load.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from .jit import CHECKED, core, core_hot, core_inlined
from .layout import (
    BLOCK_DTYPE,
    BLOCK_ROOM,
    CPU_WORDS,
    DEVICE_BYTES,
    DEVICE_WORDS,
    EVENT,
    EVENT_ERROR,
    EVENT_FAULT,
    FAST_DTYPE,
    FAST_ROWS,
    H_ALL_FAST,
    H_ALL_LINKS,
    H_BLOCKS,
    H_BREAKPOINTS,
    H_BUCKETS,
    H_CODE_USED,
    H_COSTS,
    H_CPU,
    H_CPUS,
    H_DECODE,
    H_DEVICE_BYTES,
    H_DEVICES,
    H_FAST,
    H_LINKS,
    H_PAGE_BLOCKS,
    H_PAGE_CODE,
    H_PAGE_FLAGS,
    H_PORTS,
    H_RAM,
    H_RAM_SIZE,
    H_REGIONS,
    H_ROWS,
    H_TLB,
    H_TRACE,
    H_TRACE_CPU,
    H_TRACE_ROOM,
    H_UNITS,
    H_UOPS,
    H_WATCHES,
    HANDLE_WORDS,
    HASH_ROOM,
    LEDGER,
    LINK_DTYPE,
    LINK_ENTRIES,
    MAX_BREAKPOINTS,
    MAX_REGIONS,
    TLB_DTYPE,
    TLB_ROWS,
    UOP_DTYPE,
    UOP_ROOM,
)

# opcode to row: 2 maps x 256 opcodes x 8 reg values; then 8 escapes x 64 register forms
DECODE_WORDS = 4096 + 512
ROW_WORDS = 8
ROW_ROOM = 1024


@intrinsic
def _array(typing, address, count, dtype):
    """An array header over memory that somebody else owns; needs no reference counts."""
    array_type = types.Array(dtype.dtype, 1, "C")

    def generate(context, builder, signature, arguments):
        array = context.make_array(array_type)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(dtype.dtype)))
        data = builder.inttoptr(arguments[0], array.data.type)
        populate_array(array, data=data, shape=[arguments[1]], strides=[size], itemsize=size, meminfo=None)
        return array._getvalue()

    return array_type(types.uint64, types.uint64, dtype), generate


@intrinsic
def _word_at(typing, address):
    def generate(context, builder, signature, arguments):
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(64).as_pointer()))

    return types.uint64(types.uint64), generate


@intrinsic
def _call(typing, entry, m, a, b, c):
    def generate(context, builder, signature, arguments):
        word = ir.IntType(64)
        function = builder.inttoptr(arguments[0], ir.FunctionType(word, [word] * 4).as_pointer())
        return builder.call(function, arguments[1:])

    return types.uint64(*[types.uint64] * 5), generate


def _raw_load(bits: int) -> Any:
    @intrinsic
    def load(typing, array, offset):
        def generate(context, builder, signature, arguments):
            data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
            place = builder.gep(data, [arguments[1]])
            value = builder.load(builder.bitcast(place, ir.IntType(bits).as_pointer()))
            value.align = 1
            return value if bits == 64 else builder.zext(value, ir.IntType(64))

        return types.uint64(array, types.uint64), generate

    return load


def _raw_store(bits: int) -> Any:
    @intrinsic
    def store(typing, array, offset, value):
        def generate(context, builder, signature, arguments):
            data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
            place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(bits).as_pointer())
            value = arguments[2] if bits == 64 else builder.trunc(arguments[2], ir.IntType(bits))
            builder.store(value, place).align = 1
            return context.get_dummy_value()

        return types.void(array, types.uint64, types.uint64), generate

    return store


_load8, _load16, _load32, _load64 = (_raw_load(bits) for bits in (8, 16, 32, 64))
_store8, _store16, _store32, _store64 = (_raw_store(bits) for bits in (8, 16, 32, 64))


@core
def _check(array, offset, size):
    """In the checked configuration, refuse to touch a byte outside the array."""
    if CHECKED and (offset >= np.uint64(array.size) or offset + size > np.uint64(array.size)):
        raise IndexError("the core left its own memory")


@core
def load_u8(array, offset):
    _check(array, offset, 1)
    return _load8(array, offset)


@core
def load_u16(array, offset):
    _check(array, offset, 2)
    return _load16(array, offset)


@core
def load_u32(array, offset):
    _check(array, offset, 4)
    return _load32(array, offset)


@core
def load_u64(array, offset):
    _check(array, offset, 8)
    return _load64(array, offset)


@core
def store_u8(array, offset, value):
    _check(array, offset, 1)
    _store8(array, offset, value)


@core
def store_u16(array, offset, value):
    _check(array, offset, 2)
    _store16(array, offset, value)


@core
def store_u32(array, offset, value):
    _check(array, offset, 4)
    _store32(array, offset, value)


@core
def store_u64(array, offset, value):
    _check(array, offset, 8)
    _store64(array, offset, value)


@core_inlined
def handle(m):
    return _array(m, HANDLE_WORDS, np.uint64)


@core_inlined
def word(m, slot):
    return _word_at(m + slot * 8)


@core_inlined
def cpu(m):
    return _array(word(m, H_CPU), CPU_WORDS, np.uint64)


@core_inlined
def traced_cpu(m):
    return _array(word(m, H_TRACE_CPU), CPU_WORDS, np.uint64)


@core_inlined
def ram(m):
    return _array(word(m, H_RAM), word(m, H_RAM_SIZE), np.uint8)


@core_inlined
def page_flags(m):
    return _array(word(m, H_PAGE_FLAGS), word(m, H_RAM_SIZE) >> 12, np.uint8)


@core_inlined
def page_code(m):
    return _array(word(m, H_PAGE_CODE), word(m, H_RAM_SIZE) >> 12, np.uint64)


@core_inlined
def page_blocks(m):
    return _array(word(m, H_PAGE_BLOCKS), word(m, H_RAM_SIZE) >> 12, np.uint32)


@core_inlined
def fast(m):
    return _array(word(m, H_FAST), FAST_ROWS, FAST_DTYPE)


@core_inlined
def fast_of_all(m):
    """The fast paths of all processors, one behind the other: for what is true of a page."""
    return _array(word(m, H_ALL_FAST), word(m, H_CPUS) * FAST_ROWS, FAST_DTYPE)


@core_inlined
def links_of_all(m):
    return _array(word(m, H_ALL_LINKS), word(m, H_CPUS) * LINK_ENTRIES, LINK_DTYPE)


@core_inlined
def tlb(m):
    return _array(word(m, H_TLB), TLB_ROWS, TLB_DTYPE)


@core_inlined
def uops(m):
    return _array(word(m, H_UOPS), UOP_ROOM, UOP_DTYPE)


@core_inlined
def blocks(m):
    return _array(word(m, H_BLOCKS), BLOCK_ROOM, BLOCK_DTYPE)


@core_inlined
def code_used(m):
    """Two counts: UOPS_USED and BLOCKS_USED."""
    return _array(word(m, H_CODE_USED), 2, np.uint64)


@core_inlined
def buckets(m):
    return _array(word(m, H_BUCKETS), HASH_ROOM, np.uint32)


@core_inlined
def links(m):
    return _array(word(m, H_LINKS), LINK_ENTRIES, LINK_DTYPE)


@core_inlined
def ports(m):
    """One byte a port: 0 nobody there, 1 leaves the core, from DEVICE_CLAIM on a device."""
    return _array(word(m, H_PORTS), 65536, np.uint8)


@core_inlined
def devices(m):
    """Registers of the devices (devices/layout.py)."""
    return _array(word(m, H_DEVICES), DEVICE_WORDS, np.uint64)


@core_inlined
def device_bytes(m):
    """Buffers of the devices."""
    return _array(word(m, H_DEVICE_BYTES), DEVICE_BYTES, np.uint8)


@core_inlined
def regions(m):
    """Claimed physical ranges, start and end (exclusive), H_REGION_COUNT pairs."""
    return _array(word(m, H_REGIONS), 2 * MAX_REGIONS, np.uint64)


@core_inlined
def costs(m):
    return _array(word(m, H_COSTS), 64, np.uint64)


@core_inlined
def breakpoints(m):
    return _array(word(m, H_BREAKPOINTS), MAX_BREAKPOINTS, np.uint64)


@core_inlined
def watches(m):
    """Watched linear ranges: start, end (exclusive), kind."""
    return _array(word(m, H_WATCHES), 4 * MAX_BREAKPOINTS, np.uint64)


@core_inlined
def decode_table(m):
    return _array(word(m, H_DECODE), DECODE_WORDS, np.uint64)


@core_inlined
def row_table(m):
    return _array(word(m, H_ROWS), ROW_ROOM * ROW_WORDS, np.uint64)


@core_inlined
def trace_buffer(m):
    return _array(word(m, H_TRACE), word(m, H_TRACE_ROOM), np.uint64)


@core
def call_unit(m, unit, a, b, c):
    """Call another unit through its pointer in the handle."""
    return _call(_word_at(m + (H_UNITS + unit) * 8), m, a, b, c)


@core
def fault(m, vector, error):
    """The current instruction raises an exception; its caller returns at once."""
    c = cpu(m)
    c[EVENT] = EVENT_FAULT | vector
    c[EVENT_ERROR] = error
    return 0


@core_hot
def charge(m, cycles):
    """Add cycles that depend on what happened; the loop adds them to the clock."""
    cpu(m)[LEDGER] += cycles
