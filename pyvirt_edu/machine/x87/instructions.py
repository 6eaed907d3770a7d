"""The x87: its instructions, as one unit (manual 1, chapter 8, and 2A under each name).

The rows of the opcode table name its functions, those that are imported here too.

The order within an instruction: #NM if the processor must not use the x87, #MF for an
exception that waits, faults of the memory operand, and only then the stack and the numbers.
A store faults before it changes anything, too.
"""
# ruff: noqa: F401

from __future__ import annotations

from ..decode.dispatch import unit_by_rows
from ..decode.operations import (
    OP_FADD,
    OP_FCHS,
    OP_FCOMI,
    OP_FCOS,
    OP_FDIV,
    OP_FMUL,
    OP_FPATAN,
    OP_FPREM,
    OP_FPREM1,
    OP_FRNDINT,
    OP_FSCALE,
    OP_FSIN,
    OP_FSQRT,
    OP_FSUB,
    OP_FSUBR,
    OP_FTST,
    OP_FUCOM,
    OP_FUCOMI,
    OP_FXTRACT,
    OP_FYL2X,
    OP_FYL2XP1,
    OP_WAIT,
)
from ..decode.uops import (
    AS_CONTROL,
    AS_NO_WAIT,
    FORMAT_BCD,
    FORMAT_DOUBLE,
    FORMAT_EXTENDED,
    FORMAT_INT16,
    FORMAT_INT64,
    FORMAT_REGISTER,
    FORMAT_SINGLE,
    TO_STI,
)
from ..memory.access import probe_segment_write, write_segment
from ..state.flags import read_eflags, set_arithmetic
from ..state.handles import call_unit, cpu, fault, ports
from ..state.jit import UNIT_DEVICES, UNIT_X87_SERIES, core
from ..state.layout import (
    CF,
    CR0,
    CR0_EM,
    CR0_MP,
    CR0_NE,
    CR0_TS,
    DEVICE_CLAIM,
    EVENT,
    FERR,
    MF,
    NM,
    PF,
    RAX,
    STOP,
    T1,
    T2,
    T3,
    T4,
    T5,
    X87_CONTROL,
    X87_STATUS,
    ZF,
)
from .arithmetic import (
    add,
    compare,
    divide,
    examine,
    extract,
    multiply,
    round_to_integer,
    scale,
    square_root,
    subtract,
)
from .formats import (
    C0,
    C1,
    C2,
    C3,
    DE,
    IE,
    INDEFINITE,
    INDEFINITE_HEAD,
    OE,
    PE,
    SIGN,
    SPECIAL,
    STACK_FAULT,
    UE,
    ZE,
    class_of,
    from_bcd,
    from_double,
    from_integer,
    from_single,
    quiet,
    to_bcd,
    to_double,
    to_integer,
    to_single,
)
from .remainder import remainder
from .state import (
    at,
    clear_exceptions,
    error_pending,
    free_register,
    get_register,
    initialize,
    is_empty,
    load_environment,
    move_top,
    note_instruction,
    pop_registers,
    push_register,
    put_register,
    restore,
    restore_fast,
    save,
    save_fast,
    set_codes,
    set_control,
    signal,
    status_word,
    store_environment,
    take,
)

BEFORE = IE | DE | ZE  # exceptions found before computing: unmasked, nothing is stored
UNDERFLOW = IE | STACK_FAULT
OVERFLOW = IE | STACK_FAULT | C1
CODES = C0 | C2 | C3
# how a PC's board hears of errors: an operation of devices/bus.py, a line, the port that frees it
DEVICE_SET_LINE, ERROR_LINE, ERROR_PORT = 5, 13, 0xF0


# --- operands ----------------------------------------------------------------------------------------


@core
def format_size(kind):
    """Bytes of a format in memory; the ten-byte ones are read in two parts."""
    if kind == FORMAT_DOUBLE or kind == FORMAT_INT64 or kind == FORMAT_EXTENDED or kind == FORMAT_BCD:
        return 8
    if kind == FORMAT_INT16:
        return 2
    return 4


