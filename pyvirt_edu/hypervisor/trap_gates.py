"""Ring 0 for a hypervisor in Python, on a processor without virtualization extensions.

Everything is where the real processor wants it: a GDT, an IDT, a TSS with the ring-0 stack,
and a few instructions for each gate, all in a piece of memory of the hypervisor's own at the
top of RAM. A gate's code pushes the vector and executes UD2 in ring 0; there the machine
stops, and Python plays the rest of the handler. Then the code goes on with IRET. So entry and
exit cost what they cost on the chip, and the guest sees nothing of Python.

The hypervisor's memory is mapped at MONITOR_AT in every address space. Paging does not protect
it from ring 1, which is supervisor there too; segment limits do (the guest's segments end
below it), as in VMware's and Xen's 32-bit products.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ..machine.assembler import assemble
from ..machine.bare_machine import BareMachine
from ..machine.errors import AddressError, MachineError
from ..machine.exits import Exit
from ..machine.opcodes import opcode
from .descriptors import INTERRUPT_KIND, TRAP_KIND, Gate, descriptor, outward
from .meter import Meter
from .trap_frame import Frame

MONITOR_AT = 0xFFC0_0000  # linear: the last 4 MiB, one page-directory entry
SIZE = 64 << 10  # of its memory: what `Machine.boot(keep=SIZE)` hides from a kernel
# from the start of the hypervisor's memory, all on pages of their own
GDT, IDT, TSS, STUBS, STACK_TOP = 0x0000, 0x1000, 0x2000, 0x3000, 0x6000
PAGE_DIRECTORY, PAGE_TABLE = 0x8000, 0x9000
STUB_SIZE = 16
COMMON = 256 * STUB_SIZE  # the code that all stubs jump to, and behind it what waits
UD2, AFTER_UD2, WAITS = (bytes(assemble(text)) for text in ("ud2", "add esp, 8\niretd", "sti\nhlt\ncli"))
IDLE = COMMON + len(UD2 + AFTER_UD2)
PUSH_BYTE, PUSH, JMP = (bytes((opcode(*form),)) for form in (("PUSH", "Is"), ("PUSH", "Iz"), ("JMP", "Jz")))
GDT_ENTRIES = 512  # the first ones are the guest's
HOST_CODE, HOST_DATA, HOST_TSS = 0xFE8, 0xFF0, 0xFF8  # its last three selectors
# flat segments for guests, before those; with RPL
USER_CODE, USER_DATA, KERNEL_CODE, KERNEL_DATA = 0xFCB, 0xFD3, 0xFD9, 0xFE1
FLAT = {USER_CODE: 0xFB, USER_DATA: 0xF3, KERNEL_CODE: 0xBB, KERNEL_DATA: 0xB3}

PRESENT, WRITABLE, USER, LARGE = 1, 2, 4, 0x80
CR0_RUNNING, CR4_PSE = 0x8000_0001, 0x10
WITH_ERROR_CODE = {8, 10, 11, 12, 13, 14, 17}
UNDEFINED = 6
PORT_MAP, PORT_BYTES = 0x68, 0x80  # the TSS's I/O permission bit map: ports below 400h


class TrapGates:
    """Takes a machine over: afterwards Python handles what reaches ring 0.

    ``handler(frame)`` returns what the exit is called in the ledger.
    """

    def __init__(self, machine: BareMachine, handler: Callable[[Frame], str]) -> None:
        self.machine, self.handler = machine, handler
        self.meter = Meter(machine)
        self.physical = machine.ram_size - SIZE
        self.stopped = False
        self.why = ""  # it crashed
        self.entry = machine.cpu.eip
        self._build()

    # --- the hypervisor's memory ---------------------------------------------------------

    def _place(self, offset: int, data: bytes) -> None:
        self.machine.write(self.physical + offset, data)

    def _build(self) -> None:
        m = self.machine
        for i in range(SIZE >> 12):
            entry = self.physical + (i << 12) | PRESENT | WRITABLE
            self._place(PAGE_TABLE + 4 * i, struct.pack("<I", entry))
        self.copy_directory(None)
        for vector in range(256):
            self._place(STUBS + vector * STUB_SIZE, self._stub(vector))
            self._gate(vector, INTERRUPT_KIND, HOST_CODE, MONITOR_AT + STUBS + vector * STUB_SIZE, 0)
        self._place(STUBS + COMMON, UD2 + AFTER_UD2)
        self._place(STUBS + IDLE, WAITS + UD2)
        self._set_descriptor(HOST_CODE, descriptor(0, 0xFFFFF, 0x9B, 0xC))
        self._set_descriptor(HOST_DATA, descriptor(0, 0xFFFFF, 0x93, 0xC))
        self._set_descriptor(HOST_TSS, descriptor(MONITOR_AT + TSS, PORT_MAP + PORT_BYTES, 0x89))
        for selector, access in FLAT.items():
            self._set_descriptor(selector, descriptor(0, (MONITOR_AT >> 12) - 1, access, 0xC))
        tss = struct.pack("<III", 0, MONITOR_AT + STACK_TOP, HOST_DATA).ljust(0x66, b"\0")
        self._place(TSS, tss + struct.pack("<H", PORT_MAP) + b"\xff" * (PORT_BYTES + 1))
        cpu = m.cpu
        cpu.cr4 |= CR4_PSE
        cpu.cr3 = self.physical + PAGE_DIRECTORY
        cpu.cr0 |= CR0_RUNNING
        cpu.gdtr_base, cpu.gdtr_limit = MONITOR_AT + GDT, GDT_ENTRIES * 8 - 1
        cpu.idtr_base, cpu.idtr_limit = MONITOR_AT + IDT, 256 * 8 - 1
        cpu.ldtr = 0
        cpu.tr = HOST_TSS
        m.break_on(UNDEFINED)

    def _stub(self, vector: int) -> bytes:
        code = b"" if vector in WITH_ERROR_CODE else PUSH_BYTE + b"\0"
        code += PUSH + struct.pack("<I", vector)
        jump = COMMON - (vector * STUB_SIZE + len(code) + 5)
        return code + JMP + struct.pack("<i", jump)

    def _gate(self, vector: int, kind: int, selector: int, offset: int, dpl: int) -> None:
        gate = Gate(True, dpl, kind, selector, offset)
        self._place(IDT + 8 * vector, struct.pack("<II", *gate.pack()))

    def _set_descriptor(self, selector: int, value: int) -> None:
        self._place(GDT + (selector & ~7), struct.pack("<Q", value))

    # --- what a hypervisor does with it ---------------------------------------------------

    def set_descriptor(self, selector: int, value: int) -> None:
        """Give the guest a segment as `outward` has it; the last of the table are not to be had."""
        self.meter.decide(2)
        self.meter.spend("descriptor write")
        if selector & ~7 < USER_CODE & ~7:
            self._set_descriptor(selector, outward(value, 1, MONITOR_AT))

    def let_through(self, vector: int, dpl: int) -> None:
        """Let programs up to a ring raise this vector with INT; it reaches the handler."""
        self.meter.spend("descriptor write")
        self._gate(vector, INTERRUPT_KIND, HOST_CODE, MONITOR_AT + STUBS + vector * STUB_SIZE, dpl)

    def direct(self, vector: int, selector: int, offset: int, dpl: int) -> None:
        """A gate straight into the guest's kernel: the hypervisor never sees this vector."""
        self.meter.spend("descriptor write")
        self._gate(vector, TRAP_KIND, selector, offset, dpl)

    def set_kernel_stack(self, ring: int, ss: int, esp: int) -> None:
        """The stack that the processor takes when it enters ring 1 or 2 from outside."""
        self.meter.spend("memory write", 2)
        self._place(TSS + 4 + 8 * ring, struct.pack("<II", esp, ss))

    def open_ports(self, first: int, count: int = 1) -> None:
        """Let every ring use some ports below 400h directly (manual 1, 19.5.2)."""
        for port in range(first, first + count):
            at = TSS + PORT_MAP + (port >> 3)
            byte = self.machine.read(self.physical + at, 1)[0]
            self.meter.spend("memory write")
            self._place(at, bytes([byte & ~(1 << (port & 7))]))

    # --- address spaces -------------------------------------------------------------------------

    def copy_directory(self, physical: int | None) -> None:
        """Use a kernel's page directory, all but the hypervisor's own entry; None: no paging,
        linear addresses are physical ones."""
        if physical is None:
            entries = struct.pack(
                "<1023I", *(i << 22 | LARGE | PRESENT | WRITABLE | USER for i in range(1023))
            )
        else:
            entries = self.machine.read(physical & ~0xFFF, 4 * 1023)
            self.meter.spend("page-table read", 1023)
            self.meter.spend("page-table write", 1023)
        self._place(
            PAGE_DIRECTORY, entries + struct.pack("<I", self.physical + PAGE_TABLE | PRESENT | WRITABLE)
        )
        self.meter.spend("TLB flush")
        self.machine.flush_tlb()

    def copy_entry(self, physical: int | None, linear: int, flush: bool = False) -> bool:
        """The entry of the directory for an address; False if it was the same."""
        self.meter.spend("page-table read", 2)
        index = linear >> 22
        at = PAGE_DIRECTORY + 4 * index
        if flush:
            self.flush_page(linear)
        if physical is None or index == 1023:
            return False
        theirs = self.machine.read((physical & ~0xFFF) + 4 * index, 4)
        if theirs == self.machine.read(self.physical + at, 4):
            return False
        self.meter.spend("page-table write")
        self._place(at, theirs)
        return True

    def flush_page(self, linear: int) -> None:
        """INVLPG."""
        self.meter.spend("INVLPG")
        self.machine.flush_tlb(linear)

    def enter_ring_1(self) -> None:
        """Let the guest begin where the boot loader left it, in flat segments of ring 1, by IRET."""
        cpu = self.machine.cpu
        at = MONITOR_AT + STACK_TOP - 28
        frame = struct.pack("<7I", 0, 0, self.entry, KERNEL_CODE, 0x202, cpu.esp, KERNEL_DATA)
        self.machine.write_linear(at, frame)
        cpu.ds = cpu.es = cpu.fs = cpu.gs = KERNEL_DATA
        cpu.ss, cpu.cs = HOST_DATA, HOST_CODE
        cpu.esp, cpu.eip = at, MONITOR_AT + STUBS + COMMON + 2
        self._return()

    def _return(self) -> None:
        """ADD ESP, 8 and IRETD, inside the ledger's exit."""
        self.machine.step(2)

    def stop(self, why: str = "") -> None:
        """The guest has ended: `run` returns after this exit. With a reason, it has crashed."""
        self.stopped, self.why = True, why

    def halt(self, interrupts: bool) -> list[int]:
        """Wait for an interrupt; its vector. A guest that allows none has ended."""
        if not interrupts:
            self.stop()
            return []
        cpu = self.machine.cpu
        kept = cpu.esp, cpu.eip
        cpu.esp, cpu.eip = cpu.esp - 64, MONITOR_AT + STUBS + IDLE
        self._to_ud2()
        vector = int.from_bytes(self.machine.read_linear(cpu.esp, 4), "little")
        cpu.eip += 2
        self._return()
        self._to_ud2()
        cpu.esp, cpu.eip = kept
        return [vector]

    def _to_ud2(self) -> None:
        out = self.machine.run()
        if out.reason != "exception" or self.machine.cpu.cpl != 0:
            raise MachineError(f"the hypervisor waits for an interrupt, and the machine stops: {out!r}")

    def run(self, max_instructions: int = 1 << 62) -> Exit:
        """Run the guest until it ends or the machine stops for another reason."""
        m, cpu = self.machine, self.machine.cpu
        end = m.instructions + max_instructions
        while not self.stopped:
            if m.instructions >= end:
                return Exit("limit", cpu.eip, m.instructions)
            out = m.run(max_instructions=end - m.instructions)
            if out.reason != "exception" or out.vector != UNDEFINED:
                return out
            if cpu.cpl != 0:
                m.deliver()  # the guest's own: through its gate like any other vector
                continue
            with self.meter.exit(since=m.delivered_at, frame=cpu.esp) as account:
                cpu.eip += len(UD2)
                account.reason = self._handle(Frame(self.meter, cpu.esp))
                self._return()
        return Exit("crash" if self.why else "halt", cpu.eip, m.instructions)

    def _handle(self, frame: Frame) -> str:
        if frame.ring == 0:  # the IRET of the exit before has faulted
            self.stop(f"a frame with which no return is possible: {frame}")
            return "crash"
        try:
            return self.handler(frame)
        except AddressError as error:
            self.stop(f"{frame} leads the hypervisor to memory that is not there: {error}")
            return "crash"
