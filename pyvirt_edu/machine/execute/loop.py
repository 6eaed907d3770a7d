"""The loop that executes micro-ops: what each of them means.

One pass of the outer loop is one block. Between blocks lies an instruction boundary: the
state is whole there, exits leave there, and the clock and the instruction count decide
whether the next block still fits. A block that does not fit is replaced by single
instructions, so a run that is cut in slices ends up with the same counts as one that is not.

Inside a block RIP, the counts and the arithmetic flags live in local variables; `spill` and
the lines after a unit's return are where they meet the processor's row.
"""

from __future__ import annotations

import numpy as np

from ..decode.uops import (
    U_ADC32,
    U_ADD32,
    U_ALU8,
    U_ALU16,
    U_AND32,
    U_ASSIST,
    U_BIT_OFFSET,
    U_BIT_SCAN,
    U_BIT_TEST,
    U_CALL32,
    U_CHECK_TARGET,
    U_CMP32,
    U_CMPXCHG,
    U_DEC32,
    U_FLAGS,
    U_IMUL,
    U_INC32,
    U_JUMP,
    U_JUMP_IF,
    U_JUMP_TO,
    U_LEA16,
    U_LEA32,
    U_LOAD8,
    U_LOAD16,
    U_LOAD32,
    U_LOOP,
    U_MODIFY8,
    U_MODIFY16,
    U_MODIFY32,
    U_MOVE8,
    U_MOVE16,
    U_MOVE32,
    U_MOVE_IF,
    U_NEG32,
    U_NOT32,
    U_OR32,
    U_PAGE_END,
    U_POP32,
    U_PUSH32,
    U_RETURN32,
    U_ROL32,
    U_ROR32,
    U_SAR32,
    U_SBB32,
    U_SET_IF,
    U_SHL32,
    U_SHR32,
    U_SIGN8,
    U_SIGN16,
    U_STORE8,
    U_STORE16,
    U_STORE32,
    U_SUB32,
    U_SWAP16,
    U_SWAP32,
    U_TEST32,
    U_UNARY8,
    U_UNARY16,
    U_XOR32,
)
from ..memory.links import link_slot
from ..state.flags import condition, sign_extend_8, sign_extend_16
from ..state.handles import (
    blocks,
    breakpoints,
    call_unit,
    cpu,
    fast,
    links,
    load_u8,
    load_u16,
    load_u32,
    ram,
    store_u8,
    store_u16,
    store_u32,
    traced_cpu,
    uops,
)
from ..state.jit import (
    UNIT_DELIVER,
    UNIT_FIND_BLOCK,
    UNIT_LOAD_SLOW,
    UNIT_STORE_SLOW,
    core,
    core_hot,
    unit,
)
from ..state.layout import (
    AC,
    ATTENTION,
    BASE,
    BREAKPOINT_COUNT,
    CC_CARRIES,
    CC_RESULT,
    CR0,
    CR0_AM,
    CS,
    CYCLES,
    DATA_ACCESSES,
    DEADLINE,
    EFLAGS,
    EVENT,
    EVENT_ERROR,
    EVENT_EXIT,
    EVENT_FAULT,
    EVENT_READ,
    EVENT_SHUTDOWN,
    EVENT_SLOW,
    EXIT_BREAKPOINT,
    EXIT_EXCEPTION,
    EXIT_LENGTH,
    EXIT_LIMIT,
    EXIT_LINEAR,
    EXIT_NONE,
    EXIT_REASON,
    EXIT_SHUTDOWN,
    FAST_ENTRIES,
    FETCH_ACCESSES,
    GENERATION,
    GP,
    HALTED,
    INSTRUCTION_LIMIT,
    INSTRUCTION_RIP,
    INSTRUCTIONS,
    LEDGER,
    LIMIT,
    MODE,
    MODE_SINGLE,
    MODE_USER,
    PROBE,
    RAX,
    RCX,
    READ_END,
    REPLAY_COUNT,
    REPLAY_INDEX,
    RESUME_BREAKPOINT,
    RIP,
    RSP,
    SINGLE,
    SS,
    STOP,
    T4,
    TRAP_AFTER,
    USER,
    WRITE,
    WRITE_END,
)
from .alu import alu, unary
from .attention import after_instruction, attend, device_events, set_deadline

M32 = 0xFFFFFFFF
CARRY = 0x80000000  # of CC_CARRIES
NOWHERE = 0xFFFF_FFFF_FFFF_FFFF  # not an instruction pointer


# --- memory ----------------------------------------------------------------------------


