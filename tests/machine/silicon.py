"""The processor beneath this computer and ours, in the same state, one instruction at a time.

A traced child has a page of code and a page of data at low addresses and nothing else of ours.
Before each instruction its registers are set, with a 32-bit code segment as the kernel keeps for
old programs; then it runs one step, and the signal that stopped it says what became of the
instruction. A program sees no more of an exception than that, so `KIND` puts vectors together.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import signal
import struct
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

import numpy as np

from pyvirt_edu import Machine
from pyvirt_edu.machine.memory.hostaccess_ops import HOST_FLUSH_TLB, HOST_UPDATE_SEGMENTS
from pyvirt_edu.machine.state import layout as at

from .guest_lab import descriptor, gate, tss32

CODE, DATA = 0x2_0000, 0x3_0000  #: a page each; the pages behind them are absent
PAGE = 0x1000
ABSENT = 0x5_0000  #: nothing is there

#: The signal a vector becomes; "" is an instruction that completed.
KIND = {None: "", 1: "", 3: "", 6: "UD", 0: "FPE", 16: "FPE", 19: "FPE", 11: "BUS", 12: "BUS", 17: "BUS"}
KIND |= dict.fromkeys((4, 5, 10, 13, 14), "SEGV")
SIGNALS = {signal.SIGTRAP: "", signal.SIGILL: "UD", signal.SIGSEGV: "SEGV", signal.SIGBUS: "BUS"}
SIGNALS |= {signal.SIGFPE: "FPE"}

# <sys/ptrace.h>, the place of the debug registers in struct user, and the order of user_regs_struct
PTRACE_TRACEME, PTRACE_PEEKUSER, PTRACE_POKEUSER, PTRACE_CONT, PTRACE_SINGLESTEP = 0, 3, 6, 7, 9
PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_SETFPREGS = 12, 13, 15
DEBUG_REGISTERS = 848
REGISTERS = (
    "r15 r14 r13 r12 ebp ebx r11 r10 r9 r8 eax ecx edx esi edi orig_rax eip cs eflags esp ss "
    "fs_base gs_base ds es fs gs"
).split()
USER_CODE32, USER_DATA = 0x23, 0x2B  # the kernel's selectors
#: FXSAVE's image after FNINIT, every exception masked
FRESH_X87 = (0x37F).to_bytes(2, "little").ljust(24, b"\0") + (0x1F80).to_bytes(4, "little").ljust(488, b"\0")

# our processor's tables; selectors are those of the kernel
GDT, IDT, DIRECTORY, TABLE, TSS, STACK = 0x1000, 0x1800, 0x2000, 0x3000, 0x4000, 0x6000
KERNEL_CODE, KERNEL_DATA, TASK = 0x08, 0x10, 0x30

CHILD = f"""
import ctypes, os, signal
libc = ctypes.CDLL(None)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
libc.mmap.restype = ctypes.c_void_p
for place in ({CODE}, {DATA}):
    assert libc.mmap(place, {PAGE}, 7, 0x32, -1, 0) == place
signal.alarm(300)
libc.ptrace({PTRACE_TRACEME}, 0, None, None)
os.kill(os.getpid(), signal.SIGSTOP)
"""


#: The same with an invalid operation that waits, unmasked: FCW, FSW
PENDING = (0x37E, 0x8081)


class Trap(NamedTuple):
    """What a debugger is told: where it stopped, counted from `CODE`, and DR6; why, if not by #DB."""

    place: int
    dr6: int
    outcome: str = ""


