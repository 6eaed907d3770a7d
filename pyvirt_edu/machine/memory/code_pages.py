"""Which memory holds decoded code, and what happens when it changes.

Invariant: a block in the hash table says what the bytes in memory mean. For each physical
page there is a list of the blocks that lie in it and a mask with one bit for each 64 bytes;
a store that touches a marked granule drops the blocks that overlap it. PAGE_CODE keeps the
fast path from storing into such a page at all.
"""

from __future__ import annotations

import numpy as np

from ..state.handles import (
    blocks,
    buckets,
    code_used,
    cpu,
    fast_of_all,
    links_of_all,
    page_blocks,
    page_code,
    page_flags,
)
from ..state.jit import core
from ..state.layout import (
    BLOCKS_USED,
    FAST_EMPTY,
    HASH_ROOM,
    PAGE_CODE,
    STOP,
    UOPS_USED,
)


@core
def block_hash(physical, mode):
    return (physical >> 1 ^ physical >> 13 ^ mode * 0x9E37) & (HASH_ROOM - 1)


@core
def drop_fast_writes(m, page):
    """No fast stores to a physical page any more, by any processor."""
    table = fast_of_all(m)
    for i in range(table.size):
        entry = table[i]
        if entry.write != FAST_EMPTY and entry.write + entry.offset == page:
            entry.write = np.uint64(FAST_EMPTY)


@core
def granules(first, last):
    """Mask of the 64-byte granules of a page from offset first to offset last, inclusive."""
    low, high = first >> 6, last >> 6
    return (np.uint64(0xFFFFFFFFFFFFFFFF) << low) & (np.uint64(0xFFFFFFFFFFFFFFFF) >> (63 - high))


@core
def granules_in_page(b, page):
    """The part of a block that lies in a physical page, as a mask."""
    first = b.physical & 0xFFF
    left = 0x1000 - first
    if b.physical & ~np.uint64(0xFFF) == page:
        length = np.uint64(b.length)
        if length > left:
            length = left
        mask = granules(first, first + length - 1)
        if b.physical2 != page + 1:
            return mask
        return mask | granules(0, np.uint64(b.length) - left - 1)
    return granules(0, np.uint64(b.length) - left - 1)


@core
def enter_in_hash(m, number):
    b = blocks(m)[number]
    heads = buckets(m)
    slot = block_hash(b.physical, np.uint64(b.mode))
    b.hash_next = heads[slot]
    heads[slot] = np.uint32(number + 1)


@core
def guard_block(m, number):
    """See every store into the bytes of a block."""
    b = blocks(m)[number]
    first = b.physical & ~np.uint64(0xFFF)
    guard_page(m, number, first, 0)
    if b.physical2 != 0 and b.physical2 != first + 1:
        guard_page(m, number, b.physical2 - 1, 1)


@core
def guard_page(m, number, page, which):
    pfn = page >> 12
    if pfn >= np.uint64(page_flags(m).size):
        return
    b = blocks(m)[number]
    b.page_next[which] = page_blocks(m)[pfn]
    page_blocks(m)[pfn] = np.uint32(number + 1)
    page_code(m)[pfn] |= granules_in_page(b, page)
    if not page_flags(m)[pfn] & PAGE_CODE:
        page_flags(m)[pfn] |= np.uint8(PAGE_CODE)
        drop_fast_writes(m, page)


@core
def unlink_from_hash(m, number):
    table, heads = blocks(m), buckets(m)
    b = table[number]
    slot = block_hash(b.physical, np.uint64(b.mode))
    at = np.uint64(heads[slot])
    if at == number + 1:
        heads[slot] = b.hash_next
        return
    while at != 0:
        other = table[at - 1]
        if other.hash_next == number + 1:
            other.hash_next = b.hash_next
            return
        at = np.uint64(other.hash_next)


@core
def drop_block(m, number):
    """A block means nothing any more. Its slot stays in the hash table, to be decoded into
    again, unless the list of a second page may still hold it."""
    b = blocks(m)[number]
    b.count = np.uint32(0)
    if b.physical2 != 0:
        unlink_from_hash(m, number)


@core
def sweep_page(m, page, mask):
    """Drop the blocks of a page that overlap a mask; recompute what the page guards."""
    pfn = page >> 12
    table = blocks(m)
    kept, left = np.uint64(0), np.uint64(0)
    at = np.uint64(page_blocks(m)[pfn])
    while at != 0:
        b = table[at - 1]
        which = np.uint64(1)
        if b.physical & ~np.uint64(0xFFF) == page:
            which = np.uint64(0)
        following = np.uint64(b.page_next[which])
        covered = granules_in_page(b, page)
        if b.count != 0 and covered & mask:
            drop_block(m, at - 1)  # the other page of a spanning block forgets it when swept
        if b.count != 0:
            b.page_next[which] = np.uint32(kept)
            kept = at
            left |= covered
        at = following
    page_blocks(m)[pfn] = np.uint32(kept)
    page_code(m)[pfn] = left


@core
def invalidate_granules(m, physical, length):
    """Memory [physical, physical + length) changes: drop the code in it, stop the block."""
    end = physical + length
    while physical < end:
        page = physical & ~np.uint64(0xFFF)
        last = page + 0x1000
        if last > end:
            last = end
        pfn = page >> 12
        if pfn >= np.uint64(page_flags(m).size):
            return
        mask = granules(physical & 0xFFF, (last - 1) & 0xFFF)
        if page_code(m)[pfn] & mask:
            sweep_page(m, page, mask)
            cpu(m)[STOP] = 1
        elif page_code(m)[pfn] == 0:
            # not before the second such store: code that patches itself would lose and set
            # the flag each time, and setting it searches the whole fast path
            page_flags(m)[pfn] &= np.uint8(0xFF - PAGE_CODE)
        physical = last


@core
def reset_blocks(m):
    """Forget all decoded code."""
    heads, table = buckets(m), links_of_all(m)
    for i in range(HASH_ROOM):
        heads[i] = np.uint32(0)
    for i in range(table.size):
        table[i].context = np.uint64(0)
    flags, masks, lists = page_flags(m), page_code(m), page_blocks(m)
    for i in range(flags.size):
        if flags[i] & np.uint8(PAGE_CODE):
            flags[i] &= np.uint8(0xFF - PAGE_CODE)
        masks[i] = np.uint64(0)
        lists[i] = np.uint32(0)
    used = code_used(m)
    used[UOPS_USED] = 1
    used[BLOCKS_USED] = 1
    blocks(m)[0].count = np.uint32(0)
