"""A monitor that runs an unmodified kernel in ring 1: trap and emulate.

The kernel believes it is in ring 0. What it may not do in ring 1 raises #GP; the monitor looks
at the instruction and does to a virtual processor what the kernel wanted done to the real one.
Interrupts come to the monitor and go on to the kernel's own handlers when its virtual
interrupt flag allows. One kernel, trusted not to map what is not its own: chapter 09 mends that.
"""

from __future__ import annotations

import re
from functools import cache

from ..machine.disassembler import Instruction, disassemble
from ..machine.machine import Machine
from .trap_gates import WITH_ERROR_CODE, Frame, TrapGates, descriptor

BREAKPOINT, GP, PF = 3, 13, 14
IF, PAGING, TRAP_GATE = 0x200, 0x8000_0000, 15
CODE, DATA = 0xFD9, 0xFE1  # flat segments to start with, behind whatever GDT the kernel brings
WIDTH = {"al": 1, "ax": 2, "eax": 4, "b": 1, "w": 2, "d": 4}


@cache
def decode(code: bytes) -> Instruction:
    """The first instruction; a kernel executes few different privileged ones."""
    return disassemble(code, bits=32)[0]


class TrapAndEmulate:
    def __init__(self, machine: Machine) -> None:
        self.machine, self.cpu, entry = machine, machine.cpu, machine.cpu.eip
        self.gates = TrapGates(machine, self.handle)
        self.meter = self.gates.meter
        self.virtual_if, self.pending, self.software = False, list[int](), set[int]()
        self.cr = {0: 0x11, 3: 0, 4: 0}  # what the kernel believes to be there
        self.gdt = self.idt = self.tss = 0
        self.patched = set[int]()
        self.gates.set_descriptor(CODE, self.outward(descriptor(0, 0xFFFFF, 0x9B, 0xC)))
        self.gates.set_descriptor(DATA, self.outward(descriptor(0, 0xFFFFF, 0x93, 0xC)))
        self.cpu.ds = self.cpu.es = self.cpu.fs = self.cpu.gs = DATA
        self.gates.enter(entry, CODE, DATA, self.cpu.esp)

    # --- what reaches ring 0 ---------------------------------------------------------------

    def handle(self, frame: Frame) -> str:
        self.virtual_if |= frame.ring == 3  # a program cannot turn interrupts off
        name = self.exit(frame)
        if self.tss:  # the stack that the processor takes for a system call
            esp, ss = self.meter.read(self.tss + 4), self.meter.read(self.tss + 8)
            self.gates.set_kernel_stack(1, ss | 1, esp)
        self.meter.decide(2)
        if self.pending and self.virtual_if:
            self.reflect(frame, self.pending.pop(0))
        return name

    def exit(self, frame: Frame) -> str:
        vector, ring = frame.vector, frame.ring
        self.meter.decide(4)
        if vector == GP and ring == 1 and frame.error & 2:  # INT n, as ring 0 may
            frame.eip += 2
            self.reflect(frame, frame.error >> 3)
            return "int"
        if vector == GP and ring == 1:
            return self.emulate(frame)
        if vector == BREAKPOINT and frame.eip - 1 in self.patched:
            return self.popf(frame)
        if vector == PF and self.sync(self.cpu.cr2):
            return "#PF hidden"
        if vector >= 32 and vector not in self.software:
            self.pending.append(vector)
            return "interrupt"
        self.reflect(frame, vector, frame.error if vector in WITH_ERROR_CODE else None)
        return f"exception {vector}"

    def reflect(self, frame: Frame, vector: int, error: int | None = None) -> None:
        """Enter the kernel's own handler, as its IDT and TSS say."""
        low, high = self.meter.read(self.idt + 8 * vector), self.meter.read(self.idt + 8 * vector + 4)
        flags = frame.eflags & ~IF | IF * self.virtual_if
        esp, image = frame.esp, [flags, frame.cs & ~(frame.ring == 1), frame.eip]
        if frame.ring == 3:
            # an SS of another ring than CS makes IRET fault: the way back must set the virtual IF
            image = [frame.ss & ~3, frame.esp, *image]
            esp, frame.ss = self.meter.read(self.tss + 4), self.meter.read(self.tss + 8) | 1
        for value in image + ([] if error is None else [error]):
            esp -= 4
            self.meter.write(esp, value)
        frame.eip, frame.cs, frame.esp = high & 0xFFFF_0000 | low & 0xFFFF, low >> 16 | 1, esp
        self.virtual_if &= high >> 8 & 15 == TRAP_GATE

    # --- the instruction that fails silently ------------------------------------------------

    def patch_popf(self, start: int, end: int) -> None:
        """Put INT3 where POPFD stands: in ring 1 it would leave IF as it is, without a trap."""
        for i in disassemble(self.machine.read(start, end - start), bits=32, at=start):
            if i.mnemonic == "popfd":
                self.machine.write(i.address, b"\xcc")
                self.patched.add(i.address)
        self.gates.let_through(BREAKPOINT, 1)

    def popf(self, frame: Frame) -> str:
        flags = self.meter.read(frame.esp)
        frame.esp, frame.eflags = frame.esp + 4, flags & ~0x3000 | IF
        self.virtual_if = bool(flags & IF)
        return "popf"

    # --- privileged instructions ------------------------------------------------------------

    def emulate(self, frame: Frame) -> str:
        self.meter.spend("memory read", 4)
        i = decode(self.machine.read_linear(frame.eip, 15))
        name = i.mnemonic.split()[-1]
        self.meter.decide(8)  # of a decoder's tree
        action = getattr(self, f"do_{name.rstrip('bwd') if name[:3] in ('ins', 'out') else name}", None)
        if action is None:
            self.reflect(frame, GP, frame.error)
            return f"#GP {name}?"
        frame.eip += len(i)
        action(frame, i)
        return f"#GP {i.mnemonic}"

    def address(self, operand: str) -> int:
        """Of ``[ebx + 4*ecx - 8]``; the kernel's segments are flat."""
        terms = re.sub(
            r"\b[a-z]{3}\b(?!:)", lambda r: str(getattr(self.cpu, r[0])), operand.split("[")[1][:-1]
        )
        return sum(self._product(t) for t in terms.replace("- ", "+ -").split("+")) & 0xFFFF_FFFF

    @staticmethod
    def _product(text: str) -> int:
        result = 1
        for factor in text.split("*"):
            result *= int(factor.replace(" ", ""), 0)
        return result

    def pseudo_descriptor(self, i: Instruction) -> tuple[int, int]:
        at = self.address(i.operands)
        return self.meter.read(at, 2), self.meter.read(at + 2)

    def do_cli(self, frame: Frame, i: Instruction) -> None:
        self.virtual_if = False

    def do_sti(self, frame: Frame, i: Instruction) -> None:
        self.virtual_if = True

    def do_hlt(self, frame: Frame, i: Instruction) -> None:
        if not self.virtual_if:
            self.gates.stop()  # nothing can wake it
        elif not self.pending:
            self.pending.append(self.gates.wait())

    def do_lgdt(self, frame: Frame, i: Instruction) -> None:
        limit, self.gdt = self.pseudo_descriptor(i)
        for at in range(8, limit, 8):
            self.gates.set_descriptor(at, self.outward(self.meter.read(self.gdt + at, 8)))

    def outward(self, value: int) -> int:
        """A descriptor as ring 1 gets it: no privilege 0, nothing of the monitor's memory."""
        self.meter.decide(2)
        if not value >> 44 & 1:
            return 0  # system descriptors are the monitor's business
        base = value >> 16 & 0xFF_FFFF | value >> 56 << 24
        limit = value & 0xFFFF | value >> 32 & 0xF_0000
        limit = (limit << 12 | 0xFFF) if value >> 55 & 1 else limit
        limit = max(min(limit, self.gates.guest_limit - base), 0)
        access, flags = value >> 40 & 0xFF, value >> 52 & 7
        access |= 0x20 * (access & 0x60 == 0)
        return (
            descriptor(base, limit >> 12, access, flags | 8)
            if limit >> 20
            else descriptor(base, limit, access, flags)
        )

    def do_lidt(self, frame: Frame, i: Instruction) -> None:
        limit, self.idt = self.pseudo_descriptor(i)
        for vector in range((limit + 1) // 8):
            low, high = self.meter.read(self.idt + 8 * vector), self.meter.read(self.idt + 8 * vector + 4)
            if high & 0xE000 == 0xE000:  # present, and programs may use it
                if high >> 8 & 15 == TRAP_GATE:
                    self.gates.direct(vector, low >> 16, high & 0xFFFF_0000 | low & 0xFFFF, 3)
                else:
                    self.gates.let_through(vector, 3)
                    self.software.add(vector)

    def do_ltr(self, frame: Frame, i: Instruction) -> None:
        low, high = (self.meter.read(self.gdt + (getattr(self.cpu, i.operands) & ~7) + n) for n in (0, 4))
        self.tss = low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000

    def do_mov(self, frame: Frame, i: Instruction) -> None:
        target, source = i.operands.split(", ")
        if target == "ss":
            frame.ss = getattr(self.cpu, source) & 0xFFFF | 1
        elif target[:2] == "cr":
            self.cr[int(target[2])] = getattr(self.cpu, source)
            self.load_tables()
        elif source[:2] == "cr":
            setattr(self.cpu, target, self.cpu.cr2 if source == "cr2" else self.cr[int(source[2])])

    def do_iretd(self, frame: Frame, i: Instruction) -> None:
        """Back to the kernel, whose frame says ring 0, or to a program, by a frame of `reflect`:
        the processor refuses both."""
        at = frame.esp
        frame.eip, cs, flags = (self.meter.read(at + n) for n in (0, 4, 8))
        frame.cs, frame.esp = cs | 1, at + 12
        if cs & 3 == 3:
            frame.esp, frame.ss = self.meter.read(at + 12), self.meter.read(at + 16) | 3
        frame.eflags = flags & ~0x3000 | IF
        self.virtual_if = bool(flags & IF)

    def do_in(self, frame: Frame, i: Instruction) -> None:
        target, port = i.operands.split(", ")
        setattr(self.cpu, target, self.meter.port_in(self.number(port), WIDTH[target]))

    def do_out(self, frame: Frame, i: Instruction) -> None:
        port, source = i.operands.split(", ")
        self.meter.port_out(self.number(port), self.number(source), WIDTH[source])

    def do_ins(self, frame: Frame, i: Instruction) -> None:
        size = WIDTH[i.mnemonic[-1]]
        for _ in range(self.cpu.ecx if "rep" in i.mnemonic else 1):
            self.meter.write(self.cpu.edi, self.meter.port_in(self.cpu.dx, size), size)
            self.cpu.edi += -size if frame.eflags & 0x400 else size
        self.cpu.ecx = 0 if "rep" in i.mnemonic else self.cpu.ecx

    def number(self, text: str) -> int:
        return int(text, 0) if text[0].isdigit() else int(getattr(self.cpu, text))

    # --- paging -----------------------------------------------------------------------------

    def load_tables(self) -> None:
        if self.cr[0] & PAGING:
            self.meter.spend("page-table read", 1024)
            self.gates.load_directory([self.entry(index) for index in range(1023)])
        else:
            self.gates.map_flat()
        self.meter.spend("TLB flush")

    def entry(self, index: int) -> int:
        """Of the kernel's page directory."""
        return int.from_bytes(self.machine.read((self.cr[3] & ~0xFFF) + 4 * index, 4), "little")

    def sync(self, linear: int) -> bool:
        """Take over a directory entry that the kernel has changed; whether that was the fault."""
        self.meter.spend("page-table read")
        return bool(self.cr[0] & PAGING) and self.gates.set_directory_entry(
            linear >> 22, self.entry(linear >> 22)
        )

    def do_invlpg(self, frame: Frame, i: Instruction) -> None:
        self.sync(self.address(i.operands))
        self.meter.spend("INVLPG")
        self.gates.flush()
