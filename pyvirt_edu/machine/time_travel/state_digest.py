"""The digest of a machine: equal digests mean machines that go on alike.

Every word of state goes into it: the processors' rows, the TLBs, devices, RAM. Left out are
the words named here, each with its reason:

    DERIVED      the rest of the state says them; `recompute` puts them right after a restore
    OF_THE_RUN   what whoever runs the machine asked for, and how the last run ended
    SCRATCH      written before it is read within one instruction; any value will do between two

and a few words have many spellings of one meaning: ONE_SPELLING says how they are read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable

import numpy as np

from ..memory.hostaccess_ops import HOST_UPDATE_SEGMENTS
from ..registers import arithmetic_flags
from ..state.arrays import Arrays
from ..state.layout import (
    A20_MASK,
    A20_OPEN,
    ATTENTION,
    CC_CARRIES,
    CC_RESULT,
    CPU_DTYPE,
    DEADLINE,
    NESTED_ROOT,
    PLACE_MASK,
    POSTED,
    POSTED_COUNT,
    POSTED_ROOM,
    REPLAY,
    REPLAY_COUNT,
    REPLAY_ROOM,
    RUN_DEADLINE,
    SHADOW,
    SHADOW_ARMED,
    SINGLE,
    TIMER,
    TLB_ENTRIES,
    TLB_VALID,
)

DERIVED = {
    "read_end": "of the segment caches and CR0.PE",
    "write_end": "of the segment caches and CR0.PE",
    "mode": "of CS.D, SS.B and CPL; its bit for single instructions follows `single`",
    "single": "decided anew at each boundary at which `attention` is set",
    "attention": "may be set at any boundary: a look that finds nothing changes nothing",
    "deadline": "the earlier of run_deadline and timer; each run begins with that",
    "place_mask": "the A20 gate, or all ones with nested tables",
    "generation": "tells valid links to decoded code from old ones, and a restore empties them all",
}
OF_THE_RUN = {
    "instruction_limit": "where a slice of the run ends",
    "run_deadline": "where its caller wants it to end",
    "tracing": "whether the run is recorded",
    "traced_count": "stores that a hypervisor has not been told of; it asks at each exit",
    "traced": "see traced_count",
    "breakpoint_count": "the debugger's; Python keeps the list",
    "resume_breakpoint": "the debugger's: the breakpoint that a run begins on",
    "intercept_vectors": "the debugger's; Python keeps the set",
    "exit_reason": "how the last run ended",
    "exit_qualification": "port or address of the access that ended it",
    "exit_value": "what that wrote, or an error code",
    "exit_linear": "the breakpoint or watchpoint that ended it",
    "exit_physical": "the address of a device read",
    "exit_length": "of the last instruction that a unit did",
    "exit_vector": "of the exception that ended it",
}
SCRATCH = {
    "temp": "micro-ops write them before they read them",
    "event_error": "speaks only while `event` does, and that is 0 between instructions",
    "stop": "cleared when a boundary is left",
    "instruction_rip": "set before each call of a unit",
    "walk_count": "a page walk begins with none",
    "walk": "written before it is read, by the same walk",
    "replay_index": "0 when an instruction begins",
}
ONE_SPELLING = {
    "cc_result": "with cc_carries: hashed as the six flags that the two stand for (flags.py)",
    "cc_carries": "see cc_result",
    "shadow": "0 once it is armed: its instruction has begun, and the next boundary clears it",
    "replay": "behind replay_count lie answers of the past",
    "posted": "behind posted_count lie writes of the past",
}


def _words(names: Iterable[str]) -> np.ndarray:
    """Offsets of the words of these fields."""
    words: list[int] = []
    for name in names:
        kind, place = CPU_DTYPE.fields[name][:2]  # type: ignore[index]
        words += range(place // 8, (place + kind.itemsize) // 8)
    return np.array(words)


LEFT_OUT = _words([*DERIVED, *OF_THE_RUN, *SCRATCH])
_REPLAY_END = REPLAY + REPLAY_ROOM
_POSTED_END = POSTED + 2 * POSTED_ROOM


def canonical_row(row: np.ndarray) -> np.ndarray:
    """A copy of a processor's row that is the same for all rows that mean the same."""
    same = row.copy()
    same[CC_RESULT] = arithmetic_flags(int(row[CC_RESULT]), int(row[CC_CARRIES]))
    same[CC_CARRIES] = 0
    if int(row[SHADOW]) & SHADOW_ARMED:
        same[SHADOW] = 0
    same[REPLAY + int(row[REPLAY_COUNT]) : _REPLAY_END] = 0
    same[POSTED + 2 * int(row[POSTED_COUNT]) : _POSTED_END] = 0
    same[LEFT_OUT] = 0
    return same


def without_scratch(words: np.ndarray) -> np.ndarray:
    """Rows for a state that is kept: scratch is cleared, as a restore clears it."""
    kept = words.copy()
    kept[:, _words(SCRATCH)] = 0
    kept[:, ATTENTION] = 1
    return kept


def canonical_tlb(tlb: np.ndarray) -> np.ndarray:
    """A copy in which entries that were dropped are empty."""
    same = tlb.copy()
    entries = same[:TLB_ENTRIES]
    entries[entries["tag"] & TLB_VALID == 0] = 0
    return same


def digest(arrays: Arrays, more: Iterable[bytes] = ()) -> str:
    """The hash of a machine's arrays, and of state that Python keeps for them."""
    state = hashlib.blake2b(digest_size=16)
    for row, tlb in zip(arrays.words, arrays.tlb, strict=True):
        state.update(canonical_row(row).tobytes())
        state.update(canonical_tlb(tlb).tobytes())
    state.update(arrays.devices.data)
    state.update(arrays.device_bytes.data)
    for data in more:
        state.update(len(data).to_bytes(8, "little") + data)
    state.update(arrays.ram.data)
    return state.hexdigest()


def recompute(arrays: Arrays, host: Callable[[int, int, int, int], int]) -> None:
    """Derive the derived words of the processor from the others, and clear scratch.

    `host` is the unit host_access: it computes the words of segments as a load of one does.
    """
    row = arrays.words[0]
    row[_words(SCRATCH)] = 0
    row[ATTENTION], row[SINGLE] = 1, 0
    row[PLACE_MASK] = A20_OPEN if row[NESTED_ROOT] else row[A20_MASK]
    row[DEADLINE] = min(row[RUN_DEADLINE], row[TIMER])
    host(arrays.handle.ctypes.data, HOST_UPDATE_SEGMENTS, 0, 0)
    arrays.forget_addresses()
