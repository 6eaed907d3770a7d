"""The instruction that faulted, with its operands ready to read and to assign.

Capstone decodes; operands are the guest's registers, its memory and constants. The guest's
segments are taken to be flat.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from ..machine.errors import AddressError

if TYPE_CHECKING:
    from .trap_frame import Frame

LONGEST, PAGE = 15, 4096
DIRECTION = 0x400
STRING_SIZES = {"b": 1, "w": 2, "d": 4}


@cache
def _decode(code: bytes) -> Any:
    """A kernel executes few different privileged instructions: decode each of them once."""
    from capstone import CS_ARCH_X86, CS_MODE_32, Cs

    decoder = Cs(CS_ARCH_X86, CS_MODE_32)
    decoder.detail = True
    return next(decoder.disasm(code, 0), None)


class Instruction:
    """What stands at the EIP of a frame.

    ``name`` is the mnemonic without prefixes, "?" if there is no instruction; ``operands`` are
    the operands' texts: "cr3", "eax", "0x20".
    """

    def __init__(self, frame: Frame, code: bytes) -> None:
        self.frame, self.cpu, self.meter = frame, frame.cpu, frame.meter
        decoded = _decode(code)
        words = decoded.mnemonic.split() if decoded else ["?"]
        self.name, self.repeated = words[-1], len(words) > 1
        self.length = decoded.size if decoded else 0
        self._operands = decoded.operands if decoded else []
        self._register = decoded.reg_name if decoded else None
        self.operands = decoded.op_str.split(", ") if decoded and decoded.op_str else []

    def __repr__(self) -> str:
        return f"<{self.name} {', '.join(self.operands)}>"

    def _get(self, register: int) -> int:
        name = self._register(register)  # type: ignore[misc]
        return self.frame.esp if name == "esp" else int(getattr(self.cpu, name))

    def get(self, n: int) -> int:
        """The value of operand n."""
        from capstone import x86_const as x86

        operand = self._operands[n]
        if operand.type == x86.X86_OP_IMM:
            return int(operand.imm) & 0xFFFF_FFFF
        if operand.type == x86.X86_OP_REG:
            return self._get(operand.reg)
        return self.meter.read(self.address(n), operand.size)

    def put(self, n: int, value: int) -> None:
        """Assign operand n, a register."""
        name = self.operands[n]
        if name == "esp":
            self.frame.esp = value
        else:
            setattr(self.cpu, name, value)

    def size(self, n: int) -> int:
        """Bytes of operand n."""
        return int(self._operands[n].size)

    def address(self, n: int) -> int:
        """Where operand n is in memory."""
        memory = self._operands[n].mem
        base = self._get(memory.base) if memory.base else 0
        index = self._get(memory.index) * memory.scale if memory.index else 0
        return (base + index + memory.disp) & 0xFFFF_FFFF

    def table(self) -> tuple[int, int]:
        """The limit and base that LGDT or LIDT names."""
        at = self.address(0)
        return self.meter.read(at, 2), self.meter.read(at + 2)

    def string_io(self) -> None:
        """INS or OUTS, with REP all at once: between port DX and the guest's memory."""
        cpu, meter = self.cpu, self.meter
        reads, size = self.name.startswith("ins"), STRING_SIZES[self.name[-1]]
        pointer = "edi" if reads else "esi"
        step = -size if self.frame.eflags & DIRECTION else size
        for _ in range(cpu.ecx if self.repeated else 1):
            at = getattr(cpu, pointer)
            if reads:
                meter.write(at, meter.port_in(cpu.dx, size), size)
            else:
                meter.port_out(cpu.dx, meter.read(at, size), size)
            setattr(cpu, pointer, (at + step) & 0xFFFF_FFFF)
        if self.repeated:
            cpu.ecx = 0


def fetch(frame: Frame) -> Instruction:
    """The instruction at the frame's EIP: up to 15 bytes, less where the page after it is absent."""
    eip, machine = frame.eip, frame.meter.machine
    frame.meter.spend("memory read", -(-LONGEST // 4))
    in_page = min(LONGEST, PAGE - (eip & PAGE - 1))
    code = machine.read_linear(eip, in_page)
    if in_page < LONGEST:
        with suppress(AddressError):
            code += machine.read_linear(eip + in_page, LONGEST - in_page)
    return Instruction(frame, code)
