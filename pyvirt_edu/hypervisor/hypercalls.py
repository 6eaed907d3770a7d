"""A hypervisor for a kernel that was changed to ask: para-virtualization in its smallest form.

The kernel runs in ring 1 and makes hypercalls (INT 82h, Xen's numbers) for what it may not do
itself. Interrupts are held back while a byte of the kernel's own memory says so: no exit is
needed to turn them off and on. Device ports the domain owns are open to it in the TSS.

Whatever the kernel says is checked: its memory is reached through its own page tables, and a call
that no kernel may make ends the domain (`GuestFault`).
"""

from __future__ import annotations

import struct

from ..machine.bare_machine import BareMachine
from ..machine.errors import AddressError, RegisterError
from ..machine.state.layout import USER, WRITE
from .address_space import AddressSpace
from .guest_fault import GuestFault
from .takeover import lend_all
from .trap_frame import Frame
from .trap_gates import KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA, TrapGates

HYPERCALL, TIMER_VECTOR = 0x82, 0xF0
GP, PAGE_FAULT, FAULT_WRITE = 13, 14, 2
IF, IOPL, VM = 0x200, 0x3000, 0x20000
PROTECTED, PAGING = 1, 0x8000_0000  # of CR0
PRESENT = 1
SERIAL = 0x3F8
BLOCK = 1
TIMER_TICKS = 1193  # a thousand times a second
VECTORS, LONGEST_TEXT = 256, 4096


