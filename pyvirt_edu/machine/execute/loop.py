"""The loop of the processor: from one instruction boundary to the next, a block at a time.

On a boundary the state is whole in the processor's row. Exits leave there, traps, interrupts and
faults are delivered there, and the clock and the instruction count decide whether to go on.

Between two boundaries, in `run_blocks`, this lives in local variables and is stale in the row: RIP, the
counts of instructions, cycles and accesses, and the two words of the arithmetic flags. They meet
the row when `run_blocks` ends, and around an instruction that a unit executes (micro_ops.assist).
All else is in the row at all times. What changes how code is found or memory is accessed sets STOP, so
that `run_blocks` ends after the instruction.

A block that does not fit under a limit is replaced by single instructions, so a run that is cut in
slices ends up with the same counts as one that is not.
"""

from __future__ import annotations

from ..decode.uops import U_ASSIST, U_CALL32, U_LOAD8, U_POP32, U_RETURN32
from ..memory.links import link_slot
from ..memory.paging import translates
from ..state.handles import blocks, breakpoints, call_unit, cpu, fast, links, ram, traced_cpu, uops
from ..state.jit import UNIT_DELIVER, UNIT_FIND_BLOCK, core, core_hot, unit
from ..state.layout import (
    ATTENTION,
    BASE,
    BREAKPOINT_COUNT,
    CC_CARRIES,
    CC_RESULT,
    CS,
    CYCLES,
    DATA_ACCESSES,
    DEADLINE,
    EVENT,
    EVENT_ERROR,
    EVENT_EXIT,
    EVENT_FAULT,
    EVENT_READ,
    EVENT_SHUTDOWN,
    EXIT_BREAKPOINT,
    EXIT_EXCEPTION,
    EXIT_LIMIT,
    EXIT_LINEAR,
    EXIT_NONE,
    EXIT_REASON,
    EXIT_SHUTDOWN,
    FETCH_ACCESSES,
    GENERATION,
    HALTED,
    INSTRUCTION_LIMIT,
    INSTRUCTION_RIP,
    INSTRUCTIONS,
    LEDGER,
    LIMIT,
    MODE,
    MODE_SINGLE,
    REPLAY_COUNT,
    REPLAY_INDEX,
    RESUME_BREAKPOINT,
    RIP,
    SINGLE,
    STOP,
    TRAP_AFTER,
)
from .attention import after_instruction, attend, device_events, set_deadline
from .fast_path import fast_part
from .micro_ops import execute
from .moves import M32

NOWHERE = 0xFFFF_FFFF_FFFF_FFFF  # not an instruction pointer


# --- boundaries ------------------------------------------------------------------------


@core
def leave(m, reason):
    """Note why the loop returns; what Python fills in or clears lies in the exit record."""
    c = cpu(m)
    c[EXIT_REASON] = reason
    return reason


@core_hot
def settle(c):
    """The cycles that slow accesses and units have noted since the last time."""
    cycles = c[LEDGER]
    c[LEDGER] = 0
    return cycles


@core
def breakpoint_in(m, linear, length):
    """0; 1 if a breakpoint lies inside the block; 2 if on its first instruction."""
    c = cpu(m)
    points = breakpoints(m)
    inside = 0
    for i in range(c[BREAKPOINT_COUNT]):
        if points[i] == linear:
            return 2
        if points[i] - linear < length:
            inside = 1
    return inside


@core
def before_instruction(m):
    """Everything that is looked at on a boundary; returns an exit reason, 0 to go on."""
    c = cpu(m)
    if c[ATTENTION]:
        reason = after_instruction(m)
        if reason:
            return reason
    if c[INSTRUCTIONS] >= c[INSTRUCTION_LIMIT]:
        return EXIT_LIMIT
    if c[CYCLES] >= c[DEADLINE] and not c[HALTED]:
        reason = device_events(m)
        if reason:
            return reason
    if c[REPLAY_COUNT]:
        return EXIT_NONE  # in the middle of an instruction that reads a device
    if c[BREAKPOINT_COUNT]:
        linear = (c[BASE + CS] + c[RIP]) & M32
        if breakpoint_in(m, linear, 1) == 2 and c[RESUME_BREAKPOINT] != linear + 1:
            c[EXIT_LINEAR] = linear
            return EXIT_BREAKPOINT
        c[RESUME_BREAKPOINT] = 0
    if c[ATTENTION]:
        reason = attend(m)
        if reason == EXIT_EXCEPTION and c[EVENT] & EVENT_SHUTDOWN:
            reason = EXIT_SHUTDOWN
        c[EVENT] = 0
        return reason
    return EXIT_NONE