class Silicon:
    """The child. Use it with ``with``."""

    def __enter__(self) -> Silicon:
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        self.libc.ptrace.restype = ctypes.c_long
        self.child = subprocess.Popen([sys.executable, "-S", "-E", "-c", CHILD])
        self.registers = (ctypes.c_uint64 * len(REGISTERS))()
        self.x87 = ctypes.create_string_buffer(FRESH_X87, 512)
        if self._wait() != signal.SIGSTOP:
            raise OSError("the traced child did not come up")
        self.memory = os.open(f"/proc/{self.child.pid}/mem", os.O_RDWR)
        self._ptrace(PTRACE_GETREGS, self.registers)
        self.first = dict(zip(REGISTERS, self.registers))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        os.close(self.memory)
        self.child.kill()
        self.child.wait()

    def _ptrace(self, request: int, data: object = None, address: int | None = None) -> int:
        ctypes.set_errno(0)
        result = int(self.libc.ptrace(request, self.child.pid, address, data))
        if result < 0 and ctypes.get_errno():
            raise OSError(ctypes.get_errno(), f"ptrace({request})")
        return result

    def _wait(self) -> int:
        _, status = os.waitpid(self.child.pid, 0)
        assert os.WIFSTOPPED(status), f"the child has ended: {status:#x}"
        return os.WSTOPSIG(status)

    def write(self, address: int, data: bytes) -> None:
        os.pwrite(self.memory, data, address)

    def exception_waits(self) -> None:
        """From now on every instruction finds an x87 exception pending."""
        self.x87[0:4] = struct.pack("<HH", *PENDING)

    def run(self, code: bytes, registers: dict[str, int], place: int = CODE) -> str:
        """Run one instruction and say what became of it: a value of `KIND`."""
        self._set(code, registers, place)
        self._ptrace(PTRACE_SETFPREGS, self.x87)
        self._ptrace(PTRACE_SINGLESTEP)
        return SIGNALS[signal.Signals(self._wait())]

    def first_trap(self, code: bytes, registers: dict[str, int], dr0: int = 0, dr7: int = 0) -> Trap:
        """Run until a #DB, or a fault that ends the program."""
        self._set(code, registers, CODE)
        for number, value in ((7, 0), (6, 0), (0, dr0), (7, dr7)):
            self._ptrace(PTRACE_POKEUSER, value, DEBUG_REGISTERS + 8 * number)
        self._ptrace(PTRACE_CONT)
        outcome = SIGNALS[signal.Signals(self._wait())]
        self._ptrace(PTRACE_GETREGS, self.registers)
        place = self.registers[REGISTERS.index("eip")] - CODE
        dr6 = self._ptrace(PTRACE_PEEKUSER, None, DEBUG_REGISTERS + 8 * 6)
        self._ptrace(PTRACE_POKEUSER, 0, DEBUG_REGISTERS + 8 * 7)
        return Trap(place, dr6 & 0xE00F, outcome)

    def _set(self, code: bytes, registers: dict[str, int], place: int) -> None:
        self.write(place, code)
        values = self.first | {"cs": USER_CODE32, "ss": USER_DATA, "ds": USER_DATA, "es": USER_DATA}
        values |= {"fs": 0, "gs": 0, "orig_rax": (1 << 64) - 1, "eflags": 0x202, "eip": place} | registers
        self.registers[:] = [values[name] for name in REGISTERS]
        self._ptrace(PTRACE_SETREGS, self.registers)


