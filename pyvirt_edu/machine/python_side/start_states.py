"""The two states in which programs start: after RESET#, and as a loader leaves a machine."""

from __future__ import annotations

import numpy as np

from ..state.arrays import segment_ends
from ..state.layout import (
    A20_MASK,
    A20_OPEN,
    APIC_BASE,
    ATTENTION,
    ATTRIBUTES,
    BASE,
    BREAKPOINT_COUNT,
    CC_CARRIES,
    CC_RESULT,
    CPL,
    CR0,
    CS,
    CYCLES,
    DATA_ACCESSES,
    DR6,
    DR7,
    EFLAGS,
    GENERATION,
    HALTED,
    IDLE_CYCLES,
    IDTR_LIMIT,
    INSTRUCTION_LIMIT,
    INSTRUCTIONS,
    INTERCEPT_VECTORS,
    LIMIT,
    MODE,
    MODE_CODE32,
    MODE_STACK32,
    NESTED_MODE,
    NESTED_ROOT,
    NEVER,
    PAT,
    PLACE_MASK,
    RAM_EVERYWHERE,
    RAM_MAP,
    RDX,
    RIP,
    RSP,
    RUN_DEADLINE,
    SELECTOR,
    TIMER,
    TRACING,
    WALK_REFERENCES,
    X87_CONTROL,
    X87_VALID,
)
from .checks import within
from .inputs import Inputs

M32 = 0xFFFF_FFFF
SIGNATURE = 0x0652  # family 6, model 5, as CPUID says
#: What a reset by the guest leaves: counts, the limits of the run, the debugger's words.
GOING_ON = (
    *(INSTRUCTIONS, CYCLES, IDLE_CYCLES, INSTRUCTION_LIMIT, RUN_DEADLINE, TRACING, BREAKPOINT_COUNT),
    *range(DATA_ACCESSES, WALK_REFERENCES + 1),
    *range(INTERCEPT_VECTORS, INTERCEPT_VECTORS + 4),
)


class StartStates(Inputs):
    """No state of its own: it sets the processor's row."""

    def _reset_processor(self, in_operation: bool = False) -> None:
        """Put the row into its state after RESET#; in operation, counts and limits go on."""
        row = self._row
        kept = [(i, int(row[i])) for i in (GENERATION, NESTED_ROOT, NESTED_MODE)]
        if in_operation:
            kept += [(i, int(row[i])) for i in GOING_ON]
        row[:] = 0
        row[RIP] = 0xFFF0
        row[EFLAGS] = 2
        row[CR0] = 0x6000_0010
        row[DR6], row[DR7] = 0xFFFF_0FF0, 0x400
        row[RDX] = SIGNATURE
        row[LIMIT : LIMIT + 8] = 0xFFFF
        row[ATTRIBUTES : ATTRIBUTES + 6] = 0x93
        row[ATTRIBUTES + 6], row[ATTRIBUTES + 7] = 0x82, 0x8B
        row[ATTRIBUTES + CS] = 0x9B
        row[SELECTOR + CS], row[BASE + CS] = 0xF000, 0xFFFF_0000
        for segment in range(6):
            segment_ends(row, segment, True)
        row[LIMIT + 6] = row[LIMIT + 7] = 0xFFFF
        row[IDTR_LIMIT] = row[IDTR_LIMIT - 2] = 0xFFFF
        row[A20_MASK] = row[PLACE_MASK] = A20_OPEN
        row[APIC_BASE] = 0xFEE0_0100
        row[PAT] = 0x0007_0406_0007_0406
        row[CC_RESULT] = 1  # every arithmetic flag clear: not zero, parity odd
        row[CC_CARRIES] = 0
        row[RUN_DEADLINE] = row[TIMER] = NEVER
        row[X87_CONTROL], row[X87_VALID] = 0x40, 0xFF  # eight zeros, every exception unmasked
        row[RAM_MAP] = RAM_EVERYWHERE
        for offset, value in kept:
            row[offset] = value
        self._a.tlb[:] = 0
        self._a.forget_addresses()
        row[ATTENTION] = 1

    def enter_protected_mode(self, eip: int, esp: int | None = None) -> None:
        """Flat 32-bit protected mode, ring 0, paging off, as a loader leaves it.

        The segment caches are set directly, so no GDT is needed; a guest that wants to load
        segments brings its own.
        """
        words = [(RIP, within("eip", eip, 32)), (CR0, self._c[CR0] & 0x7FFF_FFFF | 1), (CPL, 0)]
        if esp is not None:
            words.append((RSP, within("esp", esp, 32)))
        words += [(EFLAGS, 2), (HALTED, 0), (ATTENTION, 1), (MODE, MODE_CODE32 | MODE_STACK32)]
        for segment in range(6):
            code = segment == CS
            words += [
                (SELECTOR + segment, 8 if code else 16),
                (BASE + segment, 0),
                (LIMIT + segment, M32),
                (ATTRIBUTES + segment, 0xC09B if code else 0xC093),
            ]
        scratch = self._row.copy()
        for offset, value in words:
            scratch[offset] = value
        for segment in range(6):
            segment_ends(scratch, segment, segment != CS)
        changed = np.flatnonzero(scratch != self._row)
        self._poke(tuple((int(i), int(scratch[i])) for i in changed) + ((ATTENTION, 1),))
        self._a.forget_addresses()