class Hypercalls:
    def __init__(self, machine: BareMachine, ports: tuple[tuple[int, int], ...] = ((0x1F0, 8),)) -> None:
        self.machine, self.cpu = machine, machine.cpu
        self.gates = TrapGates(machine, self.handle)
        self.meter = self.gates.meter
        self.memory, frames = lend_all(self.gates)  # the kernel's, as the kernel sees it
        self.space = AddressSpace(self.gates, self.memory, frames)
        self.memory.enter_protected_mode(0)
        self.event_handler, self.masked, self.pending = 0, False, False
        self.kernel_stack, self.directory = (KERNEL_DATA, 0), 0
        for first, count in ports:
            self.gates.open_ports(first, count)
        self.gates.let_through(HYPERCALL, 1)
        self.gates.enter_ring_1()
        machine.attach("hypercalls", self)

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
        elif frame.vector == PAGE_FAULT and self.fill(frame):
            return "#PF hidden"
        else:
            raise GuestFault(frame.vector, frame.error)
        self.meter.decide(2)
        if self.pending and self.event_handler and not self.masked:
            self.upcall(frame)
        return name

    def fill(self, frame: Frame) -> bool:
        """Whether a page fault is mended by what the kernel's own page tables say."""
        access = WRITE * (frame.error & FAULT_WRITE != 0) | USER * (frame.ring == 3)
        return self.space.fill(self.cpu.cr2, access) == "hidden"

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
        for value in back:
            frame.esp -= 4
            self.write(frame.esp, value)
        frame.cs, frame.eip = KERNEL_CODE, self.event_handler

    # --- the kernel's memory -------------------------------------------------------------------

    def read(self, linear: int, size: int = 4) -> int:
        self.meter.spend("memory read")
        return self.memory.guest_load(linear & 0xFFFF_FFFF, size)

    def write(self, linear: int, value: int) -> None:
        self.meter.spend("memory write")
        self.memory.guest_store(linear & 0xFFFF_FFFF, value & 0xFFFF_FFFF)

    def pop(self, frame: Frame, count: int) -> list[int]:
        values = [self.read(frame.esp + 4 * i) for i in range(count)]
        frame.esp += 4 * count
        return values

    # --- hypercalls: arguments in EBX, ECX ---------------------------------------------------

    def set_trap_table(self, frame: Frame) -> None:
        """EBX: entries of vector, ring, handler; a handler of 0 ends them. These vectors lead straight
        into the kernel, so none may be the processor's or the hypervisor's own."""
        for at in range(self.cpu.ebx, self.cpu.ebx + 12 * VECTORS, 12):
            vector, ring, handler = (self.read(at + n) for n in (0, 4, 8))
            if not handler:
                break
            if not 32 <= vector < VECTORS or vector in (HYPERCALL, TIMER_VECTOR) or ring > 3:
                raise GuestFault(GP)
            self.gates.direct(vector, KERNEL_CODE, handler, ring)

    def stack_switch(self, frame: Frame) -> None:
        """EBX:ECX is the kernel's stack for entries from ring 3."""
        if self.cpu.ebx != KERNEL_DATA:
            raise GuestFault(GP, self.cpu.ebx & 0xFFF8)
        self.kernel_stack = self.cpu.ebx, self.cpu.ecx
        self.gates.set_kernel_stack(1, *self.kernel_stack)

    def mmuext_op(self, frame: Frame) -> None:
        """EBX: physical address of the page directory."""
        self.directory = self.cpu.ebx & ~0xFFF
        try:
            self.memory.cpu.cr3 = self.directory
            self.memory.cpu.cr0 = PROTECTED | PAGING
        except RegisterError as error:
            raise GuestFault(GP) from error
        self.space.flush()

    def update_va_mapping(self, frame: Frame) -> None:
        """Map the linear page EBX to the page-table entry ECX, and flush it."""
        self.set_entry(self.cpu.ebx, self.cpu.ecx)

    def set_entry(self, linear: int, entry: int) -> None:
        """Write the entry of a page into the domain's page table, and forget what was there."""
        self.meter.spend("page-table read")
        self.meter.spend("page-table write")
        try:
            table = self.memory.read(self.directory + (linear >> 22) * 4, 4)
            at = (int.from_bytes(table, "little") & ~0xFFF) + (linear >> 12 & 1023) * 4
            self.memory.write(at, struct.pack("<I", entry))
        except AddressError as error:
            raise GuestFault(GP) from error
        self.memory.flush_tlb(linear)
        self.space.flush_page(linear)
        self.space.fill(linear, WRITE)  # or the kernel's next access would fault for it

    def console_io(self, frame: Frame) -> None:
        """Write the text at EBX."""
        for at in range(self.cpu.ebx, self.cpu.ebx + LONGEST_TEXT):
            character = self.read(at, 1)
            if not character:
                break
            while not self.meter.port_in(SERIAL + 5) & 0x20:
                self.meter.decide()
            self.meter.port_out(SERIAL, character)

    def set_timer_op(self, frame: Frame) -> None:
        """Events from now on, a thousand a second, at the handler EBX."""
        self.event_handler = self.cpu.ebx
        for port, value in ((0x20, 0x11), (0x21, TIMER_VECTOR), (0x21, 4), (0x21, 1), (0x21, 0xFE)):
            self.meter.port_out(port, value)
        for port, value in ((0x43, 0x34), (0x40, TIMER_TICKS & 0xFF), (0x40, TIMER_TICKS >> 8)):
            self.meter.port_out(port, value)

    def iret(self, frame: Frame) -> None:
        """Return from an event: EAX and the interrupted frame are on the kernel's stack."""
        self.cpu.eax, frame.eip, frame.cs, flags = self.pop(frame, 4)
        frame.eflags = flags & ~(IOPL | VM) | IF
        if frame.cs == USER_CODE:
            frame.esp, frame.ss = self.pop(frame, 2)
        if (frame.cs, frame.ss) not in ((USER_CODE, USER_DATA), (KERNEL_CODE, KERNEL_DATA)):
            raise GuestFault(GP, frame.cs & 0xFFF8)  # ring 0 is not to be had
        self.masked = False

    def sched_op(self, frame: Frame) -> None:
        """EBX 1: sleep until an event comes; 2: shut the domain down."""
        self.meter.decide(2)
        if self.cpu.ebx != BLOCK:
            self.gates.stop()
            return
        self.masked = False
        if not self.pending:
            self.gates.halt()

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

    def state(self) -> object:
        plain = (self.event_handler, self.masked, self.pending, self.kernel_stack, self.directory)
        space, frames = self.space.state(), self.space.frames.state()
        return {"plain": plain, "memory": self.memory.state(), "space": space, "frames": frames}

    def restore(self, state: dict) -> None:  # type: ignore[type-arg]
        self.event_handler, self.masked, self.pending, stack, self.directory = state["plain"]
        self.kernel_stack = (stack[0], stack[1])
        self.memory.restore_state(state["memory"])
        self.space.restore(state["space"])
        self.space.frames.restore(state["frames"])
