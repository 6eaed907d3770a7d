"""A monitor that runs an unmodified kernel in ring 1: trap and emulate.

What the kernel may not do there raises #GP; the monitor does it to a virtual processor instead."""

from ..machine.bare_machine import BareMachine
from .guest_tables import base_of, copy_gdt, kernel_stack, put_breakpoints, read_gate
from .instructions import FaultingInstruction, fetch
from .trap_gates import TRAP_KIND, WITH_ERROR_CODE, Frame, TrapGates

BREAKPOINT, GP, PF = 3, 13, 14
IF, IOPL, TS, RUNNING = 0x200, 0x3000, 8, 0x8000_0001
SILENT = ("pushfd", "popfd", "iretd")  # in ring 1 they treat IF wrongly, and do not trap


class TrapAndEmulate:
    def __init__(self, machine: BareMachine, patch: tuple[int, int] = (0, 0)) -> None:
        self.virtual_if, self.cr = False, {0: machine.cpu.cr0, 2: 0, 3: 0, 4: 0}  # as the kernel sees it
        self.gates = TrapGates(machine, self.handle)
        self.cpu, self.meter = machine.cpu, self.gates.meter
        self.gdt = self.idt = self.tss = 0  # where the kernel keeps its tables
        self.pending = list[int]()  # interrupts that wait
        self.patched = put_breakpoints(self.gates, *patch, SILENT)
        self.gates.enter_ring_1()

    def handle(self, frame: Frame) -> str:
        """Everything that reaches ring 0. Returns the name of the exit."""
        self.virtual_if |= frame.ring == 3 and not self.patched  # the IRET to there went unseen
        name = self.respond(frame)
        if self.tss:  # the kernel may have chosen another stack
            self.gates.set_kernel_stack(1, *kernel_stack(self.gates, self.tss))
        self.meter.decide(2)
        if self.pending and self.virtual_if and not (name == "sti" and fetch(frame).name == "hlt"):
            self.reflect(frame, self.pending.pop(0))
        return name

    def respond(self, frame: Frame) -> str:
        self.meter.decide(4)
        patched = frame.vector == BREAKPOINT and frame.eip - 1 in self.patched
        if patched or frame.vector == GP and (frame.ring == 1 or frame.error & 2):  # 2: by an INT
            return self.emulate(frame, fetch(frame, self.patched))
        if frame.vector == PF and self.gates.copy_entry(self.directory(), self.cpu.cr2):
            return "#PF hidden"
        if frame.vector >= 32:
            self.pending.append(frame.vector)
            return "interrupt"
        self.reflect(frame, frame.vector, frame.error)
        return f"exception {frame.vector}"

    def reflect(self, frame: Frame, vector: int, error: int = 0) -> None:
        """Enter the kernel's own handler, as its IDT and its TSS say."""
        gate = read_gate(self.gates, self.idt + 8 * vector)
        cs = frame.cs & ~1 if frame.ring == 1 else frame.cs  # the IRET to "ring 0" will trap
        back = [frame.eflags & ~IF | IF * self.virtual_if, cs, frame.eip]
        if frame.ring == 3:  # an SS of ring 0 makes the IRET to ring 3 trap, too
            back = [frame.ss & ~3, frame.esp, *back]
            frame.ss, frame.esp = kernel_stack(self.gates, self.tss)
        frame.push(*back, *([error] if vector in WITH_ERROR_CODE else []))
        frame.cs, frame.eip = gate.selector | 1, gate.offset
        self.virtual_if &= gate.kind == TRAP_KIND
        self.cr[2] = self.cpu.cr2 if vector == PF else self.cr[2]

    def set_flags(self, frame: Frame, flags: int) -> None:
        frame.eflags, self.virtual_if = flags & ~IOPL | IF, bool(flags & IF)

    def directory(self) -> int | None:
        return self.cr[3] if self.cr[0] >> 31 else None

    def emulate(self, frame: Frame, i: FaultingInstruction) -> str:
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
            case ["iretd" | "retf"]:
                frame.eip, frame.cs, *flags = frame.pop(3 if i.name == "iretd" else 2)
                if frame.ring == 3:
                    frame.esp, frame.ss = frame.pop(2)
                frame.cs, frame.ss = frame.cs | 1, frame.ss | frame.ring | 1
                for image in flags:
                    self.set_flags(frame, image)
            case ["hlt"]:
                self.pending += [] if self.pending and self.virtual_if else self.gates.halt(self.virtual_if)
            case ["int" | "into", *_] if read_gate(self.gates, self.idt + 8 * i.vector).dpl >= frame.ring & 2:
                self.reflect(frame, i.vector)
            case ["lgdt", _]:
                self.gdt = copy_gdt(self.gates, *i.table())
            case ["lidt", _]:
                self.idt = i.table()[1]
            case ["ltr", _]:
                self.tss = base_of(self.gates, self.gdt, i.get(0))
            case ["mov", "ss", _] | ["pop", "ss"]:
                frame.ss = (i.get(1) if i.name == "mov" else frame.pop(1)[0]) & 0xFFFF | 1
            case ["mov", "cr0" | "cr3" | "cr4", _]:
                self.cr[int(i.operands[0][2])] = i.get(1)
                self.cpu.cr0 = self.cr[0] | RUNNING
                self.gates.copy_directory(self.directory())
            case ["mov", _, "cr0" | "cr2" | "cr3" | "cr4"]:
                i.put(0, self.cr[int(i.operands[1][2])])
            case ["clts"]:
                self.cr[0], self.cpu.cr0 = self.cr[0] & ~TS, self.cpu.cr0 & ~TS
            case ["lldt" | "wbinvd" | "invd", *_]:
                pass  # there is no LDT, and no cache
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