@core
def deliver_fault(m, vector, error):
    """Deliver an exception of the instruction at RIP; returns an exit reason or 0."""
    c = cpu(m)
    call_unit(m, UNIT_DELIVER, vector, 0, error)
    c[CYCLES] += settle(c)
    event = c[EVENT]
    c[EVENT] = 0
    if event & EVENT_SHUTDOWN:
        return EXIT_SHUTDOWN
    if event:
        return EXIT_EXCEPTION
    c[TRAP_AFTER] = 0
    traced_cpu(m)[EVENT] = 1
    c[INSTRUCTIONS] += 1  # a delivery is a step of its own: every boundary has its number
    return EXIT_NONE


@core
def take_event(m):
    """What the last instruction ran into; returns an exit reason, 0 to go on."""
    c = cpu(m)
    event = c[EVENT]
    c[EVENT] = 0
    if event & EVENT_READ:
        c[REPLAY_INDEX] = 0
        return c[EXIT_REASON]
    if event & EVENT_SHUTDOWN:
        return EXIT_SHUTDOWN
    if event & EVENT_EXIT:
        return EXIT_EXCEPTION
    if event & EVENT_FAULT:
        c[REPLAY_COUNT] = 0
        return deliver_fault(m, event & 0xFF, c[EVENT_ERROR])
    return EXIT_NONE


# --- which block -----------------------------------------------------------------------


@core_hot
def fits(c, b, rip, instructions, cycles):
    """Whether a block ends within all limits: of instructions, of cycles, and of the code segment."""
    return (
        instructions + b.count <= c[INSTRUCTION_LIMIT]
        and cycles + b.cycles <= c[DEADLINE]
        and rip + b.length <= c[LIMIT + CS] + 1
    )


@core_hot
def linked(m, c, linear):
    """The block that a link names, or 0 (links.py)."""
    entry = links(m)[link_slot(linear)]
    if entry.linear == linear and entry.context == c[MODE] | c[GENERATION] << 8:
        return entry.block
    return 0


@core
def find(m, number, linear, rip, instructions, cycles):
    """No link, or its block does not fit: another one from the unit that decodes, and whether a boundary
    must follow it. Number 0: there is none, because of a limit or an event."""
    c = cpu(m)
    if instructions >= c[INSTRUCTION_LIMIT] or cycles >= c[DEADLINE]:
        return 0, cycles, 0
    if blocks(m)[number].count == 0:
        number = call_unit(m, UNIT_FIND_BLOCK, linear, rip, 0)
        cycles += settle(c)
        if c[EVENT]:
            return 0, cycles, 0
    b = blocks(m)[number]
    if (
        c[REPLAY_COUNT]
        or not fits(c, b, rip, instructions, cycles)
        or c[BREAKPOINT_COUNT]
        and breakpoint_in(m, linear, b.length)
    ):
        number = call_unit(m, UNIT_FIND_BLOCK, linear, rip, 1)
        cycles += settle(c)
        if c[EVENT]:
            return 0, cycles, 0
        return number, cycles, 1
    return number, cycles, c[BREAKPOINT_COUNT]


@core_hot
def next_block(m, c, rip, instructions, cycles):
    """The block at RIP: (number, cycles, whether a boundary must follow it)."""
    linear = (c[BASE + CS] + rip) & M32
    number = linked(m, c, linear)
    b = blocks(m)[number]
    if b.count and fits(c, b, rip, instructions, cycles) and not c[BREAKPOINT_COUNT] | c[REPLAY_COUNT]:
        return number, cycles, 0
    return find(m, number, linear, rip, instructions, cycles)


