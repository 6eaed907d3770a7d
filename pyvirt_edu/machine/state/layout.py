"""Where everything lies: the state of one processor, and the arrays of a machine.

State is data. A processor is one row of a NumPy structured array, all fields unsigned
64-bit words, so the same memory reads as named fields in Python and as a plain array of
words in the compiled core. The constants below are the word offsets; the names are the
manual's. A snapshot is a copy of that row, of RAM, and of the TLB.
"""

from __future__ import annotations

import hashlib

import numpy as np

# --- the processor ---------------------------------------------------------------------

_FIELDS: tuple[tuple[str, int], ...] = (
    ("gpr", 16),  # rax rcx rdx rbx rsp rbp rsi rdi r8..r15
    ("zero", 1),  # always 0: lets a micro-op name "no register"
    ("temp", 7),  # micro-op temporaries, dead at instruction boundaries
    ("rip", 1),
    ("eflags", 1),  # all but the six arithmetic flags, which are lazy:
    ("cc_result", 1),  # see flags.py
    ("cc_carries", 1),
    ("cpl", 1),
    # segment registers in encoding order ES CS SS DS FS GS, then LDTR, TR
    ("selector", 8),
    ("base", 8),
    ("limit", 8),  # in bytes, granularity applied
    ("attributes", 8),  # descriptor bits 40..55: type, S, DPL, P, AVL, L, D/B, G
    ("read_end", 8),  # offsets below this may be read without further checks
    ("write_end", 8),
    ("gdtr_base", 1),
    ("gdtr_limit", 1),
    ("idtr_base", 1),
    ("idtr_limit", 1),
    ("cr0", 1),
    ("cr2", 1),
    ("cr3", 1),
    ("cr4", 1),
    ("cr8", 1),
    ("xcr0", 1),
    ("pdpte", 4),  # loaded by MOV CR3 with PAE (manual 3A, 4.4.1)
    ("dr", 8),
    ("efer", 1),
    ("star", 1),
    ("lstar", 1),
    ("cstar", 1),
    ("sfmask", 1),
    ("fs_base_msr", 1),
    ("gs_base_msr", 1),
    ("kernel_gs_base", 1),
    ("sysenter_cs", 1),
    ("sysenter_esp", 1),
    ("sysenter_eip", 1),
    ("apic_base", 1),
    ("tsc_offset", 1),
    ("pat", 1),
    ("mode", 1),  # the integer mode key (see MODE_ bits)
    ("generation", 1),  # bumped when virtual-to-block links must be dropped
    ("a20_mask", 1),  # the A20 gate: ANDed with every physical address of the program
    # time and counts
    ("instructions", 1),
    ("cycles", 1),
    ("instruction_limit", 1),  # run() returns at this instruction count
    ("deadline", 1),  # and at this cycle count
    ("data_accesses", 1),  # with paging on: accesses, and those that missed the TLB
    ("data_misses", 1),
    ("fetch_accesses", 1),
    ("fetch_misses", 1),
    ("walk_references", 1),
    ("ledger", 32),  # counts of operations, see costs.py
    # what interrupts the flow
    ("event", 1),  # 0, or what the current instruction ran into (EVENT_ constants)
    ("event_error", 1),
    ("stop", 1),  # nonzero: end the block after the current instruction
    ("attention", 1),  # nonzero: look at the fields below before the next instruction
    ("shadow", 1),  # SHADOW_ bits: STI, MOV SS or POP SS hold interrupts off
    ("halted", 1),
    ("interrupt_line", 1),  # 0, or 0x100 | vector
    ("nmi_pending", 1),
    ("nmi_blocked", 1),
    ("debug_pending", 1),  # DR6 bits to report after this instruction
    ("trap_after", 1),  # TF was set when the instruction began
    ("instruction_rip", 1),
    ("single", 1),  # nonzero: blocks of one instruction
    ("tracing", 1),
    ("resume_breakpoint", 1),  # 1 + linear address whose breakpoint is passed once
    ("breakpoint_count", 1),
    ("intercept_vectors", 4),  # bit map: these vectors exit instead of being delivered
    ("intercept_ops", 2),  # bit maps for instructions and control registers (later)
    # the exit record
    ("exit_reason", 1),
    ("exit_qualification", 1),  # port or physical address | size << 56
    ("exit_value", 1),
    ("exit_linear", 1),
    ("exit_physical", 1),
    ("exit_length", 1),  # instruction length
    ("exit_vector", 1),  # event in flight
    ("replay_count", 1),  # completed reads of the instruction being restarted
    ("replay_index", 1),
    ("replay", 160),
    ("posted_count", 1),  # writes to devices made by the completed instruction
    ("posted", 320),  # pairs: where | size << 56 | kind << 60, value
    # room for what later chapters bring
    ("vpid", 1),
    ("pcid", 1),
    ("nested_root", 1),
    ("vmcs", 1),
    ("apic", 64),
    ("x87", 24),  # see x87/state.py
    ("vector_registers", 128),  # 32 of 256 bits
    # the platform around the processor
    ("timer", 1),  # cycle count at which the next device event is due
    ("run_deadline", 1),  # what the caller of run() asked for; deadline is the earlier of both
    ("interrupt_pin", 1),  # level of INTR: the interrupt controller has something
    ("idle_cycles", 1),  # cycles spent halted
    ("service", 1),  # bit map of devices that wait for Python (devices/layout.py)
    ("ram_map", 1),  # C0000 to FFFFF in pieces of 16 KiB: 2 bits each, see physical.py
    ("ferr", 1),  # the x87 reports an error and CR0.NE is clear (IRQ 13 on a PC)
    ("delivered_at", 1),  # cycle count at which the last exception or interrupt began
    ("repeating", 1),  # 1 + RIP of a repeated string instruction that has iterations left
    ("walk_count", 1),  # the references that the last page walk made, see paging.py
    ("walk", 48),  # pairs: address and level, entry
    ("nested_mode", 1),  # and nested_root: tables between physical addresses and memory, see paging.py
    ("place_mask", 1),  # ANDed with every address in memory: the A20 gate, where there are no nested tables
    ("traced_count", 1),  # stores to pages marked PAGE_TRACED; more than TRACED_ROOM: some were not noted
    ("traced", 6),  # place | size << 56
    ("returned_at", 1),  # cycle count at the last return to an outer ring, its own price left out
)

