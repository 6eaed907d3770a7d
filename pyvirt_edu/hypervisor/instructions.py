"""The instruction that faulted, with its operands ready to read and to assign."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from ..machine.decode.instruction import Immediate, Instruction, Memory
from ..machine.decode.instruction_decoder import RAN_OUT, Undecoded, decode
from ..machine.decode.operand_registers import Register, register
from ..machine.state.layout import BASE, CS, ES, MODE, MODE_CODE32, PAGE, RIP

if TYPE_CHECKING:
    from ..machine.bare_machine import BareMachine
    from .trap_frame import Frame
    from .virtual_machine import VirtualMachine

LONGEST = 15
DIRECTION = 0x400
M32 = 0xFFFF_FFFF
ESP = register("esp")


class Known(NamedTuple):
    """A decoded instruction, and what is asked of it again and again."""

    found: Instruction | Undecoded
    name: str
    length: int
    operands: tuple[Any, ...]
    texts: list[str]


@lru_cache(4096)  # a guest's loops come by the same bytes
def decoded(code: bytes, bits: int) -> Known:
    found = decode(code, bits)
    if not isinstance(found, Instruction):
        return Known(found, "?", 0, (), [])
    return Known(found, found.name, found.length, found.operands, [str(o) for o in found.operands])


def instruction_at(machine: BareMachine, linear: int, bits: int) -> Known:
    """What a machine has at a linear address, by its page tables as they are."""
    in_page = min(LONGEST, PAGE - linear % PAGE)
    code = _bytes(machine, linear, in_page)
    known = decoded(code, bits)
    if known.found is RAN_OUT and code and in_page < LONGEST:
        return decoded(code + _bytes(machine, linear + in_page & M32, LONGEST - in_page), bits)
    return known


def _bytes(machine: BareMachine, linear: int, size: int) -> bytes:
    """Bytes in one page; none if it is not there, or is no memory."""
    physical = machine.translate(linear)
    if physical is None or physical + size > machine.ram_size:
        return b""
    return machine.read(physical, size)


class FaultingInstruction:
    """What stands where the guest was.

    ``name`` is the mnemonic without prefixes, "?" if there is no instruction; ``operands`` are
    the operands' texts: "cr3", "eax", "0x20". ``decoded`` has the rest. Registers are those of ``cpu``,
    the real processor or a virtual one.
    """

    def __init__(self, known: Known, frame: Frame, vm: VirtualMachine | None) -> None:
        self.decoded = known.found if isinstance(known.found, Instruction) else None
        self.frame, self.vm, self.meter = frame, vm, frame.meter
        self.cpu: Any = frame.cpu if vm is None else vm.cpu
        _, self.name, self.length, self._operands, self.operands = known

    def __repr__(self) -> str:
        return f"<{self.name} {', '.join(self.operands)}>"

    def _value(self, register: Register) -> int:
        if register.whole is ESP and self.vm is None:
            return self.frame.esp & (1 << register.size) - 1
        return int(getattr(self.cpu, register.name))

    def get(self, n: int) -> int:
        """The value of operand n, a register or a constant."""
        operand = self._operands[n]
        if isinstance(operand, Register):
            return self._value(operand)
        assert isinstance(operand, Immediate)
        return operand.value

    def put(self, n: int, value: int) -> None:
        """Assign operand n, a register."""
        setattr(self.cpu, self.operands[n], value)

    def size(self, n: int) -> int:
        """Bytes of operand n, a register or memory."""
        operand = self._operands[n]
        assert isinstance(operand, Register | Memory)
        return operand.size // 8

    def memory(self, n: int) -> tuple[int, int]:
        """Segment and offset of operand n, which is in memory."""
        memory = self._operands[n]
        assert isinstance(memory, Memory)
        return memory.segment.number, memory.offset(self._value)

    def linear(self, n: int) -> int:
        """The linear address of operand n, which is in memory."""
        assert self.vm is not None
        segment, offset = self.memory(n)
        return self.vm._c[BASE + segment] + offset & M32

    def string_io(self) -> bool:
        """INS or OUTS, between port DX and the guest's memory: as many repetitions as lie in one
        page. False: nothing is done, and one repetition is left to the interpreter."""
        assert self.decoded and self.decoded.memory and self.vm is not None
        cpu, vm, memory = self.cpu, self.vm, self.decoded.memory
        size, mask = memory.size // 8, (1 << memory.address_size) - 1
        pointer, counter = str(memory.base), "ecx" if memory.address_size == 32 else "cx"
        reads = self.decoded.operation == "INS"
        offset, left = getattr(cpu, pointer), getattr(cpu, counter) if self.decoded.repeat else 1
        segment = ES if reads else memory.segment.number
        linear = vm._c[BASE + segment] + offset & M32
        count = min(left, (PAGE - linear % PAGE) // size, (mask + 1 - offset) // size)
        if count < 2 or cpu.eflags & DIRECTION or cpu.dx in vm.host._ports:
            return False
        place = vm.place_for(segment, offset, size * count, writes=reads)
        if place is None:
            return False
        self.meter.ports(place, cpu.dx, size, count, reads)
        setattr(cpu, pointer, offset + size * count & mask)
        setattr(cpu, counter, left - count)
        if left == count:
            cpu.eip += self.length
        self.meter.decide(8)  # the tree of a decoder
        return True


def fetch(frame: Frame, vm: VirtualMachine | None = None) -> FaultingInstruction:
    """The instruction at the frame's EIP, or where a virtual processor stands."""
    frame.meter.spend("memory read", -(-LONGEST // 4))
    machine = frame.meter.machine
    if vm is None:
        return FaultingInstruction(instruction_at(machine, frame.eip, 32), frame, vm)
    c = vm._c
    linear, bits = c[BASE + CS] + c[RIP] & M32, 32 if c[MODE] & MODE_CODE32 else 16
    known = instruction_at(machine, linear, bits)  # where the real processor has just been
    return FaultingInstruction(known if known.length else instruction_at(vm, linear, bits), frame, vm)
