"""ModRM, SIB and displacement: which register or which address (manual 2A, 2.1.5)."""

from __future__ import annotations

import numpy as np

from ..state.jit import core
from ..state.layout import DS, RBP, RBX, RSP, SS, T1, ZERO
from .emit import emit_memory
from .scratch import (
    D_ADDRESS,
    D_BASE,
    D_DISPLACEMENT,
    D_EA_SEGMENT,
    D_INDEX,
    D_MOD,
    D_MODRM,
    D_REG,
    D_RM,
    D_SCALE,
    D_SEGMENT,
    fetch,
    fetch8,
    scratch,
    sign_extended,
)
from .uops import U_LEA16


@core
def decode_modrm(m, register_only):
    """Read ModRM and what belongs to it; MOV CR and DR ignore the mod field."""
    d = scratch(m)
    modrm = fetch8(m)
    d[D_MODRM] = modrm
    d[D_MOD] = modrm >> 6
    if register_only:
        d[D_MOD] = 3
    d[D_REG] = modrm >> 3 & 7
    d[D_RM] = modrm & 7
    d[D_BASE] = ZERO
    d[D_INDEX] = ZERO
    d[D_SCALE] = 0
    d[D_DISPLACEMENT] = 0
    segment = np.uint64(DS)
    if d[D_MOD] != 3:
        if d[D_ADDRESS] == 2:
            segment = decode_address16(m)
        else:
            segment = decode_address32(m)
    if d[D_SEGMENT] < 8:
        segment = d[D_SEGMENT]
    d[D_EA_SEGMENT] = segment


@core
def decode_address16(m):
    """Table 2-1; returns the default segment."""
    d = scratch(m)
    rm = d[D_RM]
    mod = d[D_MOD]
    segment = np.uint64(DS)
    if mod == 0 and rm == 6:
        d[D_DISPLACEMENT] = fetch(m, 2)
        return segment
    if rm == 0 or rm == 1 or rm == 7:
        d[D_BASE] = RBX
    elif rm == 2 or rm == 3 or rm == 6:
        d[D_BASE] = RBP
        segment = np.uint64(SS)
    elif rm == 4:
        d[D_BASE] = 6
    else:
        d[D_BASE] = 7
    if rm == 0 or rm == 2:
        d[D_INDEX] = 6
    elif rm == 1 or rm == 3:
        d[D_INDEX] = 7
    if mod == 1:
        d[D_DISPLACEMENT] = sign_extended(fetch(m, 1), 1)
    elif mod == 2:
        d[D_DISPLACEMENT] = fetch(m, 2)
    return segment


@core
def decode_address32(m):
    """Tables 2-2 and 2-3; returns the default segment."""
    d = scratch(m)
    mod = d[D_MOD]
    base = d[D_RM]
    segment = np.uint64(DS)
    if base == 4:
        sib = fetch8(m)
        base = sib & 7
        if sib >> 3 & 7 != 4:
            d[D_INDEX] = sib >> 3 & 7
            d[D_SCALE] = sib >> 6
    if base == RBP and mod == 0:
        d[D_DISPLACEMENT] = fetch(m, 4)
        return segment
    d[D_BASE] = base
    if base == RSP or base == RBP:
        segment = np.uint64(SS)
    if mod == 1:
        d[D_DISPLACEMENT] = sign_extended(fetch(m, 1), 1)
    elif mod == 2:
        d[D_DISPLACEMENT] = fetch(m, 4)
    return segment


@core
def wrap_address(m):
    """A 16-bit offset wraps: compute it first, into T1."""
    d = scratch(m)
    if d[D_ADDRESS] == 2 and not (d[D_BASE] == ZERO and d[D_INDEX] == ZERO):
        emit_memory(m, U_LEA16, T1, 0, 0)
        use_address(m, T1)


@core
def use_address(m, pointer):
    d = scratch(m)
    d[D_BASE] = pointer
    d[D_INDEX] = ZERO
    d[D_SCALE] = 0
    d[D_DISPLACEMENT] = 0
