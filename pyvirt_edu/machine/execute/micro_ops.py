"""One block: its micro-ops, one after the other.

`execute` is the one place where a kind meets the function that says what it does. Those functions
take the processor's row ``c``, the micro-op ``u``, and of the loop's local variables what they use;
they return what they change of them. None of them is called: LLVM inlines them all.

Invariant: a micro-op that answers with an event other than EVENT_SLOW has changed no register and no
memory. An instruction of several micro-ops does first what can fault; so a fault finds the state as
it was before the instruction, but for temporaries.
"""

from __future__ import annotations

from ..decode.operations import OP_ROL, OP_ROR, OP_SAR, OP_SHL, OP_SHR
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
from ..state.handles import call_unit, cpu, fault, uops
from ..state.jit import core, core_hot
from ..state.layout import (
    CC_CARRIES,
    CC_RESULT,
    CYCLES,
    DEADLINE,
    EVENT,
    EVENT_SLOW,
    EXIT_LENGTH,
    INSTRUCTION_RIP,
    INSTRUCTIONS,
    LEDGER,
    RIP,
    STOP,
)
from .alu import (
    adc32,
    add32,
    alu8,
    alu16,
    and32,
    bit_offset,
    bit_scan,
    bit_test,
    cmp32,
    cmpxchg,
    dec32,
    imul,
    inc32,
    neg32,
    not32,
    or32,
    sbb32,
    set_carry,
    sub32,
    test32,
    unary8,
    unary16,
    xor32,
)
from .branches import call32, check_target, jump, jump_if, jump_to, loop, page_end, return32
from .fast_path import load_register, modify_register, pop32, push32, store_register
from .moves import lea16, lea32, move8, move16, move32, move_if, set_if, sign8, sign16, swap16, swap32
from .shifts import rotate32, shift32


@core
def cut(m, here, end, cycles, block_cycles):
    """After a slow access: where the block ends now. It goes on unless it must stop, or the cycles
    that the access took push its end past the deadline; then the instruction is the last."""
    c = cpu(m)
    if c[STOP] or cycles + c[LEDGER] + block_cycles > c[DEADLINE]:
        table = uops(m)
        ordinal = table[here].ordinal
        while here < end and table[here].ordinal == ordinal:
            here += 1
        return here
    return end


@core_hot
def assist(m, c, u, rip, instructions, cycles, planned, planned_cycles, result, carries):
    """An instruction that a unit executes, the last of its block: the row is made whole for it, and what
    it did to the counts and flags is taken over."""
    done, spent = planned - 1, planned_cycles - u.cost
    c[INSTRUCTIONS] = instructions + done
    c[CYCLES] = cycles + spent + c[LEDGER]
    c[LEDGER] = 0
    c[CC_RESULT] = result
    c[CC_CARRIES] = carries
    c[INSTRUCTION_RIP] = rip + u.rip
    c[RIP] = rip + u.next
    c[EXIT_LENGTH] = c[RIP] - c[INSTRUCTION_RIP]
    quiet = call_unit(m, u.a, u.op, u.disp, u.imm)
    # string instructions count their repetitions, all units their extra cycles
    instructions = c[INSTRUCTIONS] - done
    cycles = c[CYCLES] + c[LEDGER] - spent
    c[LEDGER] = 0
    if not quiet and c[EVENT] == 0:
        c[STOP] = 1  # what a unit changed is taken up at a boundary
    return instructions, cycles, c[CC_RESULT], c[CC_CARRIES], c[EVENT]


@core
def raise_fault(m, u):
    """An instruction that the decoder refused, with exception ``imm``."""
    fault(m, u.imm, 0)
    return cpu(m)[EVENT]


