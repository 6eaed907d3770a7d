"""The registers of the x87: stack, status, environment, and their images in memory (manual 1, 8.1).

The eight registers lie in the processor's row by their physical numbers; TOP is in the status
word. One bit a register says that it is not empty: the other tags follow from the contents.
ES and B of the status word follow from its flags and the masks of the control word.
"""

from __future__ import annotations

import numpy as np

from ..memory.access import probe_segment_write, read_segment, write_segment
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import (
    BASE,
    CR0,
    CR0_PE,
    CS,
    DATA_ACCESSES,
    EFLAGS,
    EVENT,
    FERR,
    GP,
    INSTRUCTION_RIP,
    SELECTOR,
    T1,
    VM,
    X87,
    X87_CONTROL,
    X87_CS,
    X87_DP,
    X87_DS,
    X87_IP,
    X87_OPCODE,
    X87_STATUS,
    X87_VALID,
)
from .formats import (
    BUSY,
    C1,
    DE,
    IE,
    NORMAL,
    OE,
    PE,
    STACK_FAULT,
    SUMMARY,
    UE,
    ZE,
    ZERO_CLASS,
    class_of,
)

EXCEPTIONS = IE | DE | ZE | OE | UE | PE
CONTROL_AT_INIT = 0x37F
CONTROL_WRITABLE = 0x1F3F  # bit 6 reads as 1
TOP_SHIFT, TOP_MASK = 11, 0x3800


# --- the stack ---------------------------------------------------------------------------------------


@core
def physical(m, i):
    """Physical number of ST(i)."""
    return ((cpu(m)[X87_STATUS] >> TOP_SHIFT) + i) & 7


@core
def is_empty(m, i):
    return cpu(m)[X87_VALID] >> physical(m, i) & 1 == 0


@core
def get_register(m, i):
    """Significand and head of ST(i)."""
    c = cpu(m)
    place = X87 + 2 * physical(m, i)
    return c[place], c[place + 1]


@core
def put_register(m, i, significand, head):
    c = cpu(m)
    number = physical(m, i)
    c[X87 + 2 * number] = significand
    c[X87 + 2 * number + 1] = head
    c[X87_VALID] |= np.uint64(1) << number


@core
def free_register(m, i):
    cpu(m)[X87_VALID] &= ~(np.uint64(1) << physical(m, i))


@core
def move_top(m, by):
    c = cpu(m)
    c[X87_STATUS] = c[X87_STATUS] & ~TOP_MASK | (c[X87_STATUS] + (by << TOP_SHIFT)) & TOP_MASK


@core
def pop_registers(m, count):
    for _ in range(count):
        free_register(m, 0)
        move_top(m, 1)


@core
def push_register(m, significand, head):
    move_top(m, 7)
    put_register(m, 0, significand, head)


# --- exceptions --------------------------------------------------------------------------------------


@core
def status_word(m):
    """With ES and B (manual 1, 8.1.3)."""
    c = cpu(m)
    status = c[X87_STATUS]
    if status & ~c[X87_CONTROL] & EXCEPTIONS:
        status |= SUMMARY | BUSY
    return status


@core
def signal(m, flags, blocking):
    """Note exceptions and C1; 1 if one of `blocking` is unmasked: nothing may be stored.

    What is found before computing, if unmasked, leaves nothing that could be rounded.
    """
    c = cpu(m)
    unmasked = flags & ~c[X87_CONTROL] & EXCEPTIONS
    if unmasked & (IE | DE | ZE) and flags & STACK_FAULT == 0:
        flags &= IE | DE | ZE
    c[X87_STATUS] = c[X87_STATUS] & ~C1 | flags & (EXCEPTIONS | STACK_FAULT | C1)
    if unmasked & blocking:
        return 1
    return 0


@core
def set_codes(m, codes, flags):
    """Replace the condition codes that `codes` names."""
    c = cpu(m)
    c[X87_STATUS] = c[X87_STATUS] & ~codes | flags & codes


@core
def error_pending(m):
    """Whether an exception waits to be handled."""
    return status_word(m) & SUMMARY


@core
def clear_exceptions(m):
    """FNCLEX."""
    c = cpu(m)
    c[X87_STATUS] &= ~(EXCEPTIONS | STACK_FAULT) & 0x7F00
    c[FERR] = 0


@core
def initialize(m):
    """FNINIT; the data registers keep their contents, but are empty."""
    c = cpu(m)
    c[X87_CONTROL] = CONTROL_AT_INIT
    c[X87_STATUS] = 0
    c[X87_VALID] = 0
    c[X87_IP] = 0
    c[X87_CS] = 0
    c[X87_DP] = 0
    c[X87_DS] = 0
    c[X87_OPCODE] = 0
    c[FERR] = 0


@core
def set_control(m, value):
    cpu(m)[X87_CONTROL] = value & CONTROL_WRITABLE | 0x40