CPU_DTYPE = np.dtype([(n, "<u8") if k == 1 else (n, "<u8", (k,)) for n, k in _FIELDS])
CPU_WORDS = CPU_DTYPE.itemsize // 8


def _offset(field: str) -> int:
    return int(CPU_DTYPE.fields[field][1]) // 8  # type: ignore[index]


RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI = range(8)
ZERO = _offset("zero")
TEMP = _offset("temp")
T0, T1, T2, T3, T4, T5, T6 = range(TEMP, TEMP + 7)
RIP = _offset("rip")
EFLAGS = _offset("eflags")
CC_RESULT = _offset("cc_result")
CC_CARRIES = _offset("cc_carries")
CPL = _offset("cpl")
ES, CS, SS, DS, FS, GS, LDTR, TR = range(8)
SELECTOR = _offset("selector")
BASE = _offset("base")
LIMIT = _offset("limit")
ATTRIBUTES = _offset("attributes")
READ_END = _offset("read_end")
WRITE_END = _offset("write_end")
GDTR_BASE = _offset("gdtr_base")
GDTR_LIMIT = _offset("gdtr_limit")
IDTR_BASE = _offset("idtr_base")
IDTR_LIMIT = _offset("idtr_limit")
CR0 = _offset("cr0")
CR2 = _offset("cr2")
CR3 = _offset("cr3")
CR4 = _offset("cr4")
PDPTE = _offset("pdpte")
DR = _offset("dr")
DR6 = DR + 6
DR7 = DR + 7
EFER = _offset("efer")
SYSENTER_CS = _offset("sysenter_cs")
SYSENTER_ESP = _offset("sysenter_esp")
SYSENTER_EIP = _offset("sysenter_eip")
APIC_BASE = _offset("apic_base")
TSC_OFFSET = _offset("tsc_offset")
PAT = _offset("pat")
MODE = _offset("mode")
GENERATION = _offset("generation")
A20_MASK = _offset("a20_mask")
INSTRUCTIONS = _offset("instructions")
CYCLES = _offset("cycles")
INSTRUCTION_LIMIT = _offset("instruction_limit")
DEADLINE = _offset("deadline")
DATA_ACCESSES = _offset("data_accesses")
DATA_MISSES = _offset("data_misses")
FETCH_ACCESSES = _offset("fetch_accesses")
FETCH_MISSES = _offset("fetch_misses")
WALK_REFERENCES = _offset("walk_references")
LEDGER = _offset("ledger")
EVENT = _offset("event")
EVENT_ERROR = _offset("event_error")
STOP = _offset("stop")
ATTENTION = _offset("attention")
SHADOW = _offset("shadow")
HALTED = _offset("halted")
INTERRUPT_LINE = _offset("interrupt_line")
NMI_PENDING = _offset("nmi_pending")
NMI_BLOCKED = _offset("nmi_blocked")
DEBUG_PENDING = _offset("debug_pending")
TRAP_AFTER = _offset("trap_after")
INSTRUCTION_RIP = _offset("instruction_rip")
SINGLE = _offset("single")
TRACING = _offset("tracing")
RESUME_BREAKPOINT = _offset("resume_breakpoint")
BREAKPOINT_COUNT = _offset("breakpoint_count")
INTERCEPT_VECTORS = _offset("intercept_vectors")
EXIT_REASON = _offset("exit_reason")
EXIT_QUALIFICATION = _offset("exit_qualification")
EXIT_VALUE = _offset("exit_value")
EXIT_LINEAR = _offset("exit_linear")
EXIT_PHYSICAL = _offset("exit_physical")
EXIT_LENGTH = _offset("exit_length")
EXIT_VECTOR = _offset("exit_vector")
X87 = _offset("x87")  # eight registers of two words, by their physical numbers, then:
X87_CONTROL, X87_STATUS, X87_VALID, X87_IP, X87_CS, X87_DP, X87_DS, X87_OPCODE = range(X87 + 16, X87 + 24)
REPLAY_COUNT = _offset("replay_count")
REPLAY_INDEX = _offset("replay_index")
REPLAY = _offset("replay")
REPLAY_ROOM = 160  # FXRSTOR makes 83 reads, and the tables that lead to it may be a device's, too
POSTED_COUNT = _offset("posted_count")
POSTED = _offset("posted")
POSTED_ROOM = 160  # pairs
TIMER = _offset("timer")
RUN_DEADLINE = _offset("run_deadline")
INTERRUPT_PIN = _offset("interrupt_pin")
IDLE_CYCLES = _offset("idle_cycles")
SERVICE = _offset("service")
RAM_MAP = _offset("ram_map")
FERR = _offset("ferr")
# The instruction after STI or MOV SS: it comes next, it is about to run, and for MOV SS and
# POP SS alone debug exceptions wait too (manual 3A, 6.8.3).
SHADOW_NEXT, SHADOW_ARMED, SHADOW_DEBUG = 1, 2, 4
DELIVERED_AT = _offset("delivered_at")
REPEATING = _offset("repeating")
RETURNED_AT = _offset("returned_at")
VPID, PCID = _offset("vpid"), _offset("pcid")
WALK_COUNT, WALK = _offset("walk_count"), _offset("walk")
WALK_ROOM = 24
NESTED_ROOT, NESTED_MODE = _offset("nested_root"), _offset("nested_mode")
PLACE_MASK = _offset("place_mask")
TRACED_COUNT, TRACED = _offset("traced_count"), _offset("traced")
TRACED_ROOM = 6
A20_OPEN = 0xFFFF_FFFF_FFFF_FFFF  # as A20_MASK: every address passes
# A noted reference is two words: the entry's address with these above it, and the entry
NOTED_SHIFT = 56  # six bits: the lowest address bit that the entry's table decides
NOTED_INNER = 1 << 62  # of the nested tables
NOTED_LOCKED = 1 << 55  # the nested tables let the processor read it, and not mark it
NOTED_ADDRESS = 0x1FF_FFFF_FFFF  # with NOBODY, where no memory is
NEVER = 1 << 63  # a cycle count that no run reaches

