"""A hypervisor for a kernel that was changed to ask: para-virtualization in its smallest form.

The kernel runs in ring 1 and makes hypercalls (INT 82h, Xen's numbers) for what it may not do
itself. Interrupts are held back while a byte of the kernel's own memory says so: no exit is
needed to turn them off and on. Device ports the domain owns are open to it in the TSS.
"""

from __future__ import annotations

from ..machine.bare_machine import BareMachine
from .trap_frame import Frame
from .trap_gates import KERNEL_CODE, KERNEL_DATA, TrapGates

HYPERCALL, TIMER_VECTOR = 0x82, 0xF0
IF, IOPL = 0x200, 0x3000
SERIAL = 0x3F8
BLOCK = 1
TIMER_TICKS = 1193  # a thousand times a second


class Hypercalls:
    def __init__(self, machine: BareMachine, ports: tuple[tuple[int, int], ...] = ((0x1F0, 8),)) -> None:
        self.machine, self.cpu = machine, machine.cpu
        self.gates = TrapGates(machine, self.handle)
        self.meter = self.gates.meter
        self.event_handler, self.masked, self.pending = 0, False, False
        self.kernel_stack, self.directory = (KERNEL_DATA, 0), 0
        for first, count in ports:
            self.gates.open_ports(first, count)
        self.gates.let_through(HYPERCALL, 1)
        self.gates.enter_ring_1()

    def handle(self, frame: Frame) -> str:
        self.meter.decide(2)
        if frame.vector == HYPERCALL:
            action = self.TABLE.get(self.cpu.eax)
            self.meter.decide(2)
            if action is None:
                return f"hypercall {self.cpu.eax}?"
            action(self, frame)
            name = action.__name__
        elif frame.vector == TIMER_VECTOR:
            self.tick()
            name = "timer"
        else:
            self.gates.stop(f"no handler for {frame}")
            return "crash"
        self.meter.decide(2)
        if self.pending and self.event_handler and not self.masked:
            self.upcall(frame)
        return name

    def tick(self) -> None:
        self.meter.port_out(0x20, 0x20)  # the controller is the hypervisor's
        self.pending = True

    def upcall(self, frame: Frame) -> None:
        """Enter the kernel's event handler; events stay masked until its iret hypercall."""
        self.pending, self.masked = False, True
        back = [frame.eflags, frame.cs, frame.eip]
        if frame.ring == 3:
            back = [frame.ss, frame.esp, *back]
            frame.ss, frame.esp = self.kernel_stack
        frame.push(*back)
        frame.cs, frame.eip = KERNEL_CODE, self.event_handler

    # --- hypercalls: arguments in EBX, ECX ---------------------------------------------------

    def set_trap_table(self, frame: Frame) -> None:
        """EBX: entries of vector, ring, handler; a handler of 0 ends them."""
        at = self.cpu.ebx
        while handler := self.meter.read(at + 8):
            self.gates.direct(self.meter.read(at), KERNEL_CODE, handler, self.meter.read(at + 4))
            at += 12

    def stack_switch(self, frame: Frame) -> None:
        """EBX:ECX is the kernel's stack for entries from ring 3."""
        self.kernel_stack = self.cpu.ebx, self.cpu.ecx
        self.gates.set_kernel_stack(1, *self.kernel_stack)

    def mmuext_op(self, frame: Frame) -> None:
        """EBX: physical address of the page directory."""
        self.directory = self.cpu.ebx & ~0xFFF
        self.gates.copy_directory(self.directory)

    def update_va_mapping(self, frame: Frame) -> None:
        """Map the linear page EBX to the page-table entry ECX, and flush it."""
        self.set_entry(self.cpu.ebx, self.cpu.ecx)
        self.gates.flush_page(self.cpu.ebx)

    def set_entry(self, linear: int, entry: int) -> None:
        """Write the entry of a page into the domain's page table."""
        self.meter.spend("page-table read")
        self.meter.spend("page-table write")
        table = int.from_bytes(self.machine.read(self.directory + (linear >> 22) * 4, 4), "little")
        self.machine.write((table & ~0xFFF) + (linear >> 12 & 1023) * 4, entry.to_bytes(4, "little"))

    def console_io(self, frame: Frame) -> None:
        """Write the text at EBX."""
        at = self.cpu.ebx
        while (character := self.meter.read(at, 1)) != 0:
            while not self.meter.port_in(SERIAL + 5) & 0x20:
                self.meter.decide()
            self.meter.port_out(SERIAL, character)
            at += 1

    def set_timer_op(self, frame: Frame) -> None:
        """Events from now on, a thousand a second, at the handler EBX."""
        self.event_handler = self.cpu.ebx
        for port, value in ((0x20, 0x11), (0x21, TIMER_VECTOR), (0x21, 4), (0x21, 1), (0x21, 0xFE)):
            self.meter.port_out(port, value)
        for port, value in ((0x43, 0x34), (0x40, TIMER_TICKS & 0xFF), (0x40, TIMER_TICKS >> 8)):
            self.meter.port_out(port, value)

    def iret(self, frame: Frame) -> None:
        """Return from an event: EAX and the interrupted frame are on the kernel's stack."""
        self.cpu.eax, frame.eip, cs, flags = frame.pop(4)
        frame.cs = cs | 1  # ring 0 is not to be had
        frame.eflags = flags & ~IOPL | IF
        if frame.ring == 3:
            frame.esp, frame.ss = frame.pop(2)
        self.masked = False

    def sched_op(self, frame: Frame) -> None:
        """EBX 1: sleep until an event comes; 2: shut the domain down."""
        self.meter.decide(2)
        if self.cpu.ebx != BLOCK:
            self.gates.stop()
            return
        self.masked = False
        if not self.pending:
            self.gates.halt(interrupts=True)
            self.tick()

    TABLE = {
        0: set_trap_table,
        3: stack_switch,
        14: update_va_mapping,
        15: set_timer_op,
        18: console_io,
        23: iret,
        26: mmuext_op,
        29: sched_op,
    }
