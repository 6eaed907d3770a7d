"""A monitor that runs an unmodified kernel in ring 1: trap and emulate.

The kernel believes it is in ring 0. What it may not do in ring 1 raises #GP; the monitor looks
at the instruction and does to a virtual processor what the kernel wanted done to the real one.
"""

from ..machine.machine import Machine
from .guest_tables import base_of, copy_gdt, copy_idt, put_breakpoints, read_gate
from .instructions import Instruction, fetch
from .trap_gates import TRAP_KIND, WITH_ERROR_CODE, Frame, TrapGates

BREAKPOINT, GP, PF = 3, 13, 14
IF, IOPL, PAGING = 0x200, 0x3000, 0x8000_0000
SILENT = ("pushfd", "popfd")  # in ring 1 they do the wrong thing with IF, and do not trap


class TrapAndEmulate:
    def __init__(self, machine: Machine, patch: tuple[int, int] = (0, 0)) -> None:
        self.virtual_if, self.cr = False, {0: machine.cpu.cr0, 2: 0, 3: 0, 4: 0}  # as the kernel sees it
        self.gates = TrapGates(machine, self.handle)
        self.cpu, self.meter = machine.cpu, self.gates.meter
        self.gdt = self.idt = self.tss = 0  # where the kernel keeps its tables
        self.pending, self.system_calls = list[int](), set[int]()
        self.patched = put_breakpoints(self.gates, *patch, SILENT)
        self.gates.enter_ring_1()

    def handle(self, frame: Frame) -> str:
        """Everything that reaches ring 0. Returns the name of the exit."""
        self.virtual_if |= frame.ring == 3  # a program cannot turn interrupts off
        name = self.respond(frame)
        if self.tss:  # the kernel may have chosen another stack
            self.gates.set_kernel_stack(1, *self.kernel_stack())
        self.meter.decide(2)
        if self.pending and self.virtual_if and name != "sti":  # STI holds one instruction longer
            self.reflect(frame, self.pending.pop(0))
        return name

    def respond(self, frame: Frame) -> str:
        self.meter.decide(4)
        if frame.vector == GP and frame.ring == 1:
            return self.emulate(frame, fetch(frame))
        if frame.vector == BREAKPOINT and frame.eip - 1 in self.patched:
            frame.eip -= 1
            return self.emulate(frame, Instruction(frame, self.patched[frame.eip]))
        if frame.vector == PF and self.gates.copy_entry(self.directory(), self.cpu.cr2):
            return "#PF hidden"
        if frame.vector >= 32 and frame.vector not in self.system_calls:
            self.pending.append(frame.vector)
            return "interrupt"
        self.reflect(frame, frame.vector, frame.error)
        return "system call" if frame.vector in self.system_calls else f"exception {frame.vector}"

    def reflect(self, frame: Frame, vector: int, error: int = 0) -> None:
        """Enter the kernel's own handler, as its IDT and its TSS say."""
        gate = read_gate(self.gates, self.idt + 8 * vector)
        cs = frame.cs & ~1 if frame.ring == 1 else frame.cs  # the IRET to "ring 0" will trap
        back = [frame.eflags & ~IF | IF * self.virtual_if, cs, frame.eip]
        if frame.ring == 3:  # an SS of ring 0 makes the IRET to ring 3 trap, too
            back = [frame.ss & ~3, frame.esp, *back]
            frame.ss, frame.esp = self.kernel_stack()
        frame.push(*back, *([error] if vector in WITH_ERROR_CODE else []))
        frame.cs, frame.eip = gate.selector | 1, gate.offset
        self.virtual_if &= gate.kind == TRAP_KIND
        self.cr[2] = self.cpu.cr2 if vector == PF else self.cr[2]

    def kernel_stack(self) -> tuple[int, int]:
        return self.meter.read(self.tss + 8) | 1, self.meter.read(self.tss + 4)

    def set_flags(self, frame: Frame, flags: int) -> None:
        frame.eflags, self.virtual_if = flags & ~IOPL | IF, bool(flags & IF)

    def directory(self) -> int | None:
        return self.cr[3] if self.cr[0] & PAGING else None

    def emulate(self, frame: Frame, i: Instruction) -> str:
        """Do to the virtual processor what the instruction wanted done to the real one."""
        self.meter.decide(8)  # the tree of a decoder
        frame.eip += i.length
        match [i.name, *i.operands]:
            case ["cli" | "sti"]:
                self.virtual_if = i.name == "sti"
            case ["pushfd"]:
                frame.push(frame.eflags & ~IF | IF * self.virtual_if)
            case ["popfd"]:
                self.set_flags(frame, *frame.pop(1))
            case ["iretd"]:
                frame.eip, frame.cs, flags = frame.pop(3)
                if frame.ring == 3:
                    frame.esp, frame.ss = frame.pop(2)
                frame.cs, frame.ss = frame.cs | 1, frame.ss | frame.ring | 1
                self.set_flags(frame, flags)
            case ["hlt"]:
                self.pending = self.pending or self.gates.halt(self.virtual_if)
            case ["int", _]:
                self.reflect(frame, i.get(0))
            case ["lgdt", _]:
                self.gdt = copy_gdt(self.gates, *i.table())
            case ["lidt", _]:
                self.idt, self.system_calls = copy_idt(self.gates, *i.table())
            case ["ltr", _]:
                self.tss = base_of(self.gates, self.gdt, i.get(0))
            case ["mov", "ss", _]:
                frame.ss = i.get(1) & 0xFFFF | 1
            case ["mov", "cr0" | "cr3" | "cr4", _]:
                self.cr[int(i.operands[0][2])] = i.get(1)
                self.gates.copy_directory(self.directory())
            case ["mov", _, "cr0" | "cr2" | "cr3" | "cr4"]:
                i.put(0, self.cr[int(i.operands[1][2])])
            case ["invlpg", _]:
                self.gates.copy_entry(self.directory(), i.address(0), flush=True)
            case ["in", *_]:
                i.put(0, self.meter.port_in(i.get(1), i.size(0)))
            case ["out", *_]:
                self.meter.port_out(i.get(0), i.get(1), i.size(1))
            case ["insb" | "insw" | "insd" | "outsb" | "outsw" | "outsd", *_]:
                i.string_io()
            case _:  # not one of these: the kernel's own fault
                frame.eip -= i.length
                self.reflect(frame, frame.vector, frame.error)
        return i.name
