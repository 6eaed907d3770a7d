"""CPUID: what this processor is, and exactly what it has (manual 2A, CPUID)."""

from __future__ import annotations

from ..state.handles import cpu
from ..state.jit import core
from ..state.layout import RAX, RBX, RCX, RDX

HIGHEST_LEAF = 2
# type 0, family 6, model 5, stepping 2: SYSENTER is not believed on earlier ones
SIGNATURE = 0x0652

# Feature bits of leaf 1, EDX. There is no APIC, no machine check, no VME, no MMX.
FEATURE_FPU = 1 << 0  # the x87
FEATURE_DE = 1 << 2  # CR4.DE: I/O breakpoints
FEATURE_PSE = 1 << 3  # 4 MiB pages
FEATURE_TSC = 1 << 4  # RDTSC and CR4.TSD
FEATURE_MSR = 1 << 5  # RDMSR, WRMSR
FEATURE_PAE = 1 << 6
FEATURE_CX8 = 1 << 8  # CMPXCHG8B
FEATURE_SEP = 1 << 11  # SYSENTER, SYSEXIT
FEATURE_PGE = 1 << 13  # global pages
FEATURE_CMOV = 1 << 15  # CMOVcc, and with the x87 FCMOVcc and FCOMI
FEATURE_PAT = 1 << 16  # IA32_PAT; memory types change nothing where there are no caches
FEATURE_FXSR = 1 << 24  # FXSAVE, FXRSTOR and CR4.OSFXSR
FEATURES = (
    FEATURE_FPU
    | FEATURE_DE
    | FEATURE_PSE
    | FEATURE_TSC
    | FEATURE_MSR
    | FEATURE_PAE
    | FEATURE_CX8
    | FEATURE_SEP
    | FEATURE_PGE
    | FEATURE_CMOV
    | FEATURE_PAT
    | FEATURE_FXSR
)
# Leaf 2, one byte a descriptor. None describes the simulated TLBs (4 ways of 256), so none is
# given: 40h says that there is no second-level cache, the low byte that one CPUID tells all.
DESCRIPTORS = 0x0000_4001


@core
def identify(m):
    """Leaves above the highest answer as the highest does; no extended ones exist."""
    c = cpu(m)
    leaf = c[RAX] & 0xFFFF_FFFF
    if leaf == 0:
        c[RAX] = HIGHEST_LEAF
        c[RBX] = 0x756E_6547  # "Genu"
        c[RDX] = 0x4965_6E69  # "ineI"
        c[RCX] = 0x6C65_746E  # "ntel"
    elif leaf == 1:
        c[RAX] = SIGNATURE
        c[RBX] = 0
        c[RCX] = 0
        c[RDX] = FEATURES
    else:
        c[RAX] = DESCRIPTORS
        c[RBX] = 0
        c[RCX] = 0
        c[RDX] = 0
