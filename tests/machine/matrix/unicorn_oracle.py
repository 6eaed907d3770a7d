"""Completions judged by Unicorn: the same bytes, registers and memory, one instruction.

Unicorn is used in real mode for 16-bit code and in flat protected mode for 32-bit code; what
an instruction computes does not depend on more. What does is left to models.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from unicorn import UC_ARCH_X86, UC_HOOK_INTR, UC_MODE_16, UC_MODE_32, Uc, UcError
from unicorn import x86_const as ux

from pyvirt_edu.machine.state import layout as at

from . import world as w
from .bench import Expected
from .cases import FLAG_BITS, STATUS, Case

REGISTERS = [getattr(ux, f"UC_X86_REG_{name}") for name in "EAX ECX EDX EBX ESP EBP ESI EDI".split()]
SEGMENTS = [getattr(ux, f"UC_X86_REG_{name}") for name in "ES CS SS DS FS GS".split()]


class Judge:
    def __init__(self) -> None:
        self.processors: dict[int, Uc] = {}
        self.vector: int | None = None

    def processor(self, bits: int) -> Uc:
        """One that took a fault is not used again: nobody delivered it."""
        if bits not in self.processors:
            uc = Uc(UC_ARCH_X86, UC_MODE_16 if bits == 16 else UC_MODE_32)
            uc.mem_map(0, w.RAM)
            uc.hook_add(UC_HOOK_INTR, self.interrupt)
            self.processors[bits] = uc
        return self.processors[bits]

    def interrupt(self, uc: Uc, vector: int, _: object) -> None:
        self.vector = vector
        uc.emu_stop()

    def judge(self, case: Case) -> tuple[Expected | None, str]:
        """What Unicorn makes of a case, or None and why it can say nothing."""
        bits = case.form.mode.bits
        uc = self.processor(bits)
        self.vector = None
        uc.mem_write(0, w.IMAGE)
        for address, data in case.memory:
            uc.mem_write(address, data)
        uc.mem_write(case.where, twin(case).code())
        for register, value in zip(REGISTERS, case.registers):
            uc.reg_write(register, value)
        if bits == 16:
            for register, selector in zip(SEGMENTS, w.REAL.selectors):
                uc.reg_write(register, selector)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, case.eflags & (STATUS | 0x400) | 2)
        uc.ctl_flush_tb()  # its translations outlive a mem_write
        try:
            uc.emu_start(case.where, w.RAM - 1, count=1)
        except UcError as error:
            del self.processors[bits]
            return None, f"Unicorn: {error}"
        if self.vector is not None:
            del self.processors[bits]
            return None, f"Unicorn: exception {self.vector}"
        words = {i: uc.reg_read(register) for i, register in enumerate(REGISTERS)}
        words[at.RIP] = uc.reg_read(ux.UC_X86_REG_EIP if bits == 32 else ux.UC_X86_REG_IP)
        words[at.RIP] += len(case.code()) - len(twin(case).code())
        keep = ~(STATUS | 0x400)
        flags = case.eflags & keep | uc.reg_read(ux.UC_X86_REG_EFLAGS) & ~keep
        if case.form.mode.v86:
            flags |= at.VM
        if twin(case) is not case:
            uc.mem_write(case.where, case.code())
        ram = np.frombuffer(uc.mem_read(0, w.RAM), np.uint8)
        return Expected(words, eflags=flags, undefined=undefined(case), ram=ram), ""


def twin(case: Case) -> Case:
    """The same instruction in a form that Unicorn gets right.

    It does not know F6/1 and F7/1, other names of F6/0 and F7/0, and leaves the wrong flags
    after NEG with LOCK.
    """
    row = case.form.row
    if row.operation == "TEST" and row.reg == 1:
        return replace(case, form=replace(case.form, row=replace(row, reg=0)))
    if row.operation == "NEG" and case.prefixes:
        return replace(case, prefixes=b"")
    return case


def undefined(case: Case) -> int:
    """EFLAGS bits that the manual leaves undefined after a case."""
    operands, count = case.form.row.operands, None
    if operands[-1:] == ("CL",):
        count = case.registers[1] & 31
    elif operands[-1:] == ("1",):
        count = 1
    elif operands[-1:] == ("Ib",):
        count = case.immediate[-1] & 31
    return sum({FLAG_BITS[letter] for letter in case.form.undefined_flags(count)})