# EFLAGS bits (manual 1, 3.4.3). The six arithmetic ones are not stored there.
CF, PF, AF, ZF, SF = 0x1, 0x4, 0x10, 0x40, 0x80
TF, IF, DF, OF = 0x100, 0x200, 0x400, 0x800
IOPL_MASK, NT, RF, VM, AC, VIF, VIP, ID = (
    0x3000,
    0x4000,
    0x10000,
    0x20000,
    0x40000,
    0x80000,
    0x100000,
    0x200000,
)
ARITHMETIC = CF | PF | AF | ZF | SF | OF

CR0_PE, CR0_MP, CR0_EM, CR0_TS, CR0_ET, CR0_NE = 0x1, 0x2, 0x4, 0x8, 0x10, 0x20
CR0_WP, CR0_AM, CR0_NW, CR0_CD, CR0_PG = 0x10000, 0x40000, 0x20000000, 0x40000000, 0x80000000
CR4_TSD, CR4_DE, CR4_PSE, CR4_PAE, CR4_MCE, CR4_PGE, CR4_OSFXSR = 0x4, 0x8, 0x10, 0x20, 0x40, 0x80, 0x200

# Exception vectors (manual 3A, table 6-1)
DE, DB, NMI, BP, OF_TRAP, BR, UD, NM, DF_FAULT = 0, 1, 2, 3, 4, 5, 6, 7, 8
TS, NP, SS_FAULT, GP, PF_FAULT, MF, AC_FAULT, MC = 10, 11, 12, 13, 14, 16, 17, 18