@core
def load_operand(m, kind, seg, address_size):
    """The memory operand as a register, and DENORMAL_OPERAND or 0; or EVENT."""
    c = cpu(m)
    value = take(m, seg, address_size, 0, format_size(kind))
    if c[EVENT]:
        return 0, 0, 0
    if kind == FORMAT_SINGLE:
        return from_single(value)
    if kind == FORMAT_DOUBLE:
        return from_double(value)
    if kind == FORMAT_EXTENDED or kind == FORMAT_BCD:
        head = take(m, seg, address_size, 8, 2)
        if kind == FORMAT_BCD:
            value, head = from_bcd(value, head)
        return value, head, 0
    value, head = from_integer(value, format_size(kind))
    return value, head, 0


@core
def store_operand(m, kind, seg, address_size, low, high):
    """Write the memory operand whole or, with EVENT, not at all."""
    c = cpu(m)
    if kind == FORMAT_EXTENDED or kind == FORMAT_BCD:
        tail = at(m, 8, address_size)
        probe_segment_write(m, seg, c[T1], 8)
        if c[EVENT] == 0:
            probe_segment_write(m, seg, tail, 2)
        if c[EVENT] == 0:
            write_segment(m, seg, c[T1], 8, low)
        if c[EVENT] == 0:
            write_segment(m, seg, tail, 2, high)
    else:
        write_segment(m, seg, c[T1], format_size(kind), low)


@core
def converted(kind, significand, head, control):
    """A register as the memory operand's low and high part, and flags."""
    if kind == FORMAT_EXTENDED:
        return significand, head, 0
    if kind == FORMAT_BCD:
        return to_bcd(significand, head, control)
    if kind == FORMAT_SINGLE:
        low, flags = to_single(significand, head, control)
    elif kind == FORMAT_DOUBLE:
        low, flags = to_double(significand, head, control)
    else:
        low, flags = to_integer(significand, head, format_size(kind), control)
    return low, 0, flags


@core
def commit(m, to, significand, head, flags, pops):
    """Store a result in ST(to) and pop, unless an unmasked exception forbids it."""
    if signal(m, flags, BEFORE) == 0:
        put_register(m, to, significand, head)
        pop_registers(m, pops)


# --- loads and stores --------------------------------------------------------------------------------


@core
def push_number(m, significand, head, flags):
    """Push, or report that the stack is full. An unmasked denormal is pushed all the same."""
    if not is_empty(m, 7) and flags & STACK_FAULT == 0:
        significand, head, flags = INDEFINITE, INDEFINITE_HEAD, OVERFLOW
    if signal(m, flags, IE) == 0:
        push_register(m, significand, head)


@core
def load(m, kind, seg, address_size, i):
    """FLD, FILD, FBLD."""
    if kind == FORMAT_REGISTER:
        significand, head = get_register(m, i)
        flags = 0
        if is_empty(m, i):
            significand, head, flags = INDEFINITE, INDEFINITE_HEAD, UNDERFLOW
        push_number(m, significand, head, flags)
        return
    significand, head, denormal = load_operand(m, kind, seg, address_size)
    if cpu(m)[EVENT]:
        return
    flags = 0
    if denormal:
        flags = DE
    if kind == FORMAT_SINGLE or kind == FORMAT_DOUBLE:
        significand, head, invalid = quiet(significand, head, class_of(significand, head))
        flags |= invalid
    push_number(m, significand, head, flags)


@core
def store(m, kind, seg, address_size, i, pops):
    """FST, FIST, FBSTP: to memory nothing goes after an unmasked overflow or underflow."""
    c = cpu(m)
    significand, head = get_register(m, 0)
    flags = 0
    if is_empty(m, 0):
        significand, head, flags = INDEFINITE, INDEFINITE_HEAD, UNDERFLOW
    if kind == FORMAT_REGISTER:
        commit(m, i, significand, head, flags, pops)
        return
    low, high, rounding = converted(kind, significand, head, c[X87_CONTROL])
    if flags == 0:
        flags = rounding
    if flags & ~c[X87_CONTROL] & (IE | OE | UE) == 0:
        store_operand(m, kind, seg, address_size, low, high)
        if c[EVENT]:
            return
        signal(m, flags, 0)
        pop_registers(m, pops)
    else:
        signal(m, flags & ~(PE | C1), 0)