@core_hot
def execute(m, c, window, start, end, rip, instructions, cycles, planned, planned_cycles, result, carries):
    """The micro-ops from `start` to `end`, of a block at `rip` that would count `planned` instructions and
    cycles: at which one it ended, the next RIP if at the last, and the local variables."""
    code = uops(m)
    target = rip
    i = start
    while i != end:
        u = code[i]
        kind = u.kind
        event = 0
        # LLVM makes one jump table of the first 42 kinds and a second one of the others
        if kind == U_MOVE32:  # registers, 32 bits
            move32(c, u)
        elif kind == U_LEA32:
            lea32(c, u)
        elif kind == U_ADD32:
            result, carries = add32(c, u)
        elif kind == U_OR32:
            result, carries = or32(c, u)
        elif kind == U_ADC32:
            result, carries = adc32(c, u, carries)
        elif kind == U_SBB32:
            result, carries = sbb32(c, u, carries)
        elif kind == U_AND32:
            result, carries = and32(c, u)
        elif kind == U_SUB32:
            result, carries = sub32(c, u)
        elif kind == U_XOR32:
            result, carries = xor32(c, u)
        elif kind == U_CMP32:
            result, carries = cmp32(c, u)
        elif kind == U_TEST32:
            result, carries = test32(c, u)
        elif kind == U_INC32:
            result, carries = inc32(c, u, carries)
        elif kind == U_DEC32:
            result, carries = dec32(c, u, carries)
        elif kind == U_NOT32:
            not32(c, u)
        elif kind == U_NEG32:
            result, carries = neg32(c, u)
        elif kind == U_SHL32:
            result, carries = shift32(c, u, OP_SHL, result, carries)
        elif kind == U_SHR32:
            result, carries = shift32(c, u, OP_SHR, result, carries)
        elif kind == U_SAR32:
            result, carries = shift32(c, u, OP_SAR, result, carries)
        elif kind == U_ROL32:
            carries = rotate32(c, u, OP_ROL, carries)
        elif kind == U_ROR32:
            carries = rotate32(c, u, OP_ROR, carries)
        elif kind == U_IMUL:
            result, carries = imul(c, u)
        elif kind == U_LOAD8:  # memory
            event = load_register(m, c, window, u, 1)
        elif kind == U_LOAD16:
            event = load_register(m, c, window, u, 2)
        elif kind == U_LOAD32:
            event = load_register(m, c, window, u, 4)
        elif kind == U_STORE8:
            event = store_register(m, c, window, u, 1)
        elif kind == U_STORE16:
            event = store_register(m, c, window, u, 2)
        elif kind == U_STORE32:
            event = store_register(m, c, window, u, 4)
        elif kind == U_MODIFY8:
            event = modify_register(m, c, window, u, 1)
        elif kind == U_MODIFY32:
            event = modify_register(m, c, window, u, 4)
        elif kind == U_PUSH32:
            event = push32(m, c, window, u)
        elif kind == U_POP32:
            event = pop32(m, c, window, u)
        elif kind == U_JUMP_IF:  # the next instruction
            target, event = jump_if(m, c, u, rip, result, carries)
        elif kind == U_JUMP:
            target, event = jump(m, c, u, rip)
        elif kind == U_JUMP_TO:
            target, event = jump_to(m, c, u)
        elif kind == U_CALL32:
            target, event = call32(m, c, window, u, rip)
        elif kind == U_RETURN32:
            target, event = return32(m, c, window, u)
        elif kind == U_CHECK_TARGET:
            event = check_target(m, c, u, rip)
        elif kind == U_PAGE_END:
            target = page_end(c, u, rip)
        elif kind == U_ASSIST:
            instructions, cycles, result, carries, event = assist(
                m, c, u, rip, instructions, cycles, planned, planned_cycles, result, carries
            )
        elif kind == U_ALU8:  # 8 and 16 bits
            result, carries = alu8(c, u, carries)
        elif kind == U_SIGN8:
            sign8(c, u)
        elif kind == U_SIGN16:
            sign16(c, u)
        elif kind == U_MOVE8:
            move8(c, u)
        elif kind == U_MOVE16:
            move16(c, u)
        elif kind == U_LEA16:
            lea16(c, u)
        elif kind == U_ALU16:
            result, carries = alu16(c, u, carries)
        elif kind == U_UNARY8:
            result, carries = unary8(c, u, result, carries)
        elif kind == U_UNARY16:
            result, carries = unary16(c, u, result, carries)
        elif kind == U_MODIFY16:
            event = modify_register(m, c, window, u, 2)
        elif kind == U_LOOP:  # the rest
            target, event = loop(m, c, u, rip, result)
        elif kind == U_SET_IF:
            set_if(c, u, result, carries)
        elif kind == U_MOVE_IF:
            move_if(c, u, result, carries)
        elif kind == U_BIT_TEST:
            carries = bit_test(c, u, carries)
        elif kind == U_BIT_OFFSET:
            bit_offset(c, u)
        elif kind == U_BIT_SCAN:
            result, carries = bit_scan(c, u)
        elif kind == U_SWAP16:
            swap16(c, u)
        elif kind == U_SWAP32:
            swap32(c, u)
        elif kind == U_CMPXCHG:
            result, carries = cmpxchg(c, u)
        elif kind == U_FLAGS:
            carries = set_carry(u, carries)
        else:  # U_FAULT
            event = raise_fault(m, u)
        if event:
            if event != EVENT_SLOW:
                break  # a fault, or a device that must be asked first: EVENT says which
            end = cut(m, i, end, cycles, planned_cycles)
        i += 1
    return i, target, instructions, cycles, result, carries