# What an instruction ran into (the EVENT word)
EVENT_FAULT = 0x100  # | vector; EVENT_ERROR has the error code, CR2 the address
EVENT_READ = 0x200  # a device read: exit, then restart with the value in REPLAY
EVENT_EXIT = 0x400  # leave after this instruction (HLT, posted writes, ...)
EVENT_SHUTDOWN = 0x800  # triple fault
EVENT_SLOW = 0x1000  # the slow path has news (STOP, cycles), the access itself is done

# Why run() returned (EXIT_REASON)
(
    EXIT_NONE,
    EXIT_LIMIT,
    EXIT_DEADLINE,
    EXIT_HLT,
    EXIT_PORT_IN,
    EXIT_PORT_OUT,
    EXIT_MMIO_READ,
    EXIT_MMIO_WRITE,
    EXIT_BREAKPOINT,
    EXIT_WATCHPOINT,
    EXIT_EXCEPTION,
    EXIT_SHUTDOWN,
    EXIT_TRACE_FULL,
    EXIT_SERVICE,
    EXIT_IDLE,
) = range(15)

# The mode key: what a decoded block depends on besides its bytes
MODE_CODE32 = 1  # CS.D
MODE_STACK32 = 2  # SS.B
MODE_SINGLE = 4  # one instruction a block
MODE_USER = 8  # CPL 3, for links only

# --- memory ----------------------------------------------------------------------------

PAGE = 4096
# One byte of flags for each physical page. Only a page whose flags are exactly
# PAGE_DIRTY may be written by the fast path; any other bit needs the slow path to act.
PAGE_DIRTY, PAGE_CODE, PAGE_RECORDED, PAGE_MMIO, PAGE_TRACED = 1, 2, 8, 16, 32

# How memory is accessed
WRITE, USER, EXEC, PROBE = 1, 2, 4, 8

# The fast path: direct mapped, one half for the kernel, one for user mode (CPL 3).
# A third part is never filled: it serves while alignment checking wants to see everything.
FAST_ENTRIES = 1024
FAST_ROWS = 3 * FAST_ENTRIES
FAST_DTYPE = np.dtype([("read", "<u8"), ("write", "<u8"), ("offset", "<u8"), ("pad", "<u8")])
FAST_EMPTY = 0xFFFF_FFFF_FFFF_FFFF  # never equal to a page address

# The simulated TLBs: sets of ways, replaced first in, first out. 1024 entries is the size of
# Haswell's second-level TLB (Intel optimization manual, table of cache and TLB parameters).
TLB_SETS, TLB_WAYS = 256, 4
TLB_DTYPE = np.dtype(
    [
        ("tag", "<u8"),  # linear page address | TLB_VALID
        ("page", "<u8"),  # physical page address
        ("rights", "<u8"),  # TLB_WRITE, TLB_USER, TLB_DIRTY, TLB_GLOBAL, TLB_LARGE
        ("tags", "<u8"),  # VPID << 16 | PCID
    ]
)
TLB_VALID = 1
TLB_WRITE, TLB_USER, TLB_DIRTY, TLB_GLOBAL, TLB_LARGE = 2, 4, 0x40, 0x100, 0x80
TLB_LARGE_2M = 0x1000
DATA_TLB, FETCH_TLB = 0, TLB_SETS * TLB_WAYS  # first entry of each
TLB_ENTRIES = 2 * TLB_SETS * TLB_WAYS
TLB_FIFO = TLB_ENTRIES  # per set: next way to replace, kept in `tag` behind the entries
TLB_ROWS = TLB_ENTRIES + 2 * TLB_SETS

