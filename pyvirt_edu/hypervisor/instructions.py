"""The instruction that faulted, with its operands ready to read and to assign.

Operands are the guest's registers, its memory and constants. The guest's segments are taken to
be flat, its code to be 32-bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..machine.decode.instruction import Immediate, Memory
from ..machine.decode.instruction_decoder import decode
from ..machine.decode.operand_registers import Register, register
from ..machine.errors import AddressError

if TYPE_CHECKING:
    from .trap_frame import Frame

LONGEST, PAGE = 15, 4096
DIRECTION = 0x400
BREAKPOINT = 3
NOTHING: Mapping[int, bytes] = MappingProxyType({})
ESP = register("esp")


class FaultingInstruction:
    """What stands at the EIP of a frame.

    ``name`` is the mnemonic without prefixes, "?" if there is no instruction; ``operands`` are
    the operands' texts: "cr3", "eax", "0x20". ``decoded`` has the rest.
    """

    def __init__(self, frame: Frame, code: bytes) -> None:
        self.frame, self.cpu, self.meter = frame, frame.cpu, frame.meter
        self.decoded = decode(code)
        self.name = self.decoded.name if self.decoded else "?"
        self.length = self.decoded.length if self.decoded else 0
        self._operands = self.decoded.operands if self.decoded else ()
        self.operands = [str(operand) for operand in self._operands]

    def __repr__(self) -> str:
        return f"<{self.name} {', '.join(self.operands)}>"

    def _value(self, register: Register) -> int:
        if register.whole is ESP:
            return self.frame.esp & (1 << register.size) - 1
        return int(getattr(self.cpu, register.name))

    def get(self, n: int) -> int:
        """The value of operand n."""
        operand = self._operands[n]
        if isinstance(operand, Register):
            return self._value(operand)
        if isinstance(operand, Immediate):
            return operand.value
        return self.meter.read(self.address(n), self.size(n))

    def put(self, n: int, value: int) -> None:
        """Assign operand n, a register."""
        name = self.operands[n]
        if name == "esp":
            self.frame.esp = value
        else:
            setattr(self.cpu, name, value)

    def size(self, n: int) -> int:
        """Bytes of operand n, a register or memory."""
        operand = self._operands[n]
        assert isinstance(operand, Register | Memory)
        return operand.size // 8

    @property
    def vector(self) -> int:
        """Of INT and INTO."""
        assert self.decoded and self.decoded.vector is not None
        return self.decoded.vector

    def address(self, n: int) -> int:
        """Where operand n is in memory."""
        memory = self._operands[n]
        assert isinstance(memory, Memory)
        return memory.offset(self._value)

    def table(self) -> tuple[int, int]:
        """The limit and base that LGDT or LIDT names."""
        assert self.decoded
        at, base = self.address(0), (1 << 24 if self.decoded.operand_size == 16 else 1 << 32) - 1
        return self.meter.read(at, 2), self.meter.read(at + 2) & base

    def string_io(self) -> None:
        """INS or OUTS, with REP all at once: between port DX and the guest's memory."""
        cpu, meter = self.cpu, self.meter
        assert self.decoded and self.decoded.memory
        memory, repeated = self.decoded.memory, self.decoded.repeat
        size, mask = memory.size // 8, (1 << memory.address_size) - 1
        pointer, counter = str(memory.base), "ecx" if memory.address_size == 32 else "cx"
        step = -size if self.frame.eflags & DIRECTION else size
        for _ in range(getattr(cpu, counter) if repeated else 1):
            at = getattr(cpu, pointer)
            if self.decoded.operation == "INS":
                meter.write(at, meter.port_in(cpu.dx, size), size)
            else:
                meter.port_out(cpu.dx, meter.read(at, size), size)
            setattr(cpu, pointer, at + step & mask)
        if repeated:
            setattr(cpu, counter, 0)


def fetch(frame: Frame, patched: Mapping[int, bytes] = NOTHING) -> FaultingInstruction:
    """The instruction at the frame's EIP: up to 15 bytes, less where the page after it is absent.

    ``patched`` has what breakpoints stand for, by address; at one of them EIP goes back to it.
    """
    if frame.vector == BREAKPOINT and frame.eip - 1 in patched:
        frame.eip -= 1
        return FaultingInstruction(frame, patched[frame.eip])
    eip, machine = frame.eip, frame.meter.machine
    frame.meter.spend("memory read", -(-LONGEST // 4))
    in_page = min(LONGEST, PAGE - (eip & PAGE - 1))
    code = machine.read_linear(eip, in_page)
    if in_page < LONGEST:
        with suppress(AddressError):
            code += machine.read_linear(eip + in_page, LONGEST - in_page)
    return FaultingInstruction(frame, code)
