"""The string instructions (manual 1, 7.3.9; manual 2, REP).

Each iteration of a repeated instruction counts as an instruction of its own: it can fault,
be interrupted, be stepped and be the last before a deadline, and then the registers say how
far it came. An iteration changes registers only when all its accesses have succeeded.

Runs of REP MOVS and REP STOS inside one page are copied in bulk. The rule that makes this
invisible: the bulk path does only what that many single iterations would have done, with
the same counts, and stops short of everything but plain RAM that the TLB knows.
"""

from __future__ import annotations

from ..costs import COST_PORT, COST_STRING
from ..decode.dispatch import unit_by_rows
from ..decode.operations import OP_CMPS, OP_INS, OP_LODS, OP_MOVS, OP_OUTS, OP_SCAS, OP_STOS
from ..memory.access import (
    probe_segment_write,
    program_access,
    read_segment,
    sees_everything,
    write_segment,
)
from ..memory.paging import translates
from ..memory.physical import in_ram, is_shadowed
from ..memory.slow_path import page_is_watched
from ..memory.tlb import find, serves
from ..state.flags import narrow_carries, sign_extend, size_mask, sub_carries, zero
from ..state.handles import (
    costs,
    cpu,
    load_u8,
    load_u16,
    load_u32,
    load_u64,
    page_flags,
    ram,
    store_u8,
    store_u16,
    store_u32,
    store_u64,
    tlb,
)
from ..state.jit import core
from ..state.layout import (
    ATTENTION,
    BASE,
    CC_CARRIES,
    CC_RESULT,
    CYCLES,
    DATA_ACCESSES,
    DATA_TLB,
    DEADLINE,
    DF,
    EFLAGS,
    ES,
    EVENT,
    FETCH_ACCESSES,
    INSTRUCTION_LIMIT,
    INSTRUCTION_RIP,
    INSTRUCTIONS,
    LEDGER,
    PAGE,
    PAGE_DIRTY,
    PLACE_MASK,
    POSTED_COUNT,
    RAX,
    RCX,
    RDI,
    RDX,
    READ_END,
    REPEATING,
    REPLAY_COUNT,
    RIP,
    RSI,
    SINGLE,
    STOP,
    TF,
    TRACING,
    WRITE,
    WRITE_END,
)
from .port_access import check_port, port_read, port_write

NOWHERE = 0xFFFF_FFFF_FFFF_FFFF  # not a place in RAM


# --- one iteration ----------------------------------------------------------------------------


@core
def set_address(c, number, mask, value):
    """Write SI or ESI (likewise DI, CX): the address size says how much changes."""
    c[number] = (c[number] & (0xFFFF_FFFF ^ mask)) | (value & mask)


@core
def compare(m, a, b, size):
    """Set the flags of CMP a, b."""
    c = cpu(m)
    r = a - b
    c[CC_RESULT] = sign_extend(r, size)
    c[CC_CARRIES] = narrow_carries(sub_carries(a, b, r), size)


@core
def iterate(m, op, size, mask, seg):
    """One iteration. Returns 1, or 0 with an event and nothing changed."""
    c = cpu(m)
    si = c[RSI] & mask
    di = c[RDI] & mask
    step = size
    if c[EFLAGS] & DF:
        step = 0 - size
    value = 0
    port = c[RDX] & 0xFFFF
    if op == OP_INS or op == OP_OUTS:
        check_port(m, port, size)
        if c[EVENT]:
            return 0
    if op == OP_INS:
        probe_segment_write(m, ES, di, size)  # a device must not be read in vain
        if c[EVENT]:
            return 0
        value = port_read(m, port, size)
    elif op == OP_STOS or op == OP_SCAS:
        value = c[RAX] & size_mask(size)
    else:
        value = read_segment(m, seg, si, size)
    if c[EVENT]:
        return 0
    if op == OP_MOVS or op == OP_STOS or op == OP_INS:
        write_segment(m, ES, di, size, value)
        if c[EVENT]:
            return 0
    elif op == OP_CMPS or op == OP_SCAS:
        other = read_segment(m, ES, di, size)
        if c[EVENT]:
            return 0
        compare(m, value, other, size)
    elif op == OP_LODS:
        set_address(c, RAX, size_mask(size), value)
    else:
        port_write(m, port, size, value)
        if c[EVENT]:
            return 0
    if op == OP_MOVS or op == OP_CMPS or op == OP_LODS or op == OP_OUTS:
        set_address(c, RSI, mask, si + step)
    if op != OP_LODS and op != OP_OUTS:
        set_address(c, RDI, mask, di + step)
    return 1