# --- decoded code ----------------------------------------------------------------------

UOP_DTYPE = np.dtype(
    [
        ("kind", "u1"),
        ("size", "u1"),  # 1, 2, 4 bytes
        ("dst", "u1"),  # register numbers are offsets into the cpu row
        ("a", "u1"),
        ("b", "u1"),
        ("seg", "u1"),
        ("scale", "u1"),
        ("high", "u1"),  # 8-bit operands that are AH CH DH BH: 1 dst, 2 a, 4 b
        ("imm", "<u8"),
        ("disp", "<u8"),
        ("op", "u1"),
        ("ordinal", "u1"),  # which instruction of the block
        ("rip", "<u2"),  # start of the instruction, from the start of the block
        ("next", "<u2"),  # start of the next instruction, likewise
        ("cost", "<u2"),  # cycles of the whole instruction
    ]
)
UOP_ROOM = 1 << 19

BLOCK_DTYPE = np.dtype(
    [
        ("physical", "<u8"),
        ("physical2", "<u8"),  # second page of a block that spans two, else 0
        ("mode", "<u4"),
        ("start", "<u4"),  # first micro-op
        ("end", "<u4"),  # one past the last
        ("count", "<u4"),  # instructions; 0: the block is gone
        ("length", "<u4"),  # bytes
        ("cycles", "<u4"),
        ("accesses", "<u4"),  # data accesses
        ("hash_next", "<u4"),
        ("page_next", "<u4", (2,)),
        ("native", "<u8"),  # room for translated code
    ]
)
BLOCK_ROOM = 1 << 16
HASH_ROOM = 1 << 16
UOPS_USED, BLOCKS_USED = range(2)  # how much of that is in use; the first of each means none

# Links from virtual addresses to blocks. The entries of one page lie together, so that
# dropping a page is a short loop.
LINK_DTYPE = np.dtype([("linear", "<u8"), ("context", "<u8"), ("block", "<u8"), ("pad", "<u8")])
LINK_ENTRIES = 4096
LINK_PER_PAGE = 64

# Devices: words for their registers, bytes for their buffers. Who uses what is said in
# devices/layout.py; a claim of DEVICE_CLAIM or more is answered there, without Python.
DEVICE_WORDS = 1024
DEVICE_BYTES = 1 << 18
DEVICE_CLAIM = 2

# Firmware lies in an array of its own behind RAM and appears below 1 MiB and below 4 GiB.
ROM_SIZE = 1 << 20
RAM_EVERYWHERE = 0xFFFF_FFFF  # RAM_MAP without firmware: all reads and writes go to RAM

MAX_BREAKPOINTS = 64
MAX_REGIONS = 64

# --- the handle: what the compiled core is given ---------------------------------------

# A unit gets one address, of an array of words: pointers to the arrays above, a few sizes,
# and the entry points of the other units.
(
    H_CPU,
    H_RAM,
    H_RAM_SIZE,
    H_PAGE_FLAGS,
    H_PAGE_CODE,
    H_PAGE_BLOCKS,
    H_FAST,
    H_TLB,
    H_UOPS,
    H_BLOCKS,
    H_BUCKETS,
    H_LINKS,
    H_PORTS,
    H_REGIONS,
    H_REGION_COUNT,
    H_COSTS,
    H_BREAKPOINTS,
    H_DECODE,
    H_ROWS,
    H_TRACE,
    H_TRACE_ROOM,
    H_TRACE_USED,
    H_CODE_USED,
    H_TRACE_CPU,
    H_WATCHES,
    H_WATCH_COUNT,
    H_DEVICES,
    H_DEVICE_BYTES,
    H_RAM_END,
    H_CPUS,
    H_ALL_FAST,
    H_ALL_LINKS,
    H_SHOWN,  # bytes of RAM that the chip set has; behind nested tables, the guest's
    H_FIRMWARE,  # and of firmware behind it
) = range(34)
H_UNITS = 40  # entry points of the units follow
HANDLE_WORDS = 64


def layout_digest() -> str:
    """A digest of the layout; a snapshot made with another one cannot be restored."""
    text = repr((_FIELDS, TLB_DTYPE.descr, TLB_SETS, TLB_WAYS, DEVICE_WORDS, DEVICE_BYTES))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