@core
def exchange(m, i):
    """FXCH; empty registers become NaNs first."""
    a, a_head = get_register(m, 0)
    b, b_head = get_register(m, i)
    flags = 0
    if is_empty(m, 0):
        a, a_head, flags = INDEFINITE, INDEFINITE_HEAD, UNDERFLOW
    if is_empty(m, i):
        b, b_head, flags = INDEFINITE, INDEFINITE_HEAD, UNDERFLOW
    if signal(m, flags, BEFORE) == 0:
        put_register(m, 0, b, b_head)
        put_register(m, i, a, a_head)


@core
def move_if(m, opcode, i):
    """FCMOVcc: B, E, BE, U, and with 100h in the opcode their opposites."""
    eflags = read_eflags(m)
    condition = opcode >> 3 & 3
    bits = CF
    if condition == 1:
        bits = ZF
    elif condition == 2:
        bits = CF | ZF
    elif condition == 3:
        bits = PF
    holds = eflags & bits != 0
    if opcode & 0x100:
        holds = not holds
    if is_empty(m, 0) or is_empty(m, i):
        commit(m, 0, INDEFINITE, INDEFINITE_HEAD, UNDERFLOW, 0)  # whether the condition holds or not
    elif holds:
        significand, head = get_register(m, i)
        put_register(m, 0, significand, head)


# --- arithmetic with two operands --------------------------------------------------------------------


@core
def basic(op, a, a_head, b, b_head, control):
    """a op b, where a is the destination."""
    if op == OP_FADD:
        return add(a, a_head, b, b_head, control)
    if op == OP_FMUL:
        return multiply(a, a_head, b, b_head, control)
    if op == OP_FSUB:
        return subtract(a, a_head, b, b_head, control)
    if op == OP_FSUBR:
        return subtract(b, b_head, a, a_head, control)
    if op == OP_FDIV:
        return divide(a, a_head, b, b_head, control)
    return divide(b, b_head, a, a_head, control)


@core
def calculate(m, op, operand, seg, address_size, i):
    """FADD to FDIVR, in all their forms."""
    c = cpu(m)
    control = c[X87_CONTROL]
    kind = operand & 15
    to = 0
    empty = is_empty(m, 0)
    if kind != FORMAT_REGISTER:
        b, b_head, denormal = load_operand(m, kind, seg, address_size)
        if c[EVENT]:
            return
        control |= denormal
        a, a_head = get_register(m, 0)
    else:
        empty = empty or is_empty(m, i)
        a, a_head = get_register(m, 0)
        b, b_head = get_register(m, i)
        if operand & TO_STI:
            a, b = b, a
            a_head, b_head = b_head, a_head
            to = i
    if empty:
        commit(m, to, INDEFINITE, INDEFINITE_HEAD, UNDERFLOW, operand >> 4 & 3)
        return
    significand, head, flags = basic(op, a, a_head, b, b_head, control)
    commit(m, to, significand, head, flags, operand >> 4 & 3)


@core
def compare_with(m, op, operand, seg, address_size, i):
    """FCOM, FUCOM, FTST, FICOM, FCOMI, FUCOMI."""
    c = cpu(m)
    control = c[X87_CONTROL]
    kind = operand & 15
    empty = is_empty(m, 0)
    b, b_head = get_register(m, i)
    if kind != FORMAT_REGISTER:
        b, b_head, denormal = load_operand(m, kind, seg, address_size)
        if c[EVENT]:
            return
        control |= denormal
    elif op == OP_FTST:
        b = 0
        b_head = 0
    else:
        empty = empty or is_empty(m, i)
    quiet_nans = 0
    if op == OP_FUCOM or op == OP_FUCOMI:
        quiet_nans = 1
    if empty:
        flags = UNDERFLOW | CODES
    else:
        a, a_head = get_register(m, 0)
        flags = compare(a, a_head, b, b_head, quiet_nans, control)
    # the codes are set even where an unmasked exception forbids to pop
    if op == OP_FCOMI or op == OP_FUCOMI:
        set_arithmetic(m, flags >> 8 & (ZF | PF | CF))  # C3, C2, C0 go where ZF, PF, CF are
        kept = c[X87_STATUS] & C1  # these two leave C1 alone, unless the stack is at fault
        blocked = signal(m, flags & ~CODES, BEFORE)
        if not empty:
            c[X87_STATUS] |= kept
    else:
        set_codes(m, CODES, flags)
        blocked = signal(m, flags & ~CODES, BEFORE)
    if blocked == 0:
        pop_registers(m, operand >> 4 & 3)