# --- many at once ------------------------------------------------------------------------------


@core
def plain_ram(m, linear, access):
    """Where a linear address lies in RAM, if an access there would do nothing but access it.

    Asks the TLB without changing it: a page not in there, not allowed, watched, claimed by a
    device, or with code on it is NOWHERE, and left to a single iteration.
    """
    c = cpu(m)
    access |= program_access(m)
    physical = linear & c[PLACE_MASK]
    if translates(m):
        row = find(m, DATA_TLB, linear)
        if row == 0:
            return NOWHERE
        entry = tlb(m)[row - 1]
        if not serves(m, entry, access):
            return NOWHERE
        physical = (entry.page | linear & (PAGE - 1)) & c[PLACE_MASK]
    if not in_ram(m, physical) or is_shadowed(m, physical) or page_is_watched(m, linear & 0xFFFF_F000):
        return NOWHERE
    if access & WRITE != 0 and page_flags(m)[physical >> 12] != PAGE_DIRTY:
        return NOWHERE
    return physical


@core
def within_page(linear, size):
    return (linear & (PAGE - 1)) + size <= PAGE


@core
def elements_ahead(offset, linear, size, mask, end, down):
    """How many elements from here lie in this page, below the segment's `end`, unwrapped."""
    place = linear & (PAGE - 1)
    if offset + size > end or not within_page(linear, size) or offset + size > mask + 1:
        return 0
    if down:
        return min(place // size, offset // size) + 1
    room = min(end, mask + 1) - offset
    return min((PAGE - place) // size, room // size)


@core
def copy_element(memory, target, source, size):
    if size == 1:
        store_u8(memory, target, load_u8(memory, source))
    elif size == 2:
        store_u16(memory, target, load_u16(memory, source))
    else:
        store_u32(memory, target, load_u32(memory, source))


@core
def copy_up(memory, target, source, length, size):
    """Copy element by element, upward; by eights where that cannot be told apart.

    A target less than eight bytes above the source reads back what it has just written:
    the way programs fill memory with a pattern. (Below the source the difference wraps
    to a huge number: no conflict.)
    """
    done = 0
    if target - source >= 8:
        while done + 8 <= length:
            store_u64(memory, target + done, load_u64(memory, source + done))
            done += 8
    while done < length:
        copy_element(memory, target + done, source + done, size)
        done += size


@core
def copy_down(memory, target, source, length, size):
    """The same from the top down; the addresses are those of the lowest element."""
    left = length
    if source - target >= 8:
        while left >= 8:
            left -= 8
            store_u64(memory, target + left, load_u64(memory, source + left))
    while left:
        left -= size
        copy_element(memory, target + left, source + left, size)


@core
def fill(memory, target, length, size, value):
    pattern = value
    if size == 1:
        pattern = (value & 0xFF) * 0x0101_0101_0101_0101
    elif size == 2:
        pattern = (value & 0xFFFF) * 0x0001_0001_0001_0001
    else:
        pattern = (value & 0xFFFF_FFFF) * 0x0000_0001_0000_0001
    done = 0
    while done + 8 <= length:
        store_u64(memory, target + done, pattern)
        done += 8
    while done < length:
        store_u8(memory, target + done, pattern)
        pattern = (pattern >> 8) | (pattern << 56)
        done += 1


@core
def bulk(m, op, size, mask, seg, most):
    """Do up to `most` iterations of MOVS or STOS at once; returns how many (0: none)."""
    c = cpu(m)
    if sees_everything(m, program_access(m)):
        return 0
    down = c[EFLAGS] & DF
    di = c[RDI] & mask
    target_linear = (c[BASE + ES] + di) & 0xFFFF_FFFF
    n = min(most, elements_ahead(di, target_linear, size, mask, c[WRITE_END + ES], down))
    if n == 0:
        return 0
    target = plain_ram(m, target_linear, WRITE)
    if target == NOWHERE:
        return 0
    si = c[RSI] & mask
    source = 0
    if op == OP_MOVS:
        source_linear = (c[BASE + seg] + si) & 0xFFFF_FFFF
        n = min(n, elements_ahead(si, source_linear, size, mask, c[READ_END + seg], down))
        if n == 0:
            return 0
        source = plain_ram(m, source_linear, 0)
        if source == NOWHERE:
            return 0
    length = n * size
    back = length - size  # from the first element to the lowest, when going down
    memory = ram(m)
    accesses = n
    if op == OP_STOS:
        if down:
            fill(memory, target - back, length, size, c[RAX])
        else:
            fill(memory, target, length, size, c[RAX])
    else:
        accesses = n + n
        if down:
            copy_down(memory, target - back, source - back, length, size)
            set_address(c, RSI, mask, si - length)
        else:
            copy_up(memory, target, source, length, size)
            set_address(c, RSI, mask, si + length)
    if down:
        set_address(c, RDI, mask, di - length)
    else:
        set_address(c, RDI, mask, di + length)
    if translates(m):
        c[DATA_ACCESSES] += accesses
    return n


# --- the repeat prefix -------------------------------------------------------------------------


@core
def may_start(c, done, cost):
    """How many more iterations may start before the instruction limit and the deadline."""
    retired = c[INSTRUCTIONS] + done
    now = c[CYCLES] + c[LEDGER] + done * cost
    if retired >= c[INSTRUCTION_LIMIT] or now >= c[DEADLINE]:
        return 0
    count = c[INSTRUCTION_LIMIT] - retired
    if cost:
        count = min(count, (c[DEADLINE] - now - 1) // cost + 1)
    return count


@core
def count_iterations(m, n, cost):
    """Each is an instruction: fetched, retired, paid for."""
    c = cpu(m)
    c[INSTRUCTIONS] += n
    c[CYCLES] += n * cost
    if translates(m):
        c[FETCH_ACCESSES] += n


@core
def iterate_while(m, op, size, mask, seg, rep):
    """Iterate while CX lasts. Between iterations anything may happen that may happen
    between instructions, so the run ends early for whatever the loop must look at."""
    c = cpu(m)
    cost = costs(m)[COST_STRING]
    if op == OP_INS or op == OP_OUTS:
        cost = costs(m)[COST_PORT]  # each iteration is a bus access
    done = 0
    c[REPEATING] = 0
    most = max(1, may_start(c, 0, cost))
    if (c[SINGLE] | c[TRACING] | c[ATTENTION] | c[REPLAY_COUNT] | (c[EFLAGS] & TF)) != 0:
        most = 1
    running = 1
    while running:
        count = c[RCX] & mask
        n = 0
        if (op == OP_MOVS or op == OP_STOS) and most > 1:
            n = bulk(m, op, size, mask, seg, min(most, count))
        if n == 0:
            n = iterate(m, op, size, mask, seg)
            if n == 0:  # a fault or a device: earlier iterations stand, this one has not been
                count_iterations(m, done, cost)
                return 0
        done += n
        count -= n
        set_address(c, RCX, mask, count)
        again = 1
        if count == 0:
            again = 0
        elif (op == OP_CMPS or op == OP_SCAS) and zero(c[CC_RESULT]) != rep & 1:
            again = 0  # REPE (1) goes on while ZF is 1, REPNE (2) while it is 0
        if again == 0:
            running = 0
        else:
            most = may_start(c, done, cost)
            looked_at = c[SINGLE] | c[TRACING] | c[ATTENTION] | c[STOP] | c[POSTED_COUNT] | c[REPLAY_COUNT]
            if most == 0 or (looked_at | (c[EFLAGS] & TF)) != 0:
                c[RIP] = c[INSTRUCTION_RIP]
                c[REPEATING] = c[RIP] + 1
                running = 0
            elif op == OP_INS or op == OP_OUTS:
                count_iterations(m, done, cost)  # a device looks at the clock
                done = 0
    count_iterations(m, done - 1, cost)  # the loop counts the last one
    return 0


@core
def string_instruction(m, op, size, address_size, seg, repeat):
    """One iteration, or as many as may run now."""
    c = cpu(m)
    mask = size_mask(address_size)
    if repeat == 0:
        iterate(m, op, size, mask, seg)
    elif c[RCX] & mask:
        iterate_while(m, op, size, mask, seg, repeat)


assist_string = unit_by_rows("string", globals())
