"""Ring 0 for a hypervisor in Python, on a processor without virtualization extensions.

Everything is where the real processor wants it: a GDT, an LDT, an IDT, a TSS with the ring-0 stack,
and a few instructions for each gate, all in a piece of memory of the hypervisor's own at the top of
RAM. A gate's code pushes the vector and executes UD2 in ring 0: a host call (machine/python_side/
stops.py), in which Python plays the rest of the handler. Then the code goes on with IRET. So entry
and exit cost what they cost on the chip, and the guest sees nothing of Python.

The hypervisor's memory is mapped at MONITOR_AT in every address space. Paging does not protect it
from ring 1, which is supervisor there too; segment limits do, as in VMware's and Xen's 32-bit
products. Invariant: every descriptor that a guest can load ends below MONITOR_AT (descriptors.py),
and no gate but those that were opened on purpose leads anywhere but to the stubs. `check` looks.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from ..machine.assembler import assemble
from ..machine.bare_machine import BareMachine
from ..machine.errors import ConfigurationError
from ..machine.exits import Exit
from ..machine.opcodes import opcode
from ..machine.state.layout import RIP, RSP
from .descriptors import INTERRUPT_KIND, TRAP_KIND, Gate, descriptor, ends_below, outward
from .guest_fault import GuestFault
from .meter import Meter
from .trap_frame import FRAME_BYTES, Frame

MONITOR_AT = 0xFFC0_0000  # linear: the last 4 MiB, one page-directory entry
SIZE = 1 << 20  # of its memory: what `Machine.boot(keep=SIZE)` hides from a kernel
# from the start of the hypervisor's memory, all on pages of their own
GDT, LDT, IDT, TSS, STUBS, STACK_TOP = 0x0000, 0x10000, 0x20000, 0x21000, 0x22000, 0x26000
PAGE_DIRECTORY, PAGE_TABLE, BELOW_TABLE = 0x26000, 0x27000, 0x28000
OWN_BYTES = 0x29000  # up to here; behind it lies what the hypervisor allocates for itself
STUB_SIZE = 16
COMMON = 256 * STUB_SIZE  # the code that all stubs jump to, and behind it what waits
UD2, AFTER_UD2, WAITS, LETS_IN = (
    bytes(assemble(text)) for text in ("ud2", "add esp, 8\niretd", "sti\nhlt\ncli", "sti\nnop\ncli")
)
IDLE = COMMON + len(UD2 + AFTER_UD2)
WINDOW = IDLE + len(WAITS + UD2)
PAUSED = 256  # in place of a vector: nothing came while the monitor let interrupts in
PUSH_BYTE, PUSH, JMP = (bytes((opcode(*form),)) for form in (("PUSH", "Is"), ("PUSH", "Iz"), ("JMP", "Jz")))
TABLE_ENTRIES = 8192  # of the GDT and of the LDT, as many as a selector can name
# The hypervisor's part of the GDT, where Xen's 32-bit product has it (public/arch-x86/xen-x86_32.h):
# its own segments, and flat ones for guests that have none of their own, with RPL
FIRST_OF_MONITOR, HOST_CODE, HOST_DATA, HOST_TSS, HOST_LDT = 0xE000, 0xE008, 0xE010, 0xE040, 0xE048
KERNEL_CODE, KERNEL_DATA, USER_CODE, USER_DATA = 0xE019, 0xE021, 0xE02B, 0xE033
FLAT = {USER_CODE: 0xFB, USER_DATA: 0xF3, KERNEL_CODE: 0xBB, KERNEL_DATA: 0xB3}

PRESENT, WRITABLE, USER, LARGE = 1, 2, 4, 0x80
CR0_RUNNING, CR4_PSE, CR4_TSD = 0x8001_0001, 0x10, 4  # paging, write protection, protected mode
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}
PORT_MAP, PORT_BYTES = 0x68, 0x80  # the TSS's I/O permission bit map: ports below 400h


class TrapGates:
    """Takes a machine over: afterwards Python handles what reaches ring 0.

    ``handler(frame)`` returns what the exit is called in the ledger. A `GuestFault` that it raises is
    handed to ``faulted(frame, fault)``; without that, the guest ends.
    """

    def __init__(self, machine: BareMachine, handler: Callable[[Frame], str]) -> None:
        if machine.ram_size < 2 * SIZE:
            raise ConfigurationError(
                f"a hypervisor keeps {SIZE >> 20} MiB of RAM for itself, and this machine has "
                f"{machine.ram_size:,} bytes; make it with at least 2 MiB"
            )
        self.machine, self.handler = machine, handler
        self.meter = Meter(machine)
        self.physical = machine.ram_size - SIZE
        self.stopped = False
        self.why = ""  # it crashed
        self.entry = machine.cpu.eip
        self.faulted: Callable[[Frame, GuestFault], None] | None = None
        self._sleeping: int | None = None  # where the frame lies to which an idle monitor returns
        self._code = IDLE  # what the processor executes meanwhile
        self._build()
        machine.on_host_call(self._host_call)
        machine.attach("gates", self)

    # --- the hypervisor's memory ---------------------------------------------------------

    def _place(self, offset: int, data: bytes) -> None:
        self.machine.write(self.physical + offset, data)

    def _build(self) -> None:
        m = self.machine
        pages = (self.physical + (i << 12) | PRESENT | WRITABLE for i in range(SIZE >> 12))
        self._place(PAGE_TABLE, struct.pack(f"<{SIZE >> 12}I", *pages))
        self._directory(self._identity())
        for vector in range(256):
            self._place(STUBS + vector * STUB_SIZE, self._stub(vector))
            self._gate(vector, INTERRUPT_KIND, HOST_CODE, MONITOR_AT + STUBS + vector * STUB_SIZE, 0)
        self._place(STUBS + COMMON, UD2 + AFTER_UD2 + WAITS + UD2 + LETS_IN + UD2)
        self._set_descriptor(HOST_CODE, descriptor(0, 0xFFFFF, 0x9B, 0xC))
        self._set_descriptor(HOST_DATA, descriptor(0, 0xFFFFF, 0x93, 0xC))
        self._set_descriptor(HOST_TSS, descriptor(MONITOR_AT + TSS, PORT_MAP + PORT_BYTES, 0x89))
        self._set_descriptor(HOST_LDT, descriptor(MONITOR_AT + LDT, 0xFFFF, 0x82))
        for selector, access in FLAT.items():
            self._set_descriptor(selector, descriptor(0, (MONITOR_AT >> 12) - 1, access, 0xC))
        tss = struct.pack("<III", 0, MONITOR_AT + STACK_TOP, HOST_DATA).ljust(0x66, b"\0")
        self._place(TSS, tss + struct.pack("<H", PORT_MAP) + b"\xff" * (PORT_BYTES + 1))
        cpu = m.cpu
        cpu.cr4 |= CR4_PSE
        cpu.cr3 = self.physical + PAGE_DIRECTORY
        cpu.cr0 |= CR0_RUNNING
        cpu.gdtr_base, cpu.gdtr_limit = MONITOR_AT + GDT, TABLE_ENTRIES * 8 - 1
        cpu.idtr_base, cpu.idtr_limit = MONITOR_AT + IDT, 256 * 8 - 1
        cpu.ldtr = HOST_LDT
        cpu.tr = HOST_TSS

    def _stub(self, vector: int) -> bytes:
        code = b"" if vector in WITH_ERROR_CODE else PUSH_BYTE + b"\0"
        code += PUSH + struct.pack("<I", vector)
        jump = COMMON - (vector * STUB_SIZE + len(code) + 5)
        return code + JMP + struct.pack("<i", jump)

    def _gate(self, vector: int, kind: int, selector: int, offset: int, dpl: int) -> None:
        gate = Gate(True, dpl, kind, selector, offset)
        self._place(IDT + 8 * vector, struct.pack("<II", *gate.pack()))

    def _set_descriptor(self, selector: int, value: int) -> None:
        self._place((LDT if selector & 4 else GDT) + (selector & 0xFFF8), struct.pack("<Q", value))

    def _identity(self) -> bytes:
        """Directory entries with which linear addresses are physical ones, the monitor's own left out."""
        rights = PRESENT | WRITABLE | USER
        here, pages = self.physical >> 22, (self.physical >> 12) & 1023
        below = ((here << 22) + (i << 12) | rights for i in range(pages))
        self._place(BELOW_TABLE, struct.pack(f"<{pages}I", *below))
        entries = [i << 22 | LARGE | rights for i in range(1023)]
        entries[here] = self.physical + BELOW_TABLE | rights
        return struct.pack("<1023I", *entries)

    def _directory(self, entries: bytes) -> None:
        own = struct.pack("<I", self.physical + PAGE_TABLE | PRESENT | WRITABLE)
        self._place(PAGE_DIRECTORY, entries + own)

    # --- what a hypervisor does with it ---------------------------------------------------

    def set_descriptor(self, selector: int, value: int) -> None:
        """Put a segment that a guest may have into the GDT or the LDT, as `outward` has it; 0 empties the
        slot. The monitor's own slots are not to be had: ValueError."""
        if not selector & 4 and selector & 0xFFF8 >= FIRST_OF_MONITOR:
            raise ValueError(f"selector {selector:#x} is the monitor's own")
        self.meter.spend("descriptor write")
        self._set_descriptor(selector, outward(value, 1, MONITOR_AT))

    def drop_flat(self, *selectors: int) -> None:
        """The guest has segments of its own: these flat ones go."""
        for selector in selectors:
            self.meter.spend("descriptor write")
            self._set_descriptor(selector, 0)

    def let_through(self, vector: int, dpl: int) -> None:
        """Let programs up to a ring raise this vector with INT; it reaches the handler."""
        self.meter.spend("descriptor write")
        self.meter.by_software.add(vector)
        self._gate(vector, INTERRUPT_KIND, HOST_CODE, MONITOR_AT + STUBS + vector * STUB_SIZE, dpl)

    def direct(self, vector: int, selector: int, offset: int, dpl: int) -> None:
        """A gate straight into the guest's kernel: the hypervisor never sees this vector. The selector
        must be one of ring 1, or the gate would be a way into ring 0."""
        if selector & 3 != 1:
            raise GuestFault(13, selector & 0xFFF8)
        self.meter.spend("descriptor write")
        self._gate(vector, TRAP_KIND, selector, offset, dpl)

    def set_kernel_stack(self, ring: int, ss: int, esp: int) -> None:
        """The stack that the processor takes when it enters ring 1 or 2 from outside."""
        self.meter.spend("memory write", 2)
        self._place(TSS + 4 + 8 * ring, struct.pack("<II", esp, ss))

    def open_ports(self, first: int, count: int = 1) -> None:
        """Give ports below 400h away: *every* ring of the guest uses them directly, its programs too
        (manual 1, 19.5.2)."""
        for port in range(first, first + count):
            at = TSS + PORT_MAP + (port >> 3)
            byte = self.machine.read(self.physical + at, 1)[0]
            self.meter.spend("memory write")
            self._place(at, bytes([byte & ~(1 << (port & 7))]))

    def _own(self, offset: int, size: int) -> bytes:
        return self.machine.read(self.physical + offset, size)

    def check(self) -> None:
        """The invariant (see above)."""
        for table in (GDT, LDT):
            for (value,) in struct.iter_unpack("<Q", self._own(table, FIRST_OF_MONITOR)):
                assert ends_below(value, MONITOR_AT), f"descriptor {value:016x} reaches the monitor"
        for low, high in struct.iter_unpack("<II", self._own(IDT, 256 * 8)):
            gate = Gate.unpack(low, high)
            assert gate.selector & 3 == 1 or gate.selector == HOST_CODE, f"{gate} leads into ring 0"

    # --- entering and leaving a guest -------------------------------------------------------------

    def start(self, eip: int, esp: int) -> None:
        """Stand before the IRET that lets a guest begin in ring 1."""
        cpu = self.machine.cpu
        at = STACK_TOP - FRAME_BYTES
        self._place(at, struct.pack("<7I", 0, 0, eip, KERNEL_CODE, 0x202, esp, KERNEL_DATA))
        cpu.ss, cpu.cs = HOST_DATA, HOST_CODE
        cpu.esp, cpu.eip = MONITOR_AT + at, MONITOR_AT + STUBS + COMMON + len(UD2)
        cpu.eflags = 2

    def enter_ring_1(self) -> None:
        """Let the guest begin where the boot loader left it, in flat segments of ring 1."""
        cpu = self.machine.cpu
        cpu.ds = cpu.es = cpu.fs = cpu.gs = KERNEL_DATA
        self.start(self.entry, cpu.esp)

    def stop(self, why: str = "") -> None:
        """The guest has ended: `run` returns after this exit. With a reason, it has crashed."""
        self.stopped, self.why = True, why

    def halt(self) -> None:
        """Wait for an interrupt when this exit is over; the handler gets it, with the guest's frame."""
        self._sleeping, self._code = self.machine.cpu.esp, IDLE

    def pause(self) -> None:
        """Let interrupts in for a moment when this exit is over, then call the handler again: what it does
        instead of running the guest takes longer."""
        self._sleeping, self._code = self.machine.cpu.esp, WINDOW

    def run(self, max_instructions: int | None = None, max_cycles: int | None = None) -> Exit:
        """Run the guest until it ends or the machine stops for another reason. A guest that waits for what
        never comes waits for ever, unless cycles are limited."""
        if self.stopped:
            return self._end()
        return self.machine.run(max_instructions=max_instructions, max_cycles=max_cycles)

    def _end(self) -> Exit:
        return Exit("crash" if self.why else "halt", self.machine.cpu.eip, self.machine.instructions)

    def _host_call(self) -> Exit | None:
        """A stub has pushed its vector: the guest's registers are in the processor, the rest is a frame."""
        c, meter = self.machine._c, self.meter
        if self.stopped:
            return self._end()
        meter.begin()
        at, vector = c[RSP], None
        if self._sleeping is not None:
            came = c[RIP] != MONITOR_AT + STUBS + WINDOW + len(LETS_IN)
            vector = self._peek(at) if came else PAUSED  # of the interrupt that woke the monitor
            at, self._sleeping = self._sleeping, None
        c[RSP] = at  # what lies below is over
        frame = Frame(meter, at, self.physical + at - MONITOR_AT, vector)
        meter.met(frame.vector, frame.eip)
        if frame.ring == 0:  # the IRET of the exit before has faulted
            self.stop(f"a frame with which no return is possible: {frame}")
            meter.reason = "crash"
        else:
            meter.reason = self._handle(frame)
        frame.write_back()
        if not self.stopped:  # else the processor stays where it asks for Python
            c[RIP] = MONITOR_AT + STUBS + COMMON + len(UD2)
        if self._sleeping is not None:
            c[RSP], c[RIP] = at - 64, MONITOR_AT + STUBS + self._code
        sleeps = self._sleeping is not None
        meter.finish(returns=not sleeps and not self.stopped, sleeps=sleeps and self._code == IDLE)
        return self._end() if self.stopped else None

    def _peek(self, at: int) -> int:
        self.meter.spend("memory read")
        return int.from_bytes(self.machine.read(self.physical + at - MONITOR_AT, 4), "little")

    def _handle(self, frame: Frame) -> str:
        try:
            return self.handler(frame)
        except GuestFault as fault:
            if self.faulted is None:
                self.stop(f"{frame} leads to {fault}")
                return "crash"
            self.faulted(frame, fault)
            return f"exception {fault.vector}"

    # --- a part of the machine's state ---------------------------------------------------------

    def state(self) -> Any:
        return {
            "stopped": self.stopped,
            "why": self.why,
            "sleeping": (self._sleeping, self._code),
            "meter": self.meter.state(),
        }

    def restore(self, state: Any) -> None:
        self.stopped, self.why = state["stopped"], state["why"]
        self._sleeping, self._code = state["sleeping"]
        self.meter.restore(state["meter"])
