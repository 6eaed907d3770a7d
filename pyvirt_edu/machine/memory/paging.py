"""The page walk (manual 3A, chapter 4), in one place for everybody who walks.

Who walks says through what, in a *context*:

* the mode: WP, PSE, PAE and PGE, where they stand in CR0 and CR4;
* the root: the entry that leads to the first table, so CR3 for two levels and a PDPTE for PAE;
* a nested mode and root, or zeros. With them every address that the guest's tables name is walked
  again, through tables of the same formats (AMD's nested paging; AMD manual 2, 15.25). They serve
  virtual processors, whose chip set is asked first. What they do not map answers with ones and
  swallows stores, as where there is no memory; what they make read-only is ROM;
* a tag, for the TLB.

And how: the processor's own walk is counted, charged, and sets accessed and dirty bits, when the
access is allowed and not before; a look changes nothing. Either notes each reference that it
makes, in the processor's row. A walk raises nothing: it returns what is wrong, and `page_fault`
makes #PF of it, whose error code says what 4.7 says: whether the page was there, the kind of
access, the privilege, and a reserved bit.

The shape of the tables is said by small functions of numbers, which call nothing. They serve the
walk of the past, too (past_memory.py), which is Python.
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_WALK
from ..state.handles import charge, costs, cpu, fault
from ..state.jit import core, core_hot
from ..state.layout import (
    A20_MASK,
    CR0,
    CR0_PG,
    CR0_WP,
    CR2,
    CR3,
    CR4,
    CR4_PAE,
    CR4_PGE,
    CR4_PSE,
    NESTED_MODE,
    NESTED_ROOT,
    NOTED_ADDRESS,
    NOTED_INNER,
    NOTED_LOCKED,
    NOTED_SHIFT,
    PCID,
    PDPTE,
    PF_FAULT,
    TLB_DIRTY,
    TLB_LARGE,
    TLB_LARGE_2M,
    TLB_USER,
    TLB_WRITE,
    USER,
    VPID,
    WALK,
    WALK_COUNT,
    WALK_REFERENCES,
    WALK_ROOM,
    WRITE,
)
from .physical import NOBODY, place_of, read_physical, shown, write_physical

E_PRESENT, E_WRITE, E_USER, E_ACCESSED, E_DIRTY, E_LARGE, E_GLOBAL = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
FAULT_PRESENT, FAULT_WRITE, FAULT_USER, FAULT_RESERVED = 1, 2, 4, 8
FRAME = 0xF_FFFF_F000  # of an entry: 36 bits of physical address
#: What must be clear in entries of PAE: above 36 bits, no NX; and in its first table (4.4.1).
PAE_RESERVED = 0xFFFF_FFF0_0000_0000
PDPTE_RESERVED = 0xFFFF_FFF0_0000_01E6

PDPT_IN_MEMORY = 1  # a bit of the mode: PAE whose root is CR3, so PDPTEs are read like the others

# How a walk is made
LOOK, ACCESS = 0, 1  # change nothing; or as the processor does for an access
INNER = 2  # added: this is a walk of the nested tables
OUTER = 4  # added: the guest's own tables alone have the last word

# What a walk says in its third result, besides the error code of a #PF
DENIED = 0x100  # there is no translation for this access
DENIED_NESTED = 0x200  # and it is the nested tables that have none


# --- the shape of the tables ------------------------------------------------------------


@core
def first_shift(mode):
    """The lowest address bit that the first table decides (manual 3A, figures 4-2 and 4-5)."""
    if mode & CR4_PAE == 0:
        return 22
    if mode & PDPT_IN_MEMORY:
        return 30
    return 21


@core
def index_bits(mode):
    """Address bits that one table decides. PAE's first has four entries only."""
    if mode & CR4_PAE:
        return 9
    return 10


@core
def entry_size(mode):
    if mode & CR4_PAE:
        return 8
    return 4


@core
def entry_address(mode, shift, above, linear):
    """Where a table's entry for an address lies; `above` is the entry that leads to the table."""
    if shift == 30:
        return (above & 0xFFFF_FFE0) + (linear >> 30 & 3) * 8
    if mode & CR4_PAE:
        return (above & FRAME) + (linear >> shift & 511) * 8
    return (above & FRAME) + (linear >> shift & 1023) * 4


@core
def is_large(mode, shift, entry):
    """Whether an entry maps a page of 4 MiB, in PAE 2 MiB, and leads to no table."""
    if entry & E_LARGE == 0 or shift == 12 or shift == 30:
        return False
    return mode & (CR4_PAE | CR4_PSE) != 0


@core
def reserved_bits(mode, shift, large):
    """What must be clear in a present entry (manual 3A, tables 4-4 to 4-11)."""
    reserved = 0
    if mode & CR4_PAE:
        reserved = PAE_RESERVED
        if shift == 30:
            reserved = PDPTE_RESERVED
    if large:
        # below a large page's address only the flags and PAT (bit 12) may be set
        reserved |= (1 << shift) - 0x2000
    return reserved