@core
def note_instruction(m, opcode, in_memory, seg):
    """The last instruction that was not a control one, for exception handlers (manual 1, 8.1.8)."""
    c = cpu(m)
    c[X87_IP] = c[INSTRUCTION_RIP]
    c[X87_CS] = c[SELECTOR + CS]
    c[X87_OPCODE] = opcode
    if in_memory:
        c[X87_DP] = c[T1]
        c[X87_DS] = c[SELECTOR + seg]


# --- the tag word ------------------------------------------------------------------------------------


@core
def tag_word(m):
    """Two bits a register: 0 valid, 1 zero, 2 special, 3 empty (manual 1, 8.1.7)."""
    c = cpu(m)
    tags = 0
    for n in range(8):
        number = np.uint64(n)
        tag = 3
        if c[X87_VALID] >> number & 1:
            kind = class_of(c[X87 + 2 * number], c[X87 + 2 * number + 1])
            tag = 2
            if kind == NORMAL:
                tag = 0
            elif kind == ZERO_CLASS:
                tag = 1
        tags |= tag << (2 * number)
    return tags


@core
def set_tags(m, tags):
    valid = 0
    for n in range(8):
        number = np.uint64(n)
        if tags >> (2 * number) & 3 != 3:
            valid |= np.uint64(1) << number
    cpu(m)[X87_VALID] = valid


# --- images in memory --------------------------------------------------------------------------------


@core
def at(m, distance, address_size):
    """Offset of a byte of the memory operand; it wraps as addresses do."""
    mask = 0xFFFF_FFFF
    if address_size == 2:
        mask = 0xFFFF
    return (cpu(m)[T1] + distance) & mask


@core
def put(m, seg, address_size, distance, size, value):
    if size < 8:
        value &= (1 << (size << 3)) - 1
    write_segment(m, seg, at(m, distance, address_size), size, value)


@core
def take(m, seg, address_size, distance, size):
    return read_segment(m, seg, at(m, distance, address_size), size)


@core
def piece(n, size):
    """Distance and width of access n to an image: seven words of its size, then 16-bit ones.

    FXSAVE's image (size 8) has nothing but words of 64 bits.
    """
    if size == 8 or n < 7:
        return n * size, size
    return 7 * size + 2 * (n - 7), 2


@core
def may_write(m, seg, address_size, size, pieces):
    """Try every access first: an image is written whole or, with EVENT, not at all."""
    for i in range(pieces):
        if cpu(m)[EVENT] == 0:
            distance, width = piece(np.uint64(i), size)
            probe_segment_write(m, seg, at(m, distance, address_size), width)
    return cpu(m)[EVENT] == 0


@core
def may_read(m, seg, address_size, size, pieces):
    """Likewise; these accesses are not counted, the real ones follow."""
    c = cpu(m)
    counted = c[DATA_ACCESSES]
    for i in range(pieces):
        if c[EVENT] == 0:
            distance, width = piece(np.uint64(i), size)
            take(m, seg, address_size, distance, width)
    if c[EVENT] == 0:
        c[DATA_ACCESSES] = counted
    return c[EVENT] == 0


@core
def has_linear_pointers(m):
    """Real and virtual-8086 mode keep addresses instead of selectors and offsets."""
    c = cpu(m)
    return c[CR0] & CR0_PE == 0 or c[EFLAGS] & VM != 0


@core
def environment_word(m, n, size):
    """Word n of seven in FNSTENV's image (manual 1, figures 8-9 to 8-12)."""
    c = cpu(m)
    unused = 0xFFFF_0000  # what the upper half holds where the figures have nothing
    if n == 0:
        return unused | c[X87_CONTROL]
    if n == 1:
        return unused | status_word(m)
    if n == 2:
        return unused | tag_word(m)
    pointer = X87_IP
    if n >= 5:
        pointer = X87_DP
    offset, selector = c[pointer], c[pointer + 1]
    opcode = 0
    if n == 4:
        opcode = c[X87_OPCODE]
    if has_linear_pointers(m):
        linear = (offset + (selector << 4)) & 0xFFFF_FFFF
        if n == 3 or n == 5:
            if size == 4:
                return unused | linear & 0xFFFF
            return linear
        return (linear >> 16) << 12 & 0x0FFF_FFFF | opcode
    if n == 3 or n == 5:
        return offset
    if n == 4:
        return selector | opcode << 16
    return unused | selector


@core
def set_environment_word(m, n, size, value):
    c = cpu(m)
    if n == 0:
        set_control(m, value)
    elif n == 1:
        c[X87_STATUS] = value & 0x7F7F
    elif n == 2:
        set_tags(m, value)
    else:
        pointer = X87_IP
        if n >= 5:
            pointer = X87_DP
        if n == 3 or n == 5:
            c[pointer] = value
            if has_linear_pointers(m):
                c[pointer] = value & 0xFFFF
                c[pointer + 1] = 0
        elif has_linear_pointers(m):
            c[pointer] |= (value >> 12 & 0xFFFF) << 16
            if n == 4:
                c[X87_OPCODE] = value & 0x7FF
        else:
            c[pointer + 1] = value & 0xFFFF
            if n == 4 and size == 4:
                c[X87_OPCODE] = value >> 16 & 0x7FF


