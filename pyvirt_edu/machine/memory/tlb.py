"""The simulated TLBs, one for data and one for fetches.

Invariant: whatever the fast path (data) or a link (code) knows about a page is in the TLB
too. So a hit there needs no look here, and hits = accesses - misses. Replacement is first in,
first out: nothing changes on a hit. A large page is cached in fragments of 4 KiB, as many
processors do; INVLPG drops all of them.
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_FLUSH, COST_TLB_MISS
from ..state.handles import charge, costs, cpu, fast, tlb
from ..state.jit import core, core_hot
from ..state.layout import (
    CR0,
    CR0_WP,
    CR4,
    CR4_PGE,
    DATA_MISSES,
    DATA_TLB,
    EVENT,
    EXEC,
    FAST_EMPTY,
    FAST_ENTRIES,
    FETCH_MISSES,
    FETCH_TLB,
    GENERATION,
    TLB_DIRTY,
    TLB_ENTRIES,
    TLB_FIFO,
    TLB_GLOBAL,
    TLB_LARGE,
    TLB_LARGE_2M,
    TLB_SETS,
    TLB_VALID,
    TLB_WAYS,
    WRITE,
)
from .links import drop_links_of_page
from .paging import allowed, own_tag, translates, walk_page_table
from .physical import place_of


@core
def flush_fast(m):
    """Empty the fast path; the TLB keeps its entries."""
    table = fast(m)
    for i in range(2 * FAST_ENTRIES):  # the third part is always empty
        table[i].read = np.uint64(FAST_EMPTY)
        table[i].write = np.uint64(FAST_EMPTY)


@core_hot
def drop_fast_page(m, linear):
    """The fast path forgets a linear page, in both halves."""
    table = fast(m)
    slot = linear >> 12 & (FAST_ENTRIES - 1)
    for i in range(2):
        entry = table[slot + np.uint64(i) * FAST_ENTRIES]
        entry.read = np.uint64(FAST_EMPTY)
        entry.write = np.uint64(FAST_EMPTY)


@core
def flush_tlb(m, keep_global):
    """Drop all translations, but for global pages if asked (manual 3A, 4.10.4)."""
    table = tlb(m)
    for i in range(TLB_ENTRIES):
        if not keep_global or not table[i].rights & TLB_GLOBAL:
            table[i].tag = np.uint64(0)
    flush_fast(m)
    cpu(m)[GENERATION] += 1


@core
def flush_for_cr3(m):
    """A write of CR3 keeps global pages only."""
    c = cpu(m)
    charge(m, costs(m)[COST_FLUSH])
    keep = 0
    if c[CR4] & CR4_PGE:
        keep = 1
    flush_tlb(m, keep)


@core
def invalidate_page(m, linear):
    """INVLPG: drop a page, global or not; of a large page, every fragment."""
    table = tlb(m)
    page = linear & 0xFFFFF000
    for i in range(TLB_ENTRIES):
        entry = table[i]
        if entry.tag & TLB_VALID:
            size = np.uint64(0x1000)
            if entry.rights & TLB_LARGE:
                size = np.uint64(0x400000)
                if entry.rights & TLB_LARGE_2M:
                    size = np.uint64(0x200000)
            if (entry.tag ^ page) & 0xFFFFF000 & ~(size - 1) == 0:
                drop_fast_page(m, entry.tag & 0xFFFFF000)
                entry.tag = np.uint64(0)
    drop_fast_page(m, page)
    cpu(m)[GENERATION] += 1


@core_hot
def serves(m, entry, access):
    """Whether an access needs no walk: it is allowed, and a store finds the page dirty."""
    if not allowed(access, entry.rights, cpu(m)[CR0] & CR0_WP):
        return False
    return access & WRITE == 0 or entry.rights & TLB_DIRTY != 0


@core_hot
def find(m, first, linear):
    """Row of the entry for a page + 1, or 0."""
    table = tlb(m)
    wanted, tag = linear & 0xFFFFF000 | TLB_VALID, own_tag(m)
    row = first + (linear >> 12 & (TLB_SETS - 1)) * TLB_WAYS
    for i in range(TLB_WAYS):
        entry = table[row + np.uint64(i)]
        if entry.tag == wanted and entry.tags == tag:
            return row + np.uint64(i) + 1
    return np.uint64(0)


@core
def place_for(m, first, linear):
    """The row that the next entry of a set takes; what was there is forgotten everywhere."""
    table = tlb(m)
    which = linear >> 12 & (TLB_SETS - 1)
    turn = table[TLB_FIFO + which]
    if first == FETCH_TLB:
        turn = table[TLB_FIFO + TLB_SETS + which]
    row = first + which * TLB_WAYS + turn.tag
    turn.tag = (turn.tag + 1) & (TLB_WAYS - 1)
    old = table[row].tag
    if old & TLB_VALID:
        if first == FETCH_TLB:
            drop_links_of_page(m, old)
        else:
            drop_fast_page(m, old)
    return row


@core
def translate(m, linear, access):
    """Where a linear address leads, for an access (`place_of` its physical one); EVENT on a fault."""
    c = cpu(m)
    if not translates(m):
        return place_of(m, linear, access)
    first = np.uint64(DATA_TLB)
    if access & EXEC:
        first = np.uint64(FETCH_TLB)
    table = tlb(m)
    row = find(m, first, linear)
    if row:
        entry = table[row - 1]
        if serves(m, entry, access):
            return place_of(m, entry.page | linear & 0xFFF, access)
    if access & EXEC:
        c[FETCH_MISSES] += 1
    else:
        c[DATA_MISSES] += 1
    charge(m, costs(m)[COST_TLB_MISS])
    if row:
        # the walk may find another page or fewer rights: what was learned from the entry goes
        drop_fast_page(m, linear)
        if access & EXEC:
            drop_links_of_page(m, linear)
    page, rights = walk_page_table(m, linear, access)
    if c[EVENT]:
        if row:
            table[row - 1].tag = np.uint64(0)  # a fault drops the stale entry (manual 3A, 4.10.4.1)
        return np.uint64(0)
    if access & WRITE and not rights & TLB_DIRTY:
        # behind nested tables: nobody takes this store, or reads go elsewhere
        return place_of(m, page | linear & 0xFFF, access)
    if row:
        row -= 1  # the same page with more rights or the dirty bit
    else:
        row = place_for(m, first, linear)
    entry = table[row]
    entry.tag = linear & 0xFFFFF000 | TLB_VALID
    entry.page = page
    entry.rights = rights
    entry.tags = own_tag(m)
    return place_of(m, page | linear & 0xFFF, access)


@core
def dirty_in_tlb(m, linear):
    """Whether a store to the page needs no walk any more."""
    if not translates(m):
        return True
    row = find(m, DATA_TLB, linear)
    return row != 0 and tlb(m)[row - 1].rights & TLB_DIRTY != 0
