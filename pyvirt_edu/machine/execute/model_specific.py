"""The time-stamp counter and the model-specific registers (manual 3B, 17.17; manual 4)."""

from __future__ import annotations

import numpy as np

from ..protection.privilege import require_ring_0
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import (
    APIC_BASE,
    CPL,
    CR4,
    CR4_TSD,
    CYCLES,
    GP,
    LEDGER,
    PAT,
    RAX,
    RCX,
    RDX,
    SYSENTER_CS,
    SYSENTER_EIP,
    SYSENTER_ESP,
    TSC_OFFSET,
)

WORD32 = 0xFFFF_FFFF
MSR_TSC, MSR_PLATFORM, MSR_APIC_BASE, MSR_MICROCODE = 0x10, 0x17, 0x1B, 0x8B
MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP = 0x174, 0x175, 0x176
MSR_PAT = 0x277
# of IA32_APIC_BASE only the address can change: there is no APIC to enable
APIC_ADDRESS, APIC_BOOT = 0xF_FFFF_F000, 0x100


@core
def time_stamp(m):
    """Cycles so far, those of this instruction's memory accesses included."""
    c = cpu(m)
    return c[CYCLES] + c[LEDGER] + c[TSC_OFFSET]


@core
def put_edx_eax(m, value):
    c = cpu(m)
    c[RAX] = value & WORD32
    c[RDX] = value >> 32


@core
def read_time_stamp(m):
    """RDTSC; CR4.TSD reserves it for ring 0."""
    c = cpu(m)
    if (c[CR4] & CR4_TSD) and c[CPL]:
        fault(m, GP, 0)
        return
    put_edx_eax(m, time_stamp(m))


@core
def read_msr(m):
    """RDMSR: #GP(0) for a register that does not exist."""
    c = cpu(m)
    if require_ring_0(m) == 0:
        return
    number = c[RCX] & WORD32
    if number == MSR_TSC:
        put_edx_eax(m, time_stamp(m))
    elif number == MSR_APIC_BASE:
        put_edx_eax(m, c[APIC_BASE])
    elif number == MSR_PLATFORM or number == MSR_MICROCODE:
        put_edx_eax(m, 0)  # the first of the platforms; no update was loaded
    elif number == MSR_SYSENTER_CS:
        put_edx_eax(m, c[SYSENTER_CS])
    elif number == MSR_SYSENTER_ESP:
        put_edx_eax(m, c[SYSENTER_ESP])
    elif number == MSR_SYSENTER_EIP:
        put_edx_eax(m, c[SYSENTER_EIP])
    elif number == MSR_PAT:
        put_edx_eax(m, c[PAT])
    else:
        fault(m, GP, 0)


@core
def memory_types(value):
    """Whether each byte is a type that the PAT knows: 0, 1, 4, 5, 6 or 7 (manual 3A, 11.12.2)."""
    for i in range(8):
        kind = value >> (8 * np.uint64(i)) & 0xFF
        if kind > 7 or kind >> 1 == 1:
            return 0
    return 1


@core
def write_msr(m):
    """WRMSR: #GP(0) for a register that does not exist, or a reserved bit."""
    c = cpu(m)
    if require_ring_0(m) == 0:
        return
    number = c[RCX] & WORD32
    low = c[RAX] & WORD32
    value = low | ((c[RDX] & WORD32) << 32)
    if number == MSR_TSC:
        c[TSC_OFFSET] = value - c[CYCLES] - c[LEDGER]
    elif number == MSR_APIC_BASE:
        if value & ~(APIC_ADDRESS | APIC_BOOT):
            fault(m, GP, 0)
        else:
            c[APIC_BASE] = (value & APIC_ADDRESS) | (c[APIC_BASE] & APIC_BOOT)
    elif number == MSR_MICROCODE:
        return  # written as zero before the revision is read
    elif number == MSR_SYSENTER_CS:
        c[SYSENTER_CS] = low
    elif number == MSR_SYSENTER_ESP:
        c[SYSENTER_ESP] = low
    elif number == MSR_SYSENTER_EIP:
        c[SYSENTER_EIP] = low
    elif number == MSR_PAT:
        if memory_types(value):
            c[PAT] = value
        else:
            fault(m, GP, 0)
    else:
        fault(m, GP, 0)
