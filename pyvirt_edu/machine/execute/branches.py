"""Micro-ops that decide which instruction is next.

Each gives the new instruction pointer, and the event 0 or #GP: a target beyond the segment's end is
a fault of the jump, raised before it changes anything (manual 2A, Jcc, JMP, CALL).
"""

from __future__ import annotations

from ..state.flags import condition, size_mask, zero
from ..state.handles import fault
from ..state.jit import core_hot
from ..state.layout import CS, EVENT_FAULT, GP, LIMIT, RCX, RIP, RSP, SS
from .fast_path import is_done, load, push
from .moves import M32, merged

E_GP = EVENT_FAULT | GP


@core_hot
def wrapped(offset, size):
    """An instruction pointer of the operand size."""
    if size == 2:
        return offset & 0xFFFF
    return offset & M32


@core_hot
def relative(rip, u):
    """The target of a relative jump."""
    return wrapped(rip + u.next + u.imm, u.size)


@core_hot
def checked(m, c, target):
    if target > c[LIMIT + CS]:
        fault(m, GP, 0)
        return target, E_GP
    return target, 0


@core_hot
def jump(m, c, u, rip):
    return checked(m, c, relative(rip, u))


@core_hot
def jump_to(m, c, u):
    """To where a register says."""
    return checked(m, c, wrapped(c[u.b], u.size))


@core_hot
def jump_if(m, c, u, rip, result, carries):
    """Jcc. JNZ and JZ close most loops: they ask ZF without a second dispatch."""
    if u.op == 5:
        holds = zero(result) ^ 1
    elif u.op == 4:
        holds = zero(result)
    else:
        holds = condition(u.op, result, carries)
    if holds:
        return jump(m, c, u, rip)
    return rip + u.next, 0


@core_hot
def call32(m, c, window, u, rip):
    target, event = jump(m, c, u, rip)
    if event == 0:
        event = push(m, c, window, rip + u.next)
    return target, event


@core_hot
def return32(m, c, window, u):
    """RET; ``imm`` is what it drops from the stack besides."""
    value, event = load(m, c, window, SS, c[RSP] & M32, 4)
    if not is_done(event):
        return value, event
    target, beyond = checked(m, c, value)
    if beyond:
        return target, beyond
    c[RSP] = (c[RSP] + 4 + u.imm) & M32
    return target, event


@core_hot
def check_target(m, c, u, rip):
    """The first micro-op of a CALL or RET that takes several: ``dst`` = its target, relative or (1) in
    a register, ``a`` = the address of the next instruction."""
    if u.op == 1:
        target, event = jump_to(m, c, u)
    else:
        target, event = jump(m, c, u, rip)
    if event == 0:
        c[u.dst] = target
        c[u.a] = rip + u.next
    return event


@core_hot
def loop(m, c, u, rip, result):
    """LOOPNE (0), LOOPE (1), LOOP (2), JCXZ (3). ``a`` is the address size: the counter's."""
    count = c[RCX] & size_mask(u.a)
    if u.op == 3:
        holds = count == 0
    else:
        count = (count - 1) & size_mask(u.a)
        holds = count != 0 and (u.op == 2 or zero(result) == u.op)
    target, event = rip + u.next, 0
    if holds:
        target, event = jump(m, c, u, rip)
    if event == 0:
        c[RCX] = merged(c[RCX], count, u.a)
    return target, event


@core_hot
def page_end(c, u, rip):
    """A block's end that is no jump's: to the next instruction, or (1) where a unit has set RIP."""
    if u.op == 1:
        return c[RIP]
    return rip + u.next