@core
def write_environment(m, seg, address_size, size):
    for i in range(7):
        n = np.uint64(i)
        put(m, seg, address_size, n * size, size, environment_word(m, n, size))


@core
def read_environment(m, seg, address_size, size):
    for i in range(7):
        n = np.uint64(i)
        set_environment_word(m, n, size, take(m, seg, address_size, n * size, size))


@core
def store_environment(m, seg, address_size, size):
    """FNSTENV, which then masks all exceptions."""
    if may_write(m, seg, address_size, size, 7):
        write_environment(m, seg, address_size, size)
        cpu(m)[X87_CONTROL] |= EXCEPTIONS


@core
def load_environment(m, seg, address_size, size):
    if may_read(m, seg, address_size, size, 7):
        read_environment(m, seg, address_size, size)


@core
def write_registers(m, seg, address_size, start):
    """ST(0) to ST(7), ten bytes each, in words: an image needs no more alignment than they do."""
    for i in range(40):
        n = np.uint64(i)
        number = n // 5
        significand, head = get_register(m, number)
        piece = n - 5 * number
        if piece < 4:
            head = significand >> (16 * piece)
        put(m, seg, address_size, start + 2 * n, 2, head)


@core
def read_registers(m, seg, address_size, start):
    c = cpu(m)
    for i in range(40):
        n = np.uint64(i)
        number = n // 5
        piece = n - 5 * number
        place = X87 + 2 * physical(m, number)
        value = take(m, seg, address_size, start + 2 * n, 2)
        if piece < 4:
            shift = 16 * piece
            c[place] = c[place] & ~(np.uint64(0xFFFF) << shift) | value << shift
        else:
            c[place + 1] = value


@core
def save(m, seg, address_size, size):
    """FNSAVE: environment and registers, then as FNINIT."""
    start = 7 * size
    if may_write(m, seg, address_size, size, 47):
        write_environment(m, seg, address_size, size)
        write_registers(m, seg, address_size, start)
        initialize(m)


@core
def restore(m, seg, address_size, size):
    """FRSTOR."""
    start = 7 * size
    if may_read(m, seg, address_size, size, 47):
        read_environment(m, seg, address_size, size)
        read_registers(m, seg, address_size, start)


@core
def is_aligned(m, seg):
    """FXSAVE and FXRSTOR want 16 bytes (manual 2A, FXSAVE)."""
    c = cpu(m)
    if (c[BASE + seg] + c[T1]) & 15:
        fault(m, GP, 0)
    return c[EVENT] == 0


@core
def fast_word(m, n):
    """FXSAVE's image is twenty words of 64 bits; those of the registers are filled in pairs."""
    c = cpu(m)
    if n == 0:
        return c[X87_CONTROL] | status_word(m) << 16 | c[X87_VALID] << 32 | c[X87_OPCODE] << 48
    if n == 1:
        return c[X87_IP] | c[X87_CS] << 32
    if n == 2:
        return c[X87_DP] | c[X87_DS] << 32
    significand, head = get_register(m, (n - 4) >> 1)
    if n & 1:
        return head
    return significand


@core
def set_fast_word(m, n, value):
    c = cpu(m)
    if n == 0:
        set_control(m, value)
        c[X87_STATUS] = value >> 16 & 0x7F7F
        c[X87_VALID] = value >> 32 & 0xFF
        c[X87_OPCODE] = value >> 48 & 0x7FF
    elif n == 1:
        c[X87_IP] = value & 0xFFFF_FFFF
        c[X87_CS] = value >> 32 & 0xFFFF
    elif n == 2:
        c[X87_DP] = value & 0xFFFF_FFFF
        c[X87_DS] = value >> 32 & 0xFFFF
    else:
        place = X87 + 2 * physical(m, (n - 4) >> 1)
        if n & 1:
            c[place + 1] = value & 0xFFFF
        else:
            c[place] = value


@core
def save_fast(m, seg, address_size):
    """FXSAVE without SSE: MXCSR, in word 3, and what follows the registers are left alone."""
    if is_aligned(m, seg) and may_write(m, seg, address_size, 8, 64):
        for i in range(20):
            n = np.uint64(i)
            if n != 3:
                put(m, seg, address_size, 8 * n, 8, fast_word(m, n))


@core
def restore_fast(m, seg, address_size):
    """FXRSTOR without SSE."""
    if is_aligned(m, seg) and may_read(m, seg, address_size, 8, 64):
        for i in range(20):
            n = np.uint64(i)
            if n != 3:
                set_fast_word(m, n, take(m, seg, address_size, 8 * n, 8))