# --- execution -------------------------------------------------------------------------


@core
def is_access(kind):
    """Whether a micro-op counts as one data access."""
    return (kind >= U_LOAD8 and kind <= U_POP32) or kind == U_CALL32 or kind == U_RETURN32


@core
def partial(m, start, here):
    """Instructions, cycles and data accesses of the micro-ops [start, here): whole instructions, but
    every access that was done."""
    table = uops(m)
    stop = table[here].ordinal
    cycles, accesses = 0, 0
    last = 255
    for i in range(start, here):
        u = table[i]
        if u.ordinal != last and u.ordinal < stop:
            cycles += u.cost
        last = u.ordinal
        if is_access(u.kind):
            accesses += 1
    return stop, cycles, accesses


@core_hot
def run_blocks(m, c):
    """Execute blocks, until something is out of the ordinary."""
    window = fast(m), ram(m), fast_part(m)
    rip, instructions, cycles = c[RIP], c[INSTRUCTIONS], c[CYCLES]
    result, carries = c[CC_RESULT], c[CC_CARRIES]
    accesses, fetches, paging = 0, 0, translates(m)
    c[STOP] = 0
    # single instructions, and whatever waits for a window, are looked at after every block
    to_boundary = c[REPLAY_COUNT] | c[SINGLE] | c[ATTENTION]
    loop_rip = NOWHERE  # where the last block started, if it may be run again without a look
    start, natural, planned, planned_cycles, planned_accesses = 0, 0, 0, 0, 0
    while True:
        if (
            rip != loop_rip
            or instructions + planned > c[INSTRUCTION_LIMIT]
            or cycles + planned_cycles > c[DEADLINE]
        ):
            number, cycles, alone = next_block(m, c, rip, instructions, cycles)
            if number == 0:
                break
            to_boundary |= alone
            loop_rip = NOWHERE
            if not to_boundary:
                loop_rip = rip
            b = blocks(m)[number]
            start, natural, planned = b.start, b.end, b.count
            planned_cycles, planned_accesses = b.cycles, b.accesses
        end, target, instructions, cycles, result, carries = execute(
            m, c, window, start, natural, rip, instructions, cycles, planned, planned_cycles, result, carries
        )
        if end == natural:
            instructions += planned
            cycles += planned_cycles
            accesses += planned_accesses
            fetches += planned
            rip = target
        else:
            u = uops(m)[end]
            done, spent, touched = partial(m, start, end)
            instructions += done
            cycles += spent
            accesses += touched
            fetches += done
            rip += u.rip
            if c[EVENT] and u.kind == U_ASSIST:
                rip = c[INSTRUCTION_RIP]  # after a task switch the fault is the new task's
            to_boundary = 1
        cycles += settle(c)
        if to_boundary | c[STOP]:
            break
    c[RIP] = rip
    c[INSTRUCTIONS] = instructions
    c[CYCLES] = cycles
    c[CC_RESULT] = result
    c[CC_CARRIES] = carries
    if paging:
        c[DATA_ACCESSES] += accesses
        c[FETCH_ACCESSES] += fetches


@unit
def run(m, a_, b_, c_):
    """Execute until there is a reason to return; the reason is also in EXIT_REASON.

    No local variable lives from round to round: of one that is constant after the first, LLVM makes
    a second copy of all that is inlined here.
    """
    c = cpu(m)
    c[EXIT_REASON] = 0
    c[REPLAY_INDEX] = 0
    set_deadline(m)
    if c[REPLAY_COUNT]:
        c[SINGLE] = 1
    while True:
        instructions = c[INSTRUCTIONS]
        reason = before_instruction(m)
        if reason:
            return leave(m, reason)
        if c[INSTRUCTIONS] != instructions:
            continue  # delivered something: that is a step with a boundary of its own
        run_blocks(m, c)
        if c[EVENT]:
            reason = take_event(m)
            if reason:
                return leave(m, reason)
        if c[REPLAY_COUNT]:
            c[REPLAY_COUNT] = 0
            c[REPLAY_INDEX] = 0
            c[SINGLE] = c[MODE] & MODE_SINGLE