@core
def page_of(shift, entry, linear):
    """Physical address of the 4 KiB that a last entry maps for a linear address."""
    inside = (1 << shift) - 1
    return (entry & FRAME & ~inside) | linear & inside & 0xFFFF_F000


# --- the walk ---------------------------------------------------------------------------


@core_hot
def allowed(access, rights, write_protect):
    """Whether the combined rights of a translation permit an access (manual 3A, 4.6)."""
    if access & WRITE == 0 or rights & TLB_WRITE:
        return access & USER == 0 or rights & TLB_USER != 0
    return access & USER == 0 and write_protect == 0


@core_hot
def note(m, address, entry, shift, how):
    """Keep a reference for who wants to see the walk. The longest, PAE in PAE, makes 15."""
    c = cpu(m)
    n = c[WALK_COUNT]
    if n < WALK_ROOM:
        word = address | shift << NOTED_SHIFT
        if how & INNER:
            word |= NOTED_INNER
        c[WALK + 2 * n] = word
        c[WALK + 2 * n + 1] = entry
        c[WALK_COUNT] = n + 1


@core_hot
def reference(m, address, size, how):
    """Read one paging-structure entry."""
    if how & ACCESS:
        cpu(m)[WALK_REFERENCES] += 1
        charge(m, costs(m)[COST_WALK])
    return read_physical(m, place_of(m, address, 0), size)


@core
def mark(m, first, access, how):
    """Accessed bits of a walk's own references, and the last one's dirty bit for a write."""
    c = cpu(m)
    count = c[WALK_COUNT]
    for i in range(first, count):
        n = np.uint64(i)
        noted, entry = c[WALK + 2 * n], c[WALK + 2 * n + 1]
        bits = np.uint64(E_ACCESSED)
        if n + 1 == count and access & WRITE:
            bits |= E_DIRTY
        own = (noted & NOTED_INNER != 0) == (how & INNER != 0) and noted >> NOTED_SHIFT & 63 != 30
        if own and noted & NOTED_LOCKED == 0 and entry & bits != bits:
            place = place_of(m, noted & NOTED_ADDRESS, WRITE)
            write_physical(m, place, 4, (entry | bits) & 0xFFFF_FFFF)


@core
def walk(m, context, linear, access, how):
    """Physical page address and TLB rights of a linear address, and 0 or what is wrong.

    The references are noted behind those that are there: who starts a walk empties WALK_COUNT.
    """
    mode, root, nested_mode, nested_root, tag = context
    c = cpu(m)
    nothing = np.uint64(0)
    inner = (nested_mode, nested_root, nothing, nothing, tag)
    first = c[WALK_COUNT]
    shift, entry = first_shift(mode), root
    rights = np.uint64(TLB_WRITE | TLB_USER)
    split = False
    if how & INNER:
        split = shown(m, linear, access) != shown(m, linear, access ^ WRITE)
        linear = shown(m, linear, access)
    if not root & E_PRESENT or linear >> 32:  # the guest's own tables can name more than nested ones map
        return nothing, nothing, np.uint64(DENIED)
    while True:
        address, locked = entry_address(mode, shift, entry, linear), nothing
        if nested_root:
            # the guest's tables are reached as a program writes them (AMD manual 2, 15.25.5); in ROM
            # and where there is no memory they are read all the same, as without nested tables
            page, _, wrong = walk(m, inner, address, USER | WRITE, how | INNER)
            if wrong:
                page, _, wrong = walk(m, inner, address, np.uint64(USER), how | INNER)
                locked = np.uint64(NOTED_LOCKED)
            if wrong:
                page, locked = address & c[A20_MASK] & ~np.uint64(0xFFF) | NOBODY, nothing
            address = page | address & 0xFFF
        entry = reference(m, address, entry_size(mode), how)
        note(m, address | locked, entry, shift, how)
        if not entry & E_PRESENT:
            return nothing, nothing, np.uint64(DENIED)
        large = is_large(mode, shift, entry)
        if entry & reserved_bits(mode, shift, large):
            return nothing, nothing, np.uint64(DENIED | FAULT_PRESENT | FAULT_RESERVED)
        if shift != 30:
            rights &= entry
        if large or shift == 12:
            break
        shift -= index_bits(mode)
    if not allowed(access, rights, mode & CR0_WP):
        return nothing, nothing, np.uint64(DENIED | FAULT_PRESENT)
    if how & ACCESS:
        mark(m, first, access, how)
    page = page_of(shift, entry, linear)
    if large:
        rights |= TLB_LARGE
        if mode & CR4_PAE:
            rights |= TLB_LARGE_2M
    if access & WRITE:
        rights |= TLB_DIRTY
    else:
        rights |= entry & E_DIRTY
    if mode & CR4_PGE:
        rights |= entry & E_GLOBAL
    if how & INNER and (split or not rights & TLB_WRITE):
        # every store is walked for anew: of a guest with CR0.WP = 0, too, and where reads go elsewhere
        rights &= ~np.uint64(TLB_WRITE | TLB_DIRTY)
    if nested_root and how & OUTER == 0:
        guest_page = page & c[A20_MASK]
        page, inner_rights, wrong = walk(m, inner, guest_page, USER | access & WRITE, how | INNER)
        if wrong:
            return guest_page, rights & ~np.uint64(TLB_WRITE | TLB_DIRTY), wrong | DENIED_NESTED
        rights &= inner_rights | ~np.uint64(TLB_WRITE | TLB_DIRTY)
    return page, rights, nothing