@core
def slow_load(m, offset, packed):
    """The access the fast path could not do; EVENT_SLOW asks the loop to look around."""
    value = call_unit(m, UNIT_LOAD_SLOW, offset, packed, 0)
    c = cpu(m)
    if c[STOP] | c[LEDGER] and c[EVENT] == 0:
        c[EVENT] = EVENT_SLOW
    return value


@core
def slow_store(m, offset, packed, value):
    call_unit(m, UNIT_STORE_SLOW, offset, packed, value)
    c = cpu(m)
    if c[STOP] | c[LEDGER] and c[EVENT] == 0:
        c[EVENT] = EVENT_SLOW


@core_hot
def user_right(user):
    """The USER bit of an access word from the offset into the fast path's table."""
    return (user << 7 | user << 6) & np.uint64(USER) << 16


@core_hot
def load(m, c, quick, memory, user, seg, offset, size):
    """Read at seg:offset: from RAM if the fast path knows the page, else by the slow path.

    The comparison covers alignment too: the tag must match the page of the last byte,
    looked up by the page of the first.
    """
    if offset + size <= c[READ_END + seg]:
        linear = (c[BASE + seg] + offset) & M32
        entry = quick[(linear >> 12 & (FAST_ENTRIES - 1)) | user]
        if entry.read == (linear + size - 1) & 0x1FFFFF000:
            place = linear + entry.offset
            if size == 1:
                return load_u8(memory, place)
            if size == 2:
                return load_u16(memory, place)
            return load_u32(memory, place)
    return slow_load(m, offset, size | seg << 8 | user_right(user))


@core_hot
def load_to_modify(m, c, quick, memory, user, seg, offset, size):
    """Read what will be written back: proves that the store cannot fault."""
    if offset + size <= c[WRITE_END + seg] and offset + size <= c[READ_END + seg]:
        linear = (c[BASE + seg] + offset) & M32
        entry = quick[(linear >> 12 & (FAST_ENTRIES - 1)) | user]
        page = (linear + size - 1) & 0x1FFFFF000
        if entry.read == page and entry.write == page:
            place = linear + entry.offset
            if size == 1:
                return load_u8(memory, place)
            if size == 2:
                return load_u16(memory, place)
            return load_u32(memory, place)
    return slow_load(m, offset, size | seg << 8 | user_right(user) | np.uint64(WRITE | PROBE) << 16)


@core_hot
def store(m, c, quick, memory, user, seg, offset, size, value):
    if offset + size <= c[WRITE_END + seg]:
        linear = (c[BASE + seg] + offset) & M32
        entry = quick[(linear >> 12 & (FAST_ENTRIES - 1)) | user]
        if entry.write == (linear + size - 1) & 0x1FFFFF000:
            place = linear + entry.offset
            if size == 1:
                store_u8(memory, place, value)
            elif size == 2:
                store_u16(memory, place, value)
            else:
                store_u32(memory, place, value)
            return
    slow_store(m, offset, size | seg << 8 | user_right(user) | np.uint64(WRITE) << 16, value)


@core_hot
def address_of(c, u):
    return (c[u.a] + (c[u.b] << u.scale) + u.disp) & M32


# --- bookkeeping -----------------------------------------------------------------------


@core
def is_access(kind):
    """Whether a micro-op counts as one data access."""
    return (kind >= U_LOAD8 and kind <= U_POP32) or kind == U_CALL32 or kind == U_RETURN32


@core
def partial(m, start, here):
    """Instructions, cycles and data accesses of the micro-ops [start, here)."""
    table = uops(m)
    stop = np.uint64(table[here].ordinal)
    cycles, accesses = np.uint64(0), np.uint64(0)
    last = np.uint64(255)
    for i in range(start, here):
        u = table[i]
        if u.ordinal != last and np.uint64(u.ordinal) < stop:
            cycles += np.uint64(u.cost)
        last = np.uint64(u.ordinal)
        if is_access(np.uint64(u.kind)):
            accesses += 1
    return stop, cycles, accesses


@core
def cut(m, here, end, cycles, block_cycles):
    """After a slow access: where the block ends now. It goes on unless it must stop or the
    cycles that the access took push its end past the deadline."""
    c = cpu(m)
    c[EVENT] = 0
    if c[STOP] or cycles + c[LEDGER] + block_cycles > c[DEADLINE]:
        table = uops(m)
        ordinal = table[here].ordinal
        while here < end and table[here].ordinal == ordinal:
            here += 1
        return here
    return end


@core
def breakpoint_in(m, linear, length):
    """0; 1 if a breakpoint lies inside the block; 2 if on its first instruction."""
    c = cpu(m)
    points = breakpoints(m)
    inside = np.uint64(0)
    for i in range(c[BREAKPOINT_COUNT]):
        if points[i] == linear:
            return np.uint64(2)
        if points[i] - linear < length:
            inside = np.uint64(1)
    return inside


