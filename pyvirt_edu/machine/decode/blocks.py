"""Blocks of decoded code: found by physical address and mode, decoded when missing.

A block is straight-line code within one page. It ends at a jump, at an instruction that
needs a unit, at the page's end, or after MAX_INSTRUCTIONS. An instruction that crosses into
the next page is a block of its own and depends on both pages. Stores into a block's bytes
drop it (code_pages.py), so what is found here is always what memory holds.
"""

from __future__ import annotations

import numpy as np

from ..memory.code_pages import block_hash, drop_block, enter_in_hash, guard_block, reset_blocks
from ..memory.links import link_slot
from ..memory.tlb import translate
from ..state.handles import blocks, buckets, code_used, cpu, fault, links, page_flags, uops
from ..state.jit import core, unit
from ..state.layout import (
    BLOCK_ROOM,
    BLOCKS_USED,
    CPL,
    CS,
    EVENT,
    EXEC,
    GENERATION,
    GP,
    LIMIT,
    MODE,
    MODE_CODE32,
    MODE_SINGLE,
    MODE_STACK32,
    UOP_ROOM,
    UOPS_USED,
    USER,
    ZERO,
)
from .decoder import decode_instruction
from .emit import emit
from .scratch import (
    D_ACCESSES,
    D_COST,
    D_ENDS,
    D_ORDINAL,
    D_PHYSICAL,
    D_PHYSICAL2,
    D_REMAINING,
    D_SHORT,
    D_START,
    D_UOP,
    scratch,
)
from .uops import U_PAGE_END

MAX_INSTRUCTIONS = 48
UOPS_PER_BLOCK = 1024  # no block comes near this many


@core
def fetch_access(m):
    if cpu(m)[CPL] == 3:
        return np.uint64(EXEC | USER)
    return np.uint64(EXEC)


@core
def look_up(m, physical, mode):
    """The block at a physical address in a mode, 0 if there is none. A count of 0 says that
    it was dropped: its slot waits for what the bytes mean now."""
    table = blocks(m)
    number = np.uint64(buckets(m)[block_hash(physical, mode)])
    while number != 0:
        b = table[number - 1]
        if b.physical == physical and b.mode == mode:
            return number - 1
        number = np.uint64(b.hash_next)
    return np.uint64(0)


@core
def next_page(m, linear):
    """Physical address + 1 of the page after the one that holds ``linear``; 0 on a fault."""
    following = ((linear & 0xFFFFF000) + 0x1000) & 0xFFFFFFFF
    physical = translate(m, following, fetch_access(m))
    if cpu(m)[EVENT]:
        return np.uint64(0)
    return physical + 1


@core
def keep_micro_ops(m, number, start, end):
    """Where a block's micro-ops stay: in the room of the slot's last block if they fit."""
    table, b = uops(m), blocks(m)[number]
    if end - start > np.uint64(b.end) - np.uint64(b.start):
        code_used(m)[UOPS_USED] = end
        return start
    for i in range(end - start):
        table[b.start + np.uint64(i)] = table[start + np.uint64(i)]
    return np.uint64(b.start)