class Ours:
    """Our processor in the state of the host's child: ring 3, paging, flat 32-bit segments."""

    def __init__(self) -> None:
        self.machine = m = Machine(ram="1MiB", devices=(), history=False)
        for vector in range(32):
            m.break_on(vector)
        flat = [descriptor(0, 0xFFFFF, kind, 0xC) for kind in (0x9B, 0x93, 0, 0xFB, 0xF3)]
        m.write(GDT, b"".join([bytes(8), *flat]))
        m.write(
            IDT, b"".join(gate(KERNEL_CODE, CODE, 0xEE if vector in (3, 4) else 0x8E) for vector in range(32))
        )
        m.write(TSS, tss32(esp0=STACK + PAGE, ss0=KERNEL_DATA))
        m.write(DIRECTORY, (TABLE | 7).to_bytes(4, "little"))
        for page in (GDT, TSS, STACK, CODE | 4, DATA | 4):  # the last two belong to the program
            m.write(TABLE + 4 * (page // PAGE), (page | 0x63).to_bytes(4, "little"))
        m.enter_protected_mode(eip=CODE)
        m.write(CODE, b"\xdb\xe3")  # FNINIT
        m.step()
        c = m._c
        c[at.GDTR_BASE], c[at.GDTR_LIMIT] = GDT, 8 * 6 - 1
        c[at.IDTR_BASE], c[at.IDTR_LIMIT] = IDT, 8 * 32 - 1
        c[at.SELECTOR + at.TR], c[at.BASE + at.TR] = TASK, TSS
        c[at.LIMIT + at.TR], c[at.ATTRIBUTES + at.TR] = 0x67, 0x8B
        for segment in range(6):
            is_code = segment == at.CS
            c[at.SELECTOR + segment] = USER_CODE32 if is_code else USER_DATA
            c[at.BASE + segment], c[at.LIMIT + segment] = 0, 0xFFFF_FFFF
            c[at.ATTRIBUTES + segment] = 0x40FB if is_code else 0x40F3
        c[at.CPL], c[at.CR3], c[at.EFLAGS] = 3, DIRECTORY, 0x202
        c[at.CR0] = c[at.CR0] | 0x8000_0021  # PG, NE, PE
        m._host(m._handle, HOST_UPDATE_SEGMENTS, 0, 0)
        self.template = m._row.copy()

    def write(self, address: int, data: bytes) -> None:
        self.machine.write(address, data)

    def exception_waits(self) -> None:
        words = self.template.view(np.uint64)
        words[[at.X87_CONTROL, at.X87_STATUS]] = PENDING

    def run(self, code: bytes, registers: dict[str, int], place: int = CODE) -> str:
        """Run one instruction and say what a program on a kernel would see of it."""
        self._set(code, registers, place)
        exit = self.machine.step()
        assert exit.reason in ("limit", "exception"), exit
        return KIND[exit.vector if exit.reason == "exception" else None]

    def first_trap(self, code: bytes, registers: dict[str, int], dr0: int = 0, dr7: int = 0) -> Trap:
        self._set(code, registers, CODE)
        c = self.machine._c
        c[at.DR], c[at.DR + 7] = dr0, dr7 | 0x400
        self.machine._host(self.machine._handle, HOST_FLUSH_TLB, 0, 0)
        exit = self.machine.run(max_instructions=100)
        assert exit.reason == "exception", exit
        return Trap(int(c[at.RIP]) - CODE, int(c[at.DR + 6]) & 0xE00F, KIND[exit.vector])

    def _set(self, code: bytes, registers: dict[str, int], place: int) -> None:
        m, c = self.machine, self.machine._c
        generation = c[at.GENERATION]
        m._row[:] = self.template
        c[at.GENERATION] = generation
        m.write(place, code)
        for number, name in enumerate("eax ecx edx ebx esp ebp esi edi".split()):
            c[number] = registers[name]
        c[at.RIP], c[at.ATTENTION] = place, 1
        m._host(m._handle, HOST_UPDATE_SEGMENTS, 0, 0)
        c[at.EFLAGS] = registers.get("eflags", 0x202)
        m._host(m._handle, HOST_FLUSH_TLB, 0, 0)


class Host:
    """What there is to ask."""

    @cached_property
    def maker(self) -> str:
        """CPUID's name of it."""
        found = re.search(r"vendor_id\s*: (\w+)", Path("/proc/cpuinfo").read_text())
        return found[1] if found else ""

    @cached_property
    def answers(self) -> bool:
        """Whether a child can be traced through 32-bit code here."""
        if platform.machine() not in ("x86_64", "AMD64") or not sys.platform.startswith("linux"):
            return False
        try:
            with Silicon() as silicon:
                return silicon.run(b"\x40\x90", {}) == "" and silicon.run(b"\x0f\x0b", {}) == "UD"
        except (OSError, AssertionError, KeyError):
            return False


HOST = Host()