@core
def leave(m, reason):
    """Note why the loop returns; what Python fills in or clears lies in the exit record."""
    c = cpu(m)
    c[EXIT_REASON] = reason
    return reason


@core
def byte_of(value, high):
    if high:
        return value >> 8 & 0xFF
    return value & 0xFF


@core
def with_byte(old, value, high):
    if high:
        return (old & 0xFFFFFFFFFFFF00FF) | value << 8
    return (old & 0xFFFFFFFFFFFFFF00) | value


@core
def keep_carry(chain, carries):
    """INC and DEC: OF and AF from the new chain, CF from the old one."""
    return chain & 8 | carries & CARRY | ((carries ^ chain ^ chain << 1) >> 1) & 0x40000000


# --- less frequent micro-ops -----------------------------------------------------------


@core
def rotate32(value, count):
    """To the left, by 1 to 31."""
    return (value << count | value >> (32 - count)) & M32


@core
def rotate_carries(carries, last, neighbour):
    """CF is the bit that went round; OF compares it with its neighbour (CF ^ OF of the
    carries is then the neighbour itself)."""
    return carries & 8 | last << 31 | neighbour << 30


@core
def signed32(value):
    return np.int64(np.int32(np.uint32(value)))


@core
def extend16(value, op, size):
    """SIGN16: op 0 zero, 1 sign extension, 2 fill with the sign of the whole operand."""
    if op == 2:
        return np.uint64(0) - (value >> (8 * size - 1) & 1)
    if op == 1:
        return sign_extend_16(value)
    return value & 0xFFFF


@core
def multiply(a, b, size):
    """Signed product and whether it overflows the size (manual, IMUL)."""
    if size == 4:
        product = signed32(a) * signed32(b)
        low = np.uint64(product) & M32
        overflow = signed32(low) != product
    else:
        product = np.int64(np.int16(np.uint16(a))) * np.int64(np.int16(np.uint16(b)))
        low = np.uint64(product) & 0xFFFF
        overflow = np.int64(np.int16(np.uint16(low))) != product
    if overflow:
        return low, np.uint64(1)
    return low, np.uint64(0)


@core
def bit_offset(address, index, size, address_size):
    """Where the word with a given bit lies; the index is signed (manual, BT)."""
    if size == 4:
        words = np.uint64(signed32(index) >> np.int64(5)) * 4
    else:
        words = np.uint64(np.int64(np.int16(np.uint16(index))) >> np.int64(4)) * 2
    address += words
    if address_size == 2:
        return address & 0xFFFF
    return address & M32


@core
def scan(value, backward):
    """Index of the lowest or highest bit; value is not 0."""
    index = np.uint64(0)
    if backward:
        index = np.uint64(31)
        while not value >> index & 1:
            index -= 1
    else:
        while not value >> index & 1:
            index += 1
    return index


@core
def swap32(value):
    return (value & 0xFF) << 24 | (value & 0xFF00) << 8 | (value >> 8) & 0xFF00 | value >> 24 & 0xFF


@core
def merged(old, value, size):
    """A register after a write of 2 or 4 bytes."""
    if size == 2:
        return (old & 0xFFFFFFFFFFFF0000) | value & 0xFFFF
    return value & M32


@core
def loop_taken(m, op, address_size, result, carries):
    """LOOPcc and JCXZ; decrements the counter."""
    c = cpu(m)
    mask = np.uint64(M32)
    if address_size == 2:
        mask = np.uint64(0xFFFF)
    count = c[RCX] & mask
    if op == 3:
        return count == 0
    count = (count - 1) & mask
    if address_size == 2:
        c[RCX] = (c[RCX] & 0xFFFFFFFFFFFF0000) | count
    else:
        c[RCX] = count
    if count == 0:
        return False
    if op == 2:
        return True
    return (condition(4, result, carries) != 0) == (op == 1)


@core_hot
def target_of(rip, u):
    """Target of a relative jump, wrapped to the operand size."""
    target = rip + u.next + u.imm
    if u.size == 2:
        return target & 0xFFFF
    return target & M32


# --- the loop --------------------------------------------------------------------------


