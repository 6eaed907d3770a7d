"""A hypervisor for a kernel that was changed to ask: para-virtualization in its smallest form.

The kernel runs in ring 1 and makes hypercalls (INT 82h, Xen's numbers) for what it may not do
itself. Interrupts are held back while a byte of the kernel's own memory says so: no exit is
needed to turn them off and on. Device ports the domain owns are open to it in the TSS.
"""

from __future__ import annotations

from ..machine.machine import Machine
from .trap_gates import Frame, TrapGates, descriptor

HYPERCALL, TIMER_VECTOR = 0x82, 0xF0
USER_CODE, USER_DATA, KERNEL_CODE, KERNEL_DATA = 0xFCB, 0xFD3, 0xFD9, 0xFE1
IF = 0x200
SERIAL = 0x3F8
TIMER_TICKS = 1193  # a thousand times a second


class Hypercalls:
    def __init__(self, machine: Machine, ports: tuple[tuple[int, int], ...] = ((0x1F0, 8),)) -> None:
        self.machine, self.cpu, entry = machine, machine.cpu, machine.cpu.eip
        self.gates = TrapGates(machine, self.handle)
        self.meter = self.gates.meter
        self.event_handler, self.masked, self.pending = 0, False, False
        self.kernel_stack = (KERNEL_DATA, 0)
        limit = self.gates.guest_limit >> 12
        accesses = ((USER_CODE, 0xFB), (USER_DATA, 0xF3), (KERNEL_CODE, 0xBB), (KERNEL_DATA, 0xB3))
        for selector, access in accesses:
            self.gates.set_descriptor(selector, descriptor(0, limit, access, 0xC))
        for first, count in ports:
            self.gates.open_ports(first, count)
        self.gates.let_through(HYPERCALL, 1)
        self.cpu.ds = self.cpu.es = KERNEL_DATA
        self.gates.enter(entry, KERNEL_CODE, KERNEL_DATA, self.cpu.esp)

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
            self.meter.port_out(0x20, 0x20)  # the controller is the hypervisor's
            self.pending = True
            name = "timer"
        else:
            self.gates.stop()
            return f"crash: vector {frame.vector} at {frame.eip:#x}"
        self.meter.decide(2)
        if self.pending and self.event_handler and not self.masked:
            self.upcall(frame)
        return name

    def upcall(self, frame: Frame) -> None:
        """Enter the kernel's event handler; events stay masked until its iret hypercall."""
        self.pending, self.masked = False, True
        esp, image = frame.esp, [frame.eflags, frame.cs, frame.eip]
        if frame.ring == 3:
            image = [frame.ss, frame.esp, *image]
            frame.ss, esp = self.kernel_stack
        for value in image:
            esp -= 4
            self.meter.write(esp, value)
        frame.eip, frame.cs, frame.esp = self.event_handler, KERNEL_CODE, esp

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
        table = self.machine.read(self.cpu.ebx & ~0xFFF, 4092)
        self.meter.spend("page-table read", 1023)
        self.gates.load_directory([int.from_bytes(table[i : i + 4], "little") for i in range(0, 4092, 4)])
        self.meter.spend("TLB flush")
        self.directory = self.cpu.ebx & ~0xFFF

    def update_va_mapping(self, frame: Frame) -> None:
        """Map the linear page EBX to the page-table entry ECX, and flush it."""
        linear = self.cpu.ebx
        table = int.from_bytes(self.machine.read(self.directory + (linear >> 22) * 4, 4), "little")
        self.machine.write((table & ~0xFFF) + (linear >> 12 & 1023) * 4, self.cpu.ecx.to_bytes(4, "little"))
        self.meter.spend("page-table read")
        self.meter.spend("page-table write")
        self.meter.spend("INVLPG")
        self.gates.flush()

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
        at = frame.esp
        self.cpu.eax, eip, cs, flags = (self.meter.read(at + n) for n in (0, 4, 8, 12))
        frame.eip, frame.cs, frame.eflags, frame.esp = eip, cs, flags & ~0x3000 | IF, at + 16
        if cs & 3 == 3:
            frame.esp, frame.ss = self.meter.read(at + 16), self.meter.read(at + 20)
        self.masked = False

    def sched_op(self, frame: Frame) -> None:
        """Shut the domain down."""
        self.gates.stop()

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
