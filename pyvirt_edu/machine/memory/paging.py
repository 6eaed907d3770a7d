"""The page walk (manual 3A, chapter 4): two levels with 4 MiB pages, PAE with 2 MiB pages.

Accessed and dirty bits are set only when the access is allowed, with ordinary writes to
physical memory. A fault reports what the manual's section 4.7 says: whether the page was
there, the kind of access, the privilege, and a reserved bit.
"""

from __future__ import annotations

import numpy as np

from ..decode.uops import COST_WALK
from ..state.handles import charge, costs, cpu, fault
from ..state.jit import core, core_hot
from ..state.layout import (
    CR0,
    CR0_WP,
    CR2,
    CR3,
    CR4,
    CR4_PAE,
    CR4_PGE,
    CR4_PSE,
    PDPTE,
    PF_FAULT,
    TLB_DIRTY,
    TLB_GLOBAL,
    TLB_LARGE,
    TLB_LARGE_2M,
    TLB_USER,
    TLB_WRITE,
    USER,
    WALK_REFERENCES,
    WRITE,
)
from .physical import place_of, read_physical, write_physical

E_PRESENT, E_WRITE, E_USER, E_ACCESSED, E_DIRTY, E_LARGE, E_GLOBAL = 1, 2, 4, 0x20, 0x40, 0x80, 0x100
FAULT_PRESENT, FAULT_WRITE, FAULT_USER, FAULT_RESERVED = 1, 2, 4, 8
PAE_RESERVED = 0xFFFF_FFF0_0000_0000  # above a physical width of 36 bits; no NX


@core
def page_fault(m, linear, access, error):
    """#PF; returns the pair a walk returns."""
    cpu(m)[CR2] = linear
    if access & WRITE:
        error |= FAULT_WRITE
    if access & USER:
        error |= FAULT_USER
    fault(m, PF_FAULT, error)
    return np.uint64(0), np.uint64(0)


@core_hot
def reference(m, address, size):
    """Read one paging-structure entry."""
    cpu(m)[WALK_REFERENCES] += 1
    charge(m, costs(m)[COST_WALK])
    return read_physical(m, place_of(m, address, 0), size)


@core
def mark(m, address, entry, bits):
    """Set accessed or dirty bits that are not set yet."""
    if entry & bits != bits:
        write_physical(m, place_of(m, address, WRITE), 4, (entry | bits) & 0xFFFFFFFF)


@core_hot
def allowed(m, access, rights):
    """Whether the combined rights of a translation permit an access (manual 3A, 4.6)."""
    if access & USER:
        if not rights & TLB_USER:
            return False
        return not access & WRITE or rights & TLB_WRITE != 0
    return not access & WRITE or rights & TLB_WRITE != 0 or not cpu(m)[CR0] & CR0_WP


@core
def walk_page_table(m, linear, access):
    """Physical page address and TLB rights of a linear address; EVENT on a fault."""
    c = cpu(m)
    wide = c[CR4] & CR4_PAE
    reserved = np.uint64(0)
    if wide:
        directory = c[PDPTE + (linear >> 30)]
        if not directory & E_PRESENT:
            return page_fault(m, linear, access, 0)
        size, large_size = np.uint64(8), np.uint64(0x200000)
        upper = (directory & 0xFFFFFF000) + (linear >> 21 & 511) * 8
        reserved = np.uint64(PAE_RESERVED)
    else:
        size, large_size = np.uint64(4), np.uint64(0x400000)
        upper = (c[CR3] & 0xFFFFF000) + (linear >> 22) * 4
    pde = reference(m, upper, size)
    if not pde & E_PRESENT:
        return page_fault(m, linear, access, 0)
    large = pde & E_LARGE != 0 and (wide != 0 or c[CR4] & CR4_PSE != 0)
    lower, entry = upper, pde
    if large:
        # below the page's address only the flags and PAT (bit 12) may be set
        reserved |= large_size - 0x2000
        if pde & reserved:
            return page_fault(m, linear, access, FAULT_PRESENT | FAULT_RESERVED)
        rights = pde & (TLB_WRITE | TLB_USER) | TLB_LARGE
        if wide:
            rights |= TLB_LARGE_2M
        page = (pde & 0xFFFFFFFFF & ~(large_size - 1)) | linear & (large_size - 0x1000)
    else:
        if pde & reserved:
            return page_fault(m, linear, access, FAULT_PRESENT | FAULT_RESERVED)
        if wide:
            lower = (pde & 0xFFFFFF000) + (linear >> 12 & 511) * 8
        else:
            lower = (pde & 0xFFFFF000) + (linear >> 12 & 1023) * 4
        entry = reference(m, lower, size)
        if not entry & E_PRESENT:
            return page_fault(m, linear, access, 0)
        if entry & reserved:
            return page_fault(m, linear, access, FAULT_PRESENT | FAULT_RESERVED)
        rights = pde & entry & (TLB_WRITE | TLB_USER)
        page = entry & 0xFFFFFF000
    if not allowed(m, access, rights):
        return page_fault(m, linear, access, FAULT_PRESENT)
    if lower != upper:
        mark(m, upper, pde, E_ACCESSED)
    if access & WRITE:
        mark(m, lower, entry, E_ACCESSED | E_DIRTY)
        rights |= TLB_DIRTY
    else:
        mark(m, lower, entry, E_ACCESSED)
        rights |= entry & E_DIRTY
    if entry & E_GLOBAL and c[CR4] & CR4_PGE:
        rights |= TLB_GLOBAL
    return page, rights