@core
def deliver_fault(m, vector, error):
    """Deliver an exception of the instruction at RIP; returns an exit reason or 0."""
    c = cpu(m)
    call_unit(m, UNIT_DELIVER, vector, 0, error)
    c[CYCLES] += c[LEDGER]
    c[LEDGER] = 0
    event = c[EVENT]
    c[EVENT] = 0
    if event & EVENT_SHUTDOWN:
        return np.uint64(EXIT_SHUTDOWN)
    if event:
        return np.uint64(EXIT_EXCEPTION)
    c[TRAP_AFTER] = 0
    traced_cpu(m)[EVENT] = 1
    c[INSTRUCTIONS] += 1  # a delivery is a step of its own: every boundary has its number
    return np.uint64(EXIT_NONE)


@core
def before_instruction(m, replaying):
    """Everything that is looked at on a boundary; returns an exit reason, 0 to go on."""
    c = cpu(m)
    if c[ATTENTION]:
        reason = after_instruction(m)
        if reason:
            return reason
    if c[INSTRUCTIONS] >= c[INSTRUCTION_LIMIT]:
        return np.uint64(EXIT_LIMIT)
    if c[CYCLES] >= c[DEADLINE] and not c[HALTED]:
        reason = device_events(m)
        if reason:
            return reason
    if replaying:
        return np.uint64(EXIT_NONE)  # in the middle of an instruction that reads a device
    if c[BREAKPOINT_COUNT]:
        linear = (c[BASE + CS] + c[RIP]) & M32
        if breakpoint_in(m, linear, 1) == 2 and c[RESUME_BREAKPOINT] != linear + 1:
            c[EXIT_LINEAR] = linear
            return np.uint64(EXIT_BREAKPOINT)
        c[RESUME_BREAKPOINT] = 0
    if c[ATTENTION]:
        reason = attend(m)
        if reason == EXIT_EXCEPTION and c[EVENT] & EVENT_SHUTDOWN:
            reason = np.uint64(EXIT_SHUTDOWN)
        c[EVENT] = 0
        return reason
    return np.uint64(EXIT_NONE)