# --- the processor's own ----------------------------------------------------------------


@core_hot
def translates(m):
    """Whether a linear address is more than a physical one: there is paging, or nested paging."""
    c = cpu(m)
    return c[CR0] & CR0_PG | c[NESTED_ROOT]


@core
def nested_walk(m, physical, access, how):
    """`walk` of a guest-physical address, through the nested tables alone."""
    c = cpu(m)
    nothing = np.uint64(0)
    context = (c[NESTED_MODE], c[NESTED_ROOT], nothing, nothing, own_tag(m))
    page, rights, wrong = walk(m, context, physical, access & WRITE | USER, how | INNER)
    if wrong:
        return physical & c[A20_MASK] & ~np.uint64(0xFFF), np.uint64(TLB_USER), wrong | DENIED_NESTED
    return page, rights, wrong


@core
def place_behind(m, physical, access):
    """The place of a physical address, by the nested tables if there are any; changes nothing."""
    if not cpu(m)[NESTED_ROOT]:
        return place_of(m, physical, access)
    page, _, wrong = nested_walk(m, physical, access, np.uint64(LOOK))
    if wrong:
        page |= NOBODY
    return place_of(m, page | physical & 0xFFF, access)


@core
def pdptes_are_valid(m, cr3):
    """Whether the four PDPTEs at CR3 may be loaded (manual 3A, 4.4.1)."""
    for i in range(4):
        entry = read_physical(m, place_behind(m, (cr3 & 0xFFFF_FFE0) + 8 * np.uint64(i), 0), 8)
        if (entry & 1) and (entry & PDPTE_RESERVED):
            return 0
    return 1


@core
def load_pdptes(m, cr3):
    """PAE paging keeps the four in registers; memory is not looked at again."""
    c = cpu(m)
    for i in range(4):
        n = np.uint64(i)
        c[PDPTE + n] = read_physical(m, place_behind(m, (cr3 & 0xFFFF_FFE0) + 8 * n, 0), 8)


@core_hot
def own_tag(m):
    """What marks the processor's translations in the TLB."""
    return cpu(m)[VPID] << 16 | cpu(m)[PCID]


@core
def own_context(m, linear):
    """What the processor itself walks through: CR3, or the PDPTE that it holds (4.4.1)."""
    c = cpu(m)
    mode = c[CR0] & CR0_WP | c[CR4] & (CR4_PSE | CR4_PAE | CR4_PGE)
    root = c[CR3] & 0xFFFF_F000 | E_PRESENT
    if mode & CR4_PAE:
        root = c[PDPTE + (linear >> 30)]
    return mode, root, c[NESTED_MODE], c[NESTED_ROOT], own_tag(m)


@core
def page_fault(m, linear, access, error):
    """#PF."""
    cpu(m)[CR2] = linear
    if access & WRITE:
        error |= FAULT_WRITE
    if access & USER:
        error |= FAULT_USER
    fault(m, PF_FAULT, error)


@core_hot
def walk_for(m, linear, access, how):
    """`walk` through what the processor has: its own tables, nested ones, or both."""
    c = cpu(m)
    c[WALK_COUNT] = 0
    if c[CR0] & CR0_PG:
        return walk(m, own_context(m, linear), linear, access, how)
    return nested_walk(m, linear, access, how)


@core
def walk_page_table(m, linear, access):
    """Physical page address and TLB rights for an access of the program; EVENT on a fault. Where nested
    tables have nothing, it is the guest's page with NOBODY."""
    page, rights, wrong = walk_for(m, linear, access, np.uint64(ACCESS))
    if wrong & DENIED_NESTED:
        return page | NOBODY, rights
    if wrong:
        page_fault(m, linear, access, wrong & 0xFF)
    return page, rights


@core
def look_up(m, linear):
    """Physical address by the processor's page tables as they are, and 0; changes nothing but the notes."""
    page, _, wrong = walk_for(m, linear, np.uint64(0), np.uint64(LOOK | OUTER))
    return page | linear & 0xFFF, wrong