@core
def decode_block(m, linear, physical, mode, number):
    """Decode at a physical address, into a slot or (0) a new one; returns the slot, 0 on a
    fetch fault."""
    used = code_used(m)
    if used[UOPS_USED] + UOPS_PER_BLOCK > UOP_ROOM or used[BLOCKS_USED] + 1 >= BLOCK_ROOM:
        reset_blocks(m)
        number = np.uint64(0)
    d = scratch(m)
    start = used[UOPS_USED]
    d[D_UOP] = start
    d[D_START] = 0
    d[D_ACCESSES] = 0
    page_left = 0x1000 - (physical & 0xFFF)
    count, cycles, second = np.uint64(0), np.uint64(0), np.uint64(0)
    most = np.uint64(MAX_INSTRUCTIONS)
    if mode & MODE_SINGLE:
        most = np.uint64(1)
    while count < most and d[D_START] < page_left:
        d[D_ORDINAL] = count
        d[D_PHYSICAL] = physical + d[D_START]
        d[D_REMAINING] = page_left - d[D_START]
        d[D_PHYSICAL2] = 0
        before, accesses = d[D_UOP], d[D_ACCESSES]
        length = decode_instruction(m)
        if d[D_SHORT]:
            d[D_UOP] = before
            d[D_ACCESSES] = accesses
            if count != 0:
                break  # the crossing instruction gets a block of its own
            second = next_page(m, linear)
            if second == 0:
                return np.uint64(0)
            d[D_PHYSICAL2] = second
            length = decode_instruction(m)
            most = np.uint64(1)
        d[D_START] += length
        cycles += d[D_COST]
        count += 1
        if d[D_ENDS]:
            break
    if not d[D_ENDS]:
        d[D_ORDINAL] = count - 1
        u = uops(m)[emit(m, U_PAGE_END, 0, 0, ZERO, ZERO, ZERO, 0, 0)]
        u.next = np.uint16(d[D_START])
        u.rip = np.uint16(d[D_START])
    in_ram = (physical >> 12) < np.uint64(page_flags(m).size)
    if second != 0:
        number = np.uint64(0)  # a link may still name the slot, and none may name such a block
    b = blocks(m)[number]
    if number == 0:
        number = used[BLOCKS_USED]
        used[BLOCKS_USED] = number + 1
        b = blocks(m)[number]
        b.physical = physical
        b.mode = np.uint32(mode)
        b.start = np.uint32(0)
        b.end = np.uint32(0)
        if in_ram:
            enter_in_hash(m, number)
    b.physical2 = second
    place = keep_micro_ops(m, number, start, d[D_UOP])
    b.end = np.uint32(place + d[D_UOP] - start)
    b.start = np.uint32(place)
    b.count = np.uint32(count)
    b.length = np.uint32(d[D_START])
    b.cycles = np.uint32(cycles)
    b.accesses = np.uint32(d[D_ACCESSES])
    b.native = np.uint64(0)
    if in_ram:
        guard_block(m, number)
    return number


@core
def block_in_mode(m, linear, physical, mode):
    number = look_up(m, physical, mode)
    if number != 0 and blocks(m)[number].physical2 != 0:
        # the second page may be mapped elsewhere now
        second = next_page(m, linear)
        if second == 0:
            return np.uint64(0)
        if blocks(m)[number].physical2 != second:
            drop_block(m, number)
            number = np.uint64(0)
    if number == 0 or blocks(m)[number].count == 0:
        number = decode_block(m, linear, physical, mode, number)
    return number


@unit
def find_block(m, linear, rip, single):
    """The block to run at CS:rip; ``single``: one instruction only. 0 with EVENT on a fault."""
    c = cpu(m)
    if rip > c[LIMIT + CS]:
        return fault(m, GP, 0)
    physical = translate(m, linear, fetch_access(m))
    if c[EVENT]:
        return np.uint64(0)
    mode = c[MODE] & (MODE_CODE32 | MODE_STACK32 | MODE_SINGLE)
    if single:
        mode |= MODE_SINGLE
    number = block_in_mode(m, linear, physical, mode)
    if c[EVENT]:
        return np.uint64(0)
    if rip + np.uint64(blocks(m)[number].length) > c[LIMIT + CS] + 1:
        # fetching past the limit: fine up to the instruction that does it
        if not mode & MODE_SINGLE:
            mode |= MODE_SINGLE
            number = block_in_mode(m, linear, physical, mode)
            if c[EVENT]:
                return np.uint64(0)
        if rip + np.uint64(blocks(m)[number].length) > c[LIMIT + CS] + 1:
            return fault(m, GP, 0)
        return number
    if (
        not single
        and blocks(m)[number].physical2 == 0
        and np.uint64(blocks(m)[number].physical) >> 12 < np.uint64(page_flags(m).size)
    ):
        link = links(m)[link_slot(linear)]
        link.linear = linear
        link.context = c[MODE] | c[GENERATION] << 8
        link.block = number
    return number
