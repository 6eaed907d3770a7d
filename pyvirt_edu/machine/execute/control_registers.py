"""Control registers: what may be written, and what a write sets off (manual 3A, 2.5 and 4.10.4).

Everything translated with the old value has to go when a bit that takes part in translation
changes. The table of the manual says how much: CR0.PG, CR4.PGE, PSE and PAE drop all TLB
entries, CR3 those that are not global. CR0.PE changes what the segment caches allow.
"""

from __future__ import annotations

import numpy as np

from ..costs import COST_CONTROL, COST_FLUSH
from ..memory.access import word_operand
from ..memory.paging import load_pdptes, pdptes_are_valid
from ..memory.segment_cache import update_ends, update_mode
from ..memory.tlb import flush_fast, flush_for_cr3, flush_tlb, invalidate_page
from ..protection.privilege import require_ring_0
from ..state.handles import charge, costs, cpu, fault
from ..state.jit import core
from ..state.layout import (
    ATTENTION,
    BASE,
    CR0,
    CR0_AM,
    CR0_CD,
    CR0_EM,
    CR0_ET,
    CR0_MP,
    CR0_NE,
    CR0_NW,
    CR0_PE,
    CR0_PG,
    CR0_TS,
    CR0_WP,
    CR2,
    CR3,
    CR4,
    CR4_DE,
    CR4_OSFXSR,
    CR4_PAE,
    CR4_PGE,
    CR4_PSE,
    CR4_TSD,
    EVENT,
    GP,
    T0,
    T1,
    UD,
)

WORD32 = 0xFFFF_FFFF
CR0_WRITABLE = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG
# what CPUID reports, and nothing else
CR4_WRITABLE = CR4_TSD | CR4_DE | CR4_PSE | CR4_PAE | CR4_PGE | CR4_OSFXSR


# --- writes ----------------------------------------------------------------------------------------


@core
def write_cr0(m, value):
    """Bits that do not exist keep their value; combinations that cannot be are #GP(0)."""
    c = cpu(m)
    before = c[CR0]
    after = (value & CR0_WRITABLE) | CR0_ET
    if (after & CR0_PG) and (after & CR0_PE) == 0:
        return fault(m, GP, 0)
    if (after & CR0_NW) and (after & CR0_CD) == 0:
        return fault(m, GP, 0)
    changed = before ^ after
    if (after & CR0_PG) and (c[CR4] & CR4_PAE) and (changed & (CR0_PG | CR0_CD | CR0_NW)):
        if pdptes_are_valid(m, c[CR3]) == 0:
            return fault(m, GP, 0)
        load_pdptes(m, c[CR3])
    c[CR0] = after
    if changed & CR0_PG:
        charge(m, costs(m)[COST_FLUSH])
        flush_tlb(m, 0)
    elif changed & (CR0_WP | CR0_PE):
        flush_fast(m)  # it rests on what these bits allowed; the TLB asks them again
    if changed & CR0_PE:
        for i in range(6):
            update_ends(m, np.uint64(i))
        update_mode(m)
        c[ATTENTION] = 1
    return 1


@core
def write_cr3(m, value):
    c = cpu(m)
    if (c[CR0] & CR0_PG) and (c[CR4] & CR4_PAE):
        if pdptes_are_valid(m, value) == 0:
            return fault(m, GP, 0)
        load_pdptes(m, value)
    c[CR3] = value
    flush_for_cr3(m)
    return 1


@core
def write_cr4(m, value):
    c = cpu(m)
    if value & ~CR4_WRITABLE:
        return fault(m, GP, 0)
    changed = c[CR4] ^ value
    translation = changed & (CR4_PAE | CR4_PGE | CR4_PSE)
    if translation and (c[CR0] & CR0_PG) and (value & CR4_PAE):
        if pdptes_are_valid(m, c[CR3]) == 0:
            return fault(m, GP, 0)
        load_pdptes(m, c[CR3])
    c[CR4] = value
    if translation:
        charge(m, costs(m)[COST_FLUSH])
        flush_tlb(m, 0)
    if changed & CR4_DE:
        c[ATTENTION] = 1
    return 1


# --- the instructions ------------------------------------------------------------------------------


@core
def move_to_control(m, reg):
    """MOV CRn, r32 (manual 2B, MOV)."""
    c = cpu(m)
    if reg == 1 or reg > 4:
        return fault(m, UD, 0)
    if require_ring_0(m) == 0:
        return 0
    charge(m, costs(m)[COST_CONTROL])
    value = c[T0] & WORD32
    if reg == 0:
        return write_cr0(m, value)
    if reg == 2:
        c[CR2] = value
        return 1
    if reg == 3:
        return write_cr3(m, value)
    return write_cr4(m, value)


@core
def move_from_control(m, reg):
    """MOV r32, CRn."""
    c = cpu(m)
    if reg == 1 or reg > 4:
        return fault(m, UD, 0)
    if require_ring_0(m) == 0:
        return 0
    if reg == 0:
        c[T0] = c[CR0]
    elif reg == 2:
        c[T0] = c[CR2]
    elif reg == 3:
        c[T0] = c[CR3]
    else:
        c[T0] = c[CR4]
    return 1


@core
def load_machine_status(m, in_memory, seg):
    """LMSW: PE, MP, EM and TS; PE can be set but not cleared (manual 2A, LMSW)."""
    c = cpu(m)
    if require_ring_0(m) == 0:
        return 0
    word = word_operand(m, in_memory, seg)
    if c[EVENT]:
        return 0
    value = (c[CR0] & ~0xE) | (word & 0xF)
    return write_cr0(m, value & WORD32)


@core
def clear_task_switched(m):
    """CLTS."""
    if require_ring_0(m):
        cpu(m)[CR0] &= ~CR0_TS & WORD32


@core
def invalidate_linear(m, seg):
    """INVLPG: the operand is an address only; no segment limit is checked."""
    c = cpu(m)
    if require_ring_0(m):
        invalidate_page(m, (c[BASE + seg] + c[T1]) & WORD32)