# --- functions of one or two registers ---------------------------------------------------------------


@core
def change_sign(m, op):
    """FCHS, FABS: of whatever is there, NaNs too."""
    significand, head = get_register(m, 0)
    flags = 0
    if is_empty(m, 0):
        significand, head, flags = INDEFINITE, INDEFINITE_HEAD, UNDERFLOW
    elif op == OP_FCHS:
        head ^= SIGN
    else:
        head &= ~SIGN
    commit(m, 0, significand, head, flags, 0)


@core
def class_codes(m):
    """FXAM; C1 is the sign, of an empty register as well."""
    significand, head = get_register(m, 0)
    codes = C3 | C0
    if not is_empty(m, 0):
        codes = examine(significand, head)
    if head & SIGN:
        codes |= C1
    set_codes(m, CODES | C1, codes)


@core
def of_one(op, a, a_head, control):
    if op == OP_FSQRT:
        return square_root(a, a_head, control)
    return round_to_integer(a, a_head, control)


@core
def of_two(op, a, a_head, b, b_head, control):
    """a is ST(0), b is ST(1)."""
    if op == OP_FSCALE:
        return scale(a, a_head, b, b_head, control)
    nearest = 0
    if op == OP_FPREM1:
        nearest = 1
    return remainder(a, a_head, b, b_head, nearest, control)


@core
def function_of_one(m, op):
    """FSQRT, FRNDINT, F2XM1, FSIN, FCOS."""
    c = cpu(m)
    a, a_head = get_register(m, 0)
    if op == OP_FSIN or op == OP_FCOS:
        set_codes(m, C2, 0)
    if is_empty(m, 0):
        commit(m, 0, INDEFINITE, INDEFINITE_HEAD, UNDERFLOW, 0)
        return
    if op == OP_FSQRT or op == OP_FRNDINT:
        significand, head, flags = of_one(op, a, a_head, c[X87_CONTROL])
    else:
        flags = call_unit(m, UNIT_X87_SERIES, op, 0, 0)
        significand, head = c[T2], c[T3]
    if op == OP_FSIN or op == OP_FCOS:
        set_codes(m, C2, flags)  # out of range: the operand stays
    commit(m, 0, significand, head, flags, 0)


@core
def function_of_two(m, op):
    """The remainders and FSCALE replace ST(0); FYL2X, FYL2XP1 and FPATAN ST(1), and pop."""
    c = cpu(m)
    a, a_head = get_register(m, 0)
    b, b_head = get_register(m, 1)
    to = 0
    if op == OP_FYL2X or op == OP_FYL2XP1 or op == OP_FPATAN:
        to = 1
    if op == OP_FPREM or op == OP_FPREM1:
        set_codes(m, C2, 0)
    if is_empty(m, 0) or is_empty(m, 1):
        commit(m, to, INDEFINITE, INDEFINITE_HEAD, UNDERFLOW, to)
        return
    if to:
        flags = call_unit(m, UNIT_X87_SERIES, op, 0, 0)
        significand, head = c[T2], c[T3]
    else:
        significand, head, flags = of_two(op, a, a_head, b, b_head, c[X87_CONTROL])
        if op != OP_FSCALE and head & SPECIAL != SPECIAL and flags & ~c[X87_CONTROL] & DE == 0:
            set_codes(m, CODES, flags)  # a NaN says nothing of a quotient
    commit(m, to, significand, head, flags, to)