@unit
def run(m, a_, b_, c_):
    """Execute until there is a reason to return; the reason is also in EXIT_REASON."""
    c = cpu(m)
    code = uops(m)
    table = blocks(m)
    quick = fast(m)
    memory = ram(m)
    link_table = links(m)
    c[EXIT_REASON] = 0
    c[REPLAY_INDEX] = 0
    set_deadline(m)
    replaying = c[REPLAY_COUNT]
    if replaying:
        c[SINGLE] = 1
    while True:
        # -- boundary: the state is in the row
        instructions = c[INSTRUCTIONS]
        reason = before_instruction(m, replaying)
        if reason:
            return leave(m, reason)
        if c[INSTRUCTIONS] != instructions:
            continue  # delivered something: that is a step with a boundary of its own
        cycles = c[CYCLES]
        limit, deadline = c[INSTRUCTION_LIMIT], c[DEADLINE]
        rip = c[RIP]
        result, carries = c[CC_RESULT], c[CC_CARRIES]
        user = (c[MODE] & MODE_USER) << 7
        if user and c[EFLAGS] & AC and c[CR0] & CR0_AM:
            user = np.uint64(2 * FAST_ENTRIES)  # alignment checks: nothing is fast
        context = c[MODE] | c[GENERATION] << 8
        cs_base, cs_limit = c[BASE + CS], c[LIMIT + CS]
        paging = np.uint64(0) - (c[CR0] >> 31 & 1)
        c[STOP] = 0
        accesses, fetches = np.uint64(0), np.uint64(0)
        # single instructions, and whatever waits for a window, are looked at after every block
        to_boundary = replaying | c[SINGLE] | c[ATTENTION]
        loop_rip = np.uint64(NOWHERE)
        start, natural = np.uint64(0), np.uint64(0)
        planned, planned_cycles, planned_accesses = np.uint64(0), np.uint64(0), np.uint64(0)
        # -- blocks: RIP, flags and counts in locals, until something is out of the ordinary
        while True:
            if rip != loop_rip or instructions + planned > limit or cycles + planned_cycles > deadline:
                linear = (cs_base + rip) & M32
                loop_rip = np.uint64(NOWHERE)
                entry = link_table[link_slot(linear)]
                number = np.uint64(0)
                if entry.linear == linear and entry.context == context:
                    number = entry.block
                b = table[number]
                if (
                    b.count == 0
                    or instructions + b.count > limit
                    or cycles + b.cycles > deadline
                    or rip + b.length > cs_limit + 1
                    or c[BREAKPOINT_COUNT] | replaying
                ):
                    if instructions >= limit or cycles >= deadline:
                        break
                    if b.count == 0:
                        number = call_unit(m, UNIT_FIND_BLOCK, linear, rip, 0)
                        cycles += c[LEDGER]
                        c[LEDGER] = 0
                        if c[EVENT]:
                            break
                        b = table[number]
                        context = c[MODE] | c[GENERATION] << 8
                    if (
                        instructions + b.count > limit
                        or cycles + b.cycles > deadline
                        or rip + b.length > cs_limit + 1
                        or replaying
                        or (c[BREAKPOINT_COUNT] and breakpoint_in(m, linear, np.uint64(b.length)))
                    ):
                        number = call_unit(m, UNIT_FIND_BLOCK, linear, rip, 1)
                        cycles += c[LEDGER]
                        c[LEDGER] = 0
                        if c[EVENT]:
                            break
                        b = table[number]
                        to_boundary = np.uint64(1)
                    elif c[BREAKPOINT_COUNT]:
                        to_boundary = np.uint64(1)
                if not to_boundary:
                    loop_rip = rip
                start, natural = np.uint64(b.start), np.uint64(b.end)
                planned, planned_cycles = np.uint64(b.count), np.uint64(b.cycles)
                planned_accesses = np.uint64(b.accesses)
            target = rip
            end = natural
            i = start
            while i != end:
                u = code[i]
                kind = np.uint64(u.kind)
                if kind == U_MOVE32:
                    c[u.dst] = (c[u.b] + u.imm) & M32
                elif kind == U_ADD32:
                    x, y = c[u.a], c[u.b] + u.imm  # one of the two is 0
                    result = (x + y) & M32
                    carries = x & y | (x | y) & ~result
                    c[u.dst] = result
                elif kind == U_SUB32:
                    x, y = c[u.a], c[u.b] + u.imm  # one of the two is 0
                    result = (x - y) & M32
                    carries = ~x & y | (~x | y) & result
                    c[u.dst] = result
                elif kind == U_CMP32:
                    x, y = c[u.a], c[u.b] + u.imm  # one of the two is 0
                    result = (x - y) & M32
                    carries = ~x & y | (~x | y) & result
                elif kind == U_AND32:
                    result = c[u.a] & (c[u.b] + u.imm) & M32
                    carries = np.uint64(0)
                    c[u.dst] = result
                elif kind == U_OR32:
                    result = (c[u.a] | (c[u.b] + u.imm)) & M32
                    carries = np.uint64(0)
                    c[u.dst] = result
                elif kind == U_XOR32:
                    result = (c[u.a] ^ (c[u.b] + u.imm)) & M32
                    carries = np.uint64(0)
                    c[u.dst] = result
                elif kind == U_TEST32:
                    result = c[u.a] & (c[u.b] + u.imm) & M32
                    carries = np.uint64(0)
                elif kind == U_ADC32:
                    x, y = c[u.a], c[u.b] + u.imm  # one of the two is 0
                    result = (x + y + (carries >> 31 & 1)) & M32
                    carries = x & y | (x | y) & ~result
                    c[u.dst] = result
                elif kind == U_SBB32:
                    x, y = c[u.a], c[u.b] + u.imm  # one of the two is 0
                    result = (x - y - (carries >> 31 & 1)) & M32
                    carries = ~x & y | (~x | y) & result
                    c[u.dst] = result
                elif kind == U_INC32:
                    x = c[u.a]
                    result = (x + 1) & M32
                    carries = keep_carry(x & 1 | (x | 1) & ~result, carries)
                    c[u.dst] = result
                elif kind == U_DEC32:
                    x = c[u.a]
                    result = (x - 1) & M32
                    carries = keep_carry(~x & 1 | (~x | 1) & result, carries)
                    c[u.dst] = result
                elif kind == U_NEG32:
                    x = c[u.a]
                    result = (0 - x) & M32
                    carries = x | result  # ~0 & x | (~0 | x) & result, with a zero minuend
                    c[u.dst] = result
                elif kind == U_NOT32:
                    c[u.dst] = ~c[u.a] & M32
                elif kind == U_LEA32:
                    c[u.dst] = address_of(c, u)
                elif kind == U_LEA16:
                    c[u.dst] = address_of(c, u) & 0xFFFF
                elif kind == U_LOAD32:
                    value = load(m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(4))
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[u.dst] = value
                elif kind == U_STORE32:
                    store(
                        m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(4), c[u.dst]
                    )
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                elif kind == U_LOAD8:
                    value = load(m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(1))
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[u.dst] = value
                elif kind == U_STORE8:
                    value = byte_of(c[u.dst], u.high & 1)
                    store(m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(1), value)
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                elif kind == U_JUMP_IF:
                    # JNZ and JZ close most loops: ask ZF without a second dispatch
                    if u.op == 5:
                        taken = np.uint64(result & M32 != 0)
                    elif u.op == 4:
                        taken = np.uint64(result & M32 == 0)
                    else:
                        taken = np.uint64(condition(np.uint64(u.op), result, carries))
                    if taken:
                        target = target_of(rip, u)
                        if target > cs_limit:
                            c[EVENT] = EVENT_FAULT | GP
                            c[EVENT_ERROR] = 0
                            break
                    else:
                        target = rip + u.next
                elif kind == U_JUMP:
                    target = target_of(rip, u)
                    if target > cs_limit:
                        c[EVENT] = EVENT_FAULT | GP
                        c[EVENT_ERROR] = 0
                        break
                elif kind == U_PUSH32:
                    place = (c[RSP] - 4) & M32
                    value = (c[u.b] + u.imm) & M32
                    store(m, c, quick, memory, user, np.uint64(SS), place, np.uint64(4), value)
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[RSP] = place
                elif kind == U_POP32:
                    value = load(m, c, quick, memory, user, np.uint64(SS), c[RSP] & M32, np.uint64(4))
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[RSP] = (c[RSP] + 4) & M32
                    c[u.dst] = value
                elif kind == U_CALL32:
                    target = target_of(rip, u)
                    if target > cs_limit:
                        c[EVENT] = EVENT_FAULT | GP
                        c[EVENT_ERROR] = 0
                        break
                    place = (c[RSP] - 4) & M32
                    store(m, c, quick, memory, user, np.uint64(SS), place, np.uint64(4), rip + u.next)
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[RSP] = place
                elif kind == U_RETURN32:
                    value = load(m, c, quick, memory, user, np.uint64(SS), c[RSP] & M32, np.uint64(4))
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    if value > cs_limit:
                        c[EVENT] = EVENT_FAULT | GP
                        c[EVENT_ERROR] = 0
                        break
                    target = value
                    c[RSP] = (c[RSP] + 4 + u.imm) & M32
                elif kind == U_SHL32:
                    count = (c[u.b] + u.imm) & 31
                    x = c[u.a]
                    if count:
                        result = (x << count) & M32
                        # bit 31 of the row below is the last bit shifted out, bit 30 the sign before it
                        carries = x << (count - 1) & CARRY | result >> 1 & 0x40000000
                        x = result
                    c[u.dst] = x & M32
                elif kind == U_SHR32:
                    count = (c[u.b] + u.imm) & 31
                    x = c[u.a] & M32
                    if count:
                        result = x >> count
                        last = x >> (count - 1) & 1
                        # OF is the sign before the last step
                        top = x >> 31 & 1
                        if count != 1:
                            top = np.uint64(0)
                        carries = last << 31 | (last ^ top) << 30
                        x = result
                    c[u.dst] = x
                elif kind == U_SAR32:
                    count = (c[u.b] + u.imm) & 31
                    x = c[u.a] & M32
                    if count:
                        wide = signed32(x)
                        result = np.uint64(wide >> np.int64(count)) & M32
                        last = np.uint64(wide >> np.int64(count - 1)) & 1
                        carries = last << 31 | last << 30
                        x = result
                    c[u.dst] = x
                elif kind == U_ROL32:
                    count = (c[u.b] + u.imm) & 31
                    x = c[u.a] & M32
                    if count:
                        x = rotate32(x, count)
                        carries = rotate_carries(carries, x & 1, x >> 31)
                    c[u.dst] = x
                elif kind == U_ROR32:
                    count = (c[u.b] + u.imm) & 31
                    x = c[u.a] & M32
                    if count:
                        x = rotate32(x, 32 - count)
                        carries = rotate_carries(carries, x >> 31, x >> 30 & 1)
                    c[u.dst] = x
                elif kind == U_MOVE8:
                    value = (byte_of(c[u.b], u.high & 4) + u.imm) & 0xFF
                    c[u.dst] = with_byte(c[u.dst], value, u.high & 1)
                elif kind == U_MOVE16:
                    c[u.dst] = (c[u.dst] & 0xFFFFFFFFFFFF0000) | (c[u.b] + u.imm) & 0xFFFF
                elif kind == U_ALU8:
                    x = byte_of(c[u.a], u.high & 2)
                    y = (byte_of(c[u.b], u.high & 4) + u.imm) & 0xFF
                    value, result, carries = alu(np.uint64(u.op), x, y, np.uint64(1), carries)
                    if u.op < 7:
                        c[u.dst] = with_byte(c[u.dst], value, u.high & 1)
                elif kind == U_ALU16:
                    x, y = c[u.a] & 0xFFFF, (c[u.b] + u.imm) & 0xFFFF
                    value, result, carries = alu(np.uint64(u.op), x, y, np.uint64(2), carries)
                    if u.op < 7:
                        c[u.dst] = (c[u.dst] & 0xFFFFFFFFFFFF0000) | value
                elif kind == U_UNARY8:
                    x = byte_of(c[u.a], u.high & 2)
                    value, result, carries = unary(np.uint64(u.op), x, np.uint64(1), result, carries)
                    c[u.dst] = with_byte(c[u.dst], value, u.high & 1)
                elif kind == U_UNARY16:
                    x = c[u.a] & 0xFFFF
                    value, result, carries = unary(np.uint64(u.op), x, np.uint64(2), result, carries)
                    c[u.dst] = (c[u.dst] & 0xFFFFFFFFFFFF0000) | value
                elif kind == U_LOAD16:
                    value = load(m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(2))
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[u.dst] = value
                elif kind == U_STORE16:
                    value = c[u.dst] & 0xFFFF
                    store(m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(2), value)
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                elif kind == U_MODIFY8:
                    value = load_to_modify(
                        m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(1)
                    )
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[u.dst] = value
                elif kind == U_MODIFY16:
                    value = load_to_modify(
                        m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(2)
                    )
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[u.dst] = value
                elif kind == U_MODIFY32:
                    value = load_to_modify(
                        m, c, quick, memory, user, np.uint64(u.seg), address_of(c, u), np.uint64(4)
                    )
                    if c[EVENT]:
                        if c[EVENT] != EVENT_SLOW:
                            break
                        end = cut(m, i, end, cycles, planned_cycles)
                    c[u.dst] = value
                elif kind == U_SIGN8:
                    value = byte_of(c[u.b] + u.imm, u.high & 4)
                    if u.op == 1:
                        value = sign_extend_8(value)
                    c[u.dst] = merged(c[u.dst], value, np.uint64(u.size))
                elif kind == U_SIGN16:
                    value = extend16(c[u.b], np.uint64(u.op), np.uint64(u.size))
                    c[u.dst] = merged(c[u.dst], value, np.uint64(u.size))
                elif kind == U_SET_IF:
                    value = np.uint64(condition(np.uint64(u.op), result, carries))
                    c[u.dst] = with_byte(c[u.dst], value, u.high & 1)
                elif kind == U_MOVE_IF:
                    value = c[u.dst]
                    if condition(np.uint64(u.op), result, carries):
                        value = c[u.b]
                    c[u.dst] = merged(c[u.dst], value, np.uint64(u.size))
                elif kind == U_IMUL:
                    value, overflow = multiply(c[u.a], (c[u.b] + u.imm) & M32, np.uint64(u.size))
                    c[u.dst] = merged(c[u.dst], value, np.uint64(u.size))
                    result = value
                    if u.size == 2 and value & 0x8000:
                        result = value | 0xFFFF0000
                    carries = overflow << 31  # CF and OF alike
                elif kind == U_JUMP_TO:
                    target = c[u.b] & M32
                    if u.size == 2:
                        target &= 0xFFFF
                    if target > cs_limit:
                        c[EVENT] = EVENT_FAULT | GP
                        c[EVENT_ERROR] = 0
                        break
                elif kind == U_CHECK_TARGET:
                    value = target_of(rip, u)
                    if u.op == 1:
                        value = c[u.b] & M32
                        if u.size == 2:
                            value &= 0xFFFF
                    if value > cs_limit:
                        c[EVENT] = EVENT_FAULT | GP
                        c[EVENT_ERROR] = 0
                        break
                    c[u.dst] = value
                    c[u.a] = rip + u.next
                elif kind == U_LOOP:
                    # the target is checked before the counter moves
                    place = target_of(rip, u)
                    before = c[RCX]
                    target = rip + u.next
                    if loop_taken(m, np.uint64(u.op), np.uint64(u.a), result, carries):
                        if place > cs_limit:
                            c[RCX] = before
                            c[EVENT] = EVENT_FAULT | GP
                            c[EVENT_ERROR] = 0
                            break
                        target = place
                elif kind == U_FLAGS:
                    overflow = (carries >> 31 ^ carries >> 30) & 1
                    carry = np.uint64(u.op)
                    if carry == 2:
                        carry = ~carries >> 31 & 1
                    carries = carries & 8 | carry << 31 | (carry ^ overflow) << 30
                elif kind == U_BIT_TEST:
                    index = (c[u.b] + u.imm) & (np.uint64(u.size) * 8 - 1)
                    x = c[u.a]
                    bit = np.uint64(1) << index
                    overflow = (carries >> 31 ^ carries >> 30) & 1
                    carry = x >> index & 1
                    carries = carries & 8 | carry << 31 | (carry ^ overflow) << 30
                    if u.op == 1:
                        c[u.dst] = x | bit
                    elif u.op == 2:
                        c[u.dst] = x & ~bit
                    elif u.op == 3:
                        c[u.dst] = x ^ bit
                elif kind == U_BIT_OFFSET:
                    c[u.dst] = bit_offset(address_of(c, u), c[u.imm], np.uint64(u.size), np.uint64(u.op))
                elif kind == U_BIT_SCAN:
                    value = c[u.b]
                    carries = np.uint64(0)
                    result = value
                    if value:
                        value = scan(value, np.uint64(u.op))
                        c[u.dst] = merged(c[u.dst], value, np.uint64(u.size))
                elif kind == U_SWAP32:
                    c[u.dst] = swap32(c[u.dst])
                elif kind == U_SWAP16:
                    c[u.dst] &= 0xFFFFFFFFFFFF0000  # undefined; real processors clear it
                elif kind == U_CMPXCHG:
                    x = c[u.a]
                    y = c[RAX] & M32
                    if u.size == 1:
                        y &= 0xFF
                    elif u.size == 2:
                        y &= 0xFFFF
                    value, result, carries = alu(np.uint64(7), y, x, np.uint64(u.size), carries)
                    c[u.dst] = x
                    c[T4] = x
                    if x == y:
                        c[u.dst] = c[u.b]
                        c[T4] = c[RAX]
                elif kind == U_PAGE_END:
                    if u.op:
                        target = c[RIP]
                    else:
                        target = rip + u.next
                elif kind == U_ASSIST:
                    # the last instruction of its block: all others are done
                    done, spent = planned - 1, planned_cycles - u.cost
                    c[INSTRUCTIONS] = instructions + done
                    c[CYCLES] = cycles + spent + c[LEDGER]
                    c[LEDGER] = 0
                    c[CC_RESULT] = result
                    c[CC_CARRIES] = carries
                    c[INSTRUCTION_RIP] = rip + u.rip
                    c[RIP] = rip + u.next
                    c[EXIT_LENGTH] = np.uint64(u.next) - np.uint64(u.rip)
                    quiet = call_unit(m, np.uint64(u.a), np.uint64(u.op), u.disp, u.imm)
                    # string instructions count their repetitions, all units their extra cycles
                    instructions = c[INSTRUCTIONS] - done
                    cycles = c[CYCLES] + c[LEDGER] - spent
                    c[LEDGER] = 0
                    result = c[CC_RESULT]
                    carries = c[CC_CARRIES]
                    if c[EVENT]:
                        break
                    if not quiet:
                        c[STOP] = 1  # what a unit changed is taken up at a boundary
                else:  # U_FAULT
                    c[EVENT] = EVENT_FAULT | u.imm
                    c[EVENT_ERROR] = 0
                    break
                i += 1
            # -- retire: the whole block, or what ran of it
            if i == natural:
                instructions += planned
                cycles += planned_cycles
                accesses += planned_accesses
                fetches += planned
                rip = target
            else:
                done, spent, touched = partial(m, start, i)
                instructions += done
                cycles += spent
                accesses += touched
                fetches += done
                rip += code[i].rip
                if c[EVENT] and code[i].kind == U_ASSIST:
                    rip = c[INSTRUCTION_RIP]  # after a task switch the fault is the new task's
                to_boundary = np.uint64(1)
            cycles += c[LEDGER]  # slow accesses and units
            c[LEDGER] = 0
            if to_boundary | c[STOP]:
                break
        # -- back to the row
        c[RIP] = rip
        c[INSTRUCTIONS] = instructions
        c[CYCLES] = cycles
        c[CC_RESULT] = result
        c[CC_CARRIES] = carries
        c[DATA_ACCESSES] += accesses & paging
        c[FETCH_ACCESSES] += fetches & paging
        event = c[EVENT]
        if event:
            c[EVENT] = 0
            if event & EVENT_READ:
                c[REPLAY_INDEX] = 0
                return c[EXIT_REASON]
            if event & EVENT_SHUTDOWN:
                return leave(m, EXIT_SHUTDOWN)
            if event & EVENT_EXIT:
                return leave(m, EXIT_EXCEPTION)
            if event & EVENT_FAULT:
                c[REPLAY_COUNT] = 0
                reason = deliver_fault(m, event & 0xFF, c[EVENT_ERROR])
                if reason:
                    return leave(m, reason)
        replaying = np.uint64(0)
        if c[REPLAY_COUNT]:
            c[REPLAY_COUNT] = 0
            c[REPLAY_INDEX] = 0
            c[SINGLE] = c[MODE] & MODE_SINGLE