@core
def function_with_two_results(m, op):
    """FXTRACT, FPTAN, FSINCOS: the first replaces ST(0), the second is pushed."""
    c = cpu(m)
    a, a_head = get_register(m, 0)
    b = INDEFINITE
    b_head = INDEFINITE_HEAD
    if is_empty(m, 0):
        a, a_head, flags = INDEFINITE, INDEFINITE_HEAD, UNDERFLOW
    elif not is_empty(m, 7):
        a, a_head, flags = INDEFINITE, INDEFINITE_HEAD, OVERFLOW
    elif op == OP_FXTRACT:
        a, a_head, b, b_head, flags = extract(a, a_head, c[X87_CONTROL])
    else:
        flags = call_unit(m, UNIT_X87_SERIES, op, 0, 0)
        a, a_head, b, b_head = c[T2], c[T3], c[T4], c[T5]
    if op != OP_FXTRACT:
        set_codes(m, C2, flags)
        if flags & C2:
            signal(m, 0, 0)
            return
    if signal(m, flags, BEFORE) == 0:
        put_register(m, 0, a, a_head)
        push_register(m, b, b_head)


# --- the unit ----------------------------------------------------------------------------------------


@core
def report_error(m):
    """FERR#: on a PC's board it raises IRQ 13; the processor goes on as with IGNNE#."""
    c = cpu(m)
    if c[FERR] == 0 and ports(m)[ERROR_PORT] >= DEVICE_CLAIM:
        call_unit(m, UNIT_DEVICES, DEVICE_SET_LINE, ERROR_LINE, 1)
        c[STOP] = 1
    c[FERR] = 1


@core
def may_go_on(m, op, manner):
    """#NM where CR0 says so, #MF or FERR# where an exception waits (manual 3A, 2.5 and 6.15)."""
    c = cpu(m)
    if op == OP_WAIT:
        if c[CR0] & CR0_MP and c[CR0] & CR0_TS:
            fault(m, NM, 0)
    elif c[CR0] & (CR0_EM | CR0_TS):
        fault(m, NM, 0)
    if c[EVENT] == 0 and manner & AS_NO_WAIT == 0 and error_pending(m):
        if c[CR0] & CR0_NE:
            fault(m, MF, 0)
        else:
            report_error(m)
    return c[EVENT] == 0


@core
def nothing(m):
    """FNOP, and WAIT: what it waits for has been reported."""


@core
def load_control(m, seg, address_size):
    """FLDCW."""
    value = take(m, seg, address_size, 0, 2)
    if cpu(m)[EVENT] == 0:
        set_control(m, value)


@core
def store_control(m, seg):
    """FNSTCW."""
    c = cpu(m)
    write_segment(m, seg, c[T1], 2, c[X87_CONTROL])


@core
def store_status(m, seg, in_memory):
    """FNSTSW."""
    c = cpu(m)
    if in_memory:
        write_segment(m, seg, c[T1], 2, status_word(m))
    else:
        c[RAX] = c[RAX] & ~0xFFFF | status_word(m)


@core
def turn_stack(m, by):
    """FDECSTP (7), FINCSTP (1): the registers keep their tags."""
    move_top(m, by)
    signal(m, 0, 0)


@core
def set_free(m, i, pops):
    """FFREE, FFREEP."""
    free_register(m, i)
    signal(m, 0, 0)
    pop_registers(m, pops)


@core
def store_or_drop(m, kind, seg, address_size, i, pops):
    """FSTPNCE: an empty register is popped without an exception, and goes nowhere."""
    if is_empty(m, 0):
        signal(m, 0, 0)
        pop_registers(m, pops)
    else:
        store(m, kind, seg, address_size, i, pops)


@core
def load_constant(m, op, i):
    """FLD1 to FLDZ."""
    call_unit(m, UNIT_X87_SERIES, op, i, 0)
    push_number(m, cpu(m)[T2], cpu(m)[T3], 0)


@core
def note(m, manner, opcode, in_memory, seg):
    """Instructions on numbers leave where they and their operand were."""
    if manner & AS_CONTROL == 0 and cpu(m)[EVENT] == 0:
        note_instruction(m, opcode, in_memory, seg)
    return 0


assist_x87 = unit_by_rows("x87", globals(), before="may_go_on", after="note")
