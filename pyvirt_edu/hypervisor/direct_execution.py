"""Direct execution: the real processor runs the guest's instructions, one or two rings further out.

The guest believes in its *virtual processor*, the record of a `VirtualMachine`: ring 0, its own tables,
its own interrupt flag. Its kernel really runs in ring 1, its programs in ring 3. `take` brings the record
up to date after an exit, `give` puts the real processor where the record says. Between the two the
hypervisor does to the record what the guest wanted; for any instruction, `interpret` does: the core
executes it on the record. So no instruction has a second definition here, and what the processor would
refuse is refused.

What can run directly is a matter of the record alone (`is_direct`); all else is interpreted: real mode,
virtual-8086 mode, single steps, rings 1 and 2, segments that a descriptor in an outer ring cannot say.

Invariants: a descriptor in the real GDT or LDT is what the guest's own table says there, as `outward`
has it, and stores to that page of the guest are traced; what is in the record's hidden parts is what is
in the real processor's, cut.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..machine.errors import ConfigurationError, MachineError, RegisterError
from ..machine.exits import Exit
from ..machine.memory.hostaccess_ops import HOST_UPDATE_SEGMENTS
from ..machine.registers import arithmetic_flags
from ..machine.state.layout import (
    AC,
    ATTENTION,
    ATTRIBUTES,
    BASE,
    CC_RESULT,
    CPL,
    CR0,
    CR0_AM,
    CR0_EM,
    CR0_MP,
    CR0_NE,
    CR0_PE,
    CR0_TS,
    CR2,
    CR3,
    CR4,
    CR4_OSFXSR,
    CR4_TSD,
    CS,
    CYCLES,
    DATA_ACCESSES,
    DEBUG_PENDING,
    DF,
    DR6,
    DR7,
    DS,
    EFLAGS,
    ES,
    FS,
    GDTR_BASE,
    GDTR_LIMIT,
    GENERATION,
    GS,
    HALTED,
    ID,
    IF,
    INTERRUPT_LINE,
    INTERRUPT_PIN,
    IOPL_MASK,
    LDTR,
    LIMIT,
    MODE,
    MODE_STACK32,
    NMI_PENDING,
    NT,
    REPLAY_COUNT,
    RF,
    RIP,
    RSP,
    SELECTOR,
    SHADOW,
    SS,
    TF,
    TRAP_AFTER,
    USER,
    VM,
    WALK_REFERENCES,
    WRITE,
    X87,
)  # fmt: skip
from .address_space import AddressSpace
from .descriptors import base_in, descriptor, is_closed, limit_in
from .frames import Frames
from .guest_fault import GuestFault
from .instructions import FaultingInstruction
from .silent_instructions import INT3, Patches
from .trap_frame import Frame
from .trap_gates import (
    CR0_RUNNING,
    CR4_PSE,
    FIRST_OF_MONITOR,
    KERNEL_CODE,
    KERNEL_DATA,
    MONITOR_AT,
    USER_CODE,
    USER_DATA,
    TrapGates,
)
from .virtual_machine import VirtualMachine

DEBUG, GP, PAGE_FAULT, FAULT_WRITE = 1, 13, 14, 2
SINGLE_STEP = 0x4000  # BS in DR6
NO_HANDLER = "triple fault: the guest's handlers cannot be entered"
DATA_SEGMENTS = {ES: "es", DS: "ds", FS: "fs", GS: "gs"}
SEEN_FLAGS = DF | TF | AC | ID | NT | RF  # of EFLAGS: those that any ring changes; the arithmetic ones apart
MIRRORED_CR0 = CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_AM
MIRRORED_CR4 = CR4_TSD | CR4_OSFXSR
ACCESSED = 1 << 40
WORD_REGISTERS = {f"{e}{name}" for e in ("", "e") for name in "ax cx dx bx sp bp si di".split()}
FAR_RETURNS = ("iretd", "iretw", "retf")
BURST = 1000  # instructions that are interpreted in one exit at most


class Hidden(NamedTuple):
    """A segment register: what it is called, and what the processor keeps of its descriptor."""

    selector: int
    base: int
    limit: int
    attributes: int

    @property
    def descriptor(self) -> int:
        """The descriptor that loads this."""
        coarse = self.attributes & 0x8000
        limit = self.limit >> 12 if coarse else self.limit
        return descriptor(self.base, limit, self.attributes & 0xFF, self.attributes >> 12) | ACCESSED


class DirectExecution:
    def __init__(self, gates: TrapGates, vm: VirtualMachine, frames: Frames) -> None:
        self.gates, self.vm, self.meter = gates, vm, gates.meter
        self.space = AddressSpace(gates, vm, frames)
        self.shadowed: dict[int, int] = {}  # by selector: descriptors of the guest in the real tables
        self._places: dict[int, int] = {}  # their selectors, by where the guest's table has them in memory
        self.traced = set[int]()  # guest-physical pages with descriptors that are shadowed
        self.patches = Patches(gates)
        self.on_record = False  # the guest is where the record says, and the real processor is not there
        self.interpreted = 0  # instructions
        self.refused = 0  # loads of segments
        self.initial = True  # CS or SS is as the loader left it
        self._real = [0] * 6  # selectors in the real segment registers, as `give` left them
        self._hidden = [Hidden(0, 0, 0, 0)] * 6  # and what the record had in them
        self._given = b""  # segment words that `give` has found in order
        self._words = self._control_words()

    # --- the start -----------------------------------------------------------------------------

    def take_over(self) -> None:
        """The guest is what the machine was about to execute, in flat segments as a loader leaves it: the
        record becomes that processor. Its own selectors name no descriptors yet, so the real processor
        has the hypervisor's flat ones, until the guest has loaded both CS and SS."""
        h, v = self.gates.machine._c, self.vm._c
        flat = all((h[BASE + s], h[LIMIT + s]) == (0, 0xFFFF_FFFF) for s in range(6))
        if not flat or not h[CR0] & CR0_PE or h[CPL]:
            raise ConfigurationError(
                "a monitor takes over a kernel at its first instruction, in flat 32-bit protected mode and "
                "ring 0: boot a multiboot or Linux image, or call enter_protected_mode"
            )
        v[0:8] = h[0:8]
        v[RIP], v[EFLAGS], v[CR0] = h[RIP], h[EFLAGS], h[CR0] & ~(CR0_RUNNING & ~CR0_PE)
        v[CC_RESULT], v[CC_RESULT + 1] = h[CC_RESULT], h[CC_RESULT + 1]
        v[X87 : X87 + 24] = h[X87 : X87 + 24]
        v[SELECTOR : SELECTOR + 6] = h[SELECTOR : SELECTOR + 6]
        for s in range(6):
            self._set_hidden(s, Hidden(h[SELECTOR + s], 0, 0xFFFF_FFFF, h[ATTRIBUTES + s]))
        self._refresh(0)
        self._words = self._control_words()
        self._real = [KERNEL_CODE if s == CS else KERNEL_DATA for s in range(6)]
        self._hidden = [self._get_hidden(s) for s in range(6)]
        self.gates.enter_ring_1()
        self.gates.drop_flat(USER_CODE, USER_DATA)

    # --- from the real processor to the record ---------------------------------------------------

    def take(self, frame: Frame) -> None:
        """After an exit: the record is the guest's processor."""
        h, v = self.gates.machine._c, self.vm._c
        v[CYCLES] = h[CYCLES]
        if self.on_record:  # the real processor had nothing of it
            return
        v[0:8] = h[0:8]
        v[RSP], v[RIP] = frame.esp, frame.eip
        v[CC_RESULT], v[CC_RESULT + 1] = h[CC_RESULT], h[CC_RESULT + 1]
        v[EFLAGS] = v[EFLAGS] & ~SEEN_FLAGS | frame.eflags & SEEN_FLAGS
        v[ATTENTION] = 1  # RF and TF want a look
        v[X87 : X87 + 24] = h[X87 : X87 + 24]
        real, changed = self._real, False
        for s in DATA_SEGMENTS:
            if h[SELECTOR + s] != real[s]:
                self._loaded_directly(s, h[SELECTOR + s], h[SELECTOR + s])
                changed = True
        for s, selector in ((CS, frame.cs), (SS, frame.ss)):
            if selector != real[s]:
                self._loaded_directly(s, selector, selector & ~3 if selector & 3 == 1 else selector)
                changed = True
        level = 0 if frame.ring == 1 else frame.ring
        if changed or v[CPL] != level:
            self._refresh(level)

    def _loaded_directly(self, segment: int, real: int, virtual: int) -> None:
        """The guest has loaded a segment register without an exit: its descriptor is a shadowed one."""
        h, slot = self.gates.machine._c, real & 0xFFFC
        if real | 3 == KERNEL_DATA | 3:
            hidden = Hidden(virtual, 0, 0xFFFF_FFFF, 0xC093)  # what it has begun with
        elif slot == 0:
            hidden = Hidden(virtual, h[BASE + segment], h[LIMIT + segment], h[ATTRIBUTES + segment])
        else:
            hidden = self._hidden_of(virtual, self.shadowed[slot])
        self._set_hidden(segment, hidden)
        self._real[segment], self._hidden[segment] = real, hidden
        self._given = b""

    def _refresh(self, level: int) -> None:
        """What the record derives from its segments and its privilege."""
        self.vm._c[CPL] = level
        self.vm._host(self.vm._handle, HOST_UPDATE_SEGMENTS, 0, 0)

    # --- doing it to the record ------------------------------------------------------------------

    def interpret(self, most: int = 1) -> None:
        """Let the core execute instructions on the record: faults, gates, ports and all. It is charged by
        what it did: the tree of a decoder, the memory that it touched, the page tables that it walked."""
        vm, v = self.vm, self.vm._c
        before, accesses, walks = vm.instructions, v[DATA_ACCESSES], v[WALK_REFERENCES]
        for _ in range(most):
            out = self._step(vm, v[BASE + CS] + v[RIP])
            if v[HALTED] or out.reason != "limit" or (most > 1 and self.is_direct()):
                break
        done = vm.instructions - before
        self.interpreted += done
        self.meter.decide(8 * max(done, 1))
        self.meter.spend("memory read", v[DATA_ACCESSES] - accesses)
        self.meter.spend("page-table read", v[WALK_REFERENCES] - walks)
        if out.reason not in ("limit", "halt"):
            self.ended(out.reason, out.value)

    def ended(self, reason: str, value: int | None = None) -> None:
        """The guest has ended itself: a triple fault ("shutdown"), or what its devices made of a store."""
        if reason == "shutdown":
            self.gates.stop(NO_HANDLER)

    def _step(self, vm: VirtualMachine, linear: int) -> Exit:
        if linear not in self.patches.places:
            return vm.step()
        with self.patches.lifted(vm, linear):
            return vm.step()

    def hide_ring(self, i: FaultingInstruction) -> None:
        """A selector that the guest saved while it ran directly says ring 1, and it believes in ring 0: mend
        what a far return, or a load of SS, is about to read."""
        if self.vm._c[CPL] != 0 or not i.decoded:
            return
        kind, wide = i.name, i.decoded.operand_size // 8
        if kind not in FAR_RETURNS and (kind not in ("mov", "pop") or i.operands[:1] != ["ss"]):
            return
        if kind == "mov" and i.operands[1] in WORD_REGISTERS:
            if i.get(1) & 3 == 1:
                i.put(1, i.get(1) & ~3)
            return
        if kind == "mov":
            segment, offset = i.memory(1)
        else:
            segment, offset = SS, self.vm.cpu.esp + (0 if kind == "pop" else wide)
        offset &= 0xFFFF_FFFF if kind == "mov" or self.vm._c[MODE] & MODE_STACK32 else 0xFFFF
        try:
            selector = self.vm.guest_load(offset, 2, segment)
            if selector & 3 == 1:
                self.vm.guest_store(offset, selector & ~3, 2, segment)
        except GuestFault:
            pass  # it is the instruction's

    def interpret_load(self) -> None:
        """Interpret an instruction that may load segments. Those that no descriptor below the monitor can
        say (they expand down, or begin above it) are refused: #GP, where the processor would have gone on.
        """
        before, loaded = self.vm._row.copy(), [self._get_hidden(s) for s in range(6)]
        self.interpret()
        for s in range(6):
            hidden = self._get_hidden(s)
            if hidden != loaded[s] and is_closed(hidden.descriptor, MONITOR_AT):
                self.vm._row[:] = before
                self.refused += 1
                self.deliver(GuestFault(GP, hidden.selector & 0xFFFC))
                return

    def before_breakpoint(self) -> None:
        """#BP comes behind INT3, of one byte, or INT 3, of two. The record stands before it again."""
        v, machine = self.vm._c, self.gates.machine
        place = machine.translate(v[BASE + CS] + v[RIP] - 1 & 0xFFFF_FFFF)
        one_byte = place is not None and machine._ram[place] == INT3[0]
        v[RIP] = v[RIP] - (1 if one_byte else 2) & 0xFFFF_FFFF

    def deliver_debug(self, frame: Frame) -> None:
        """#DB of a single step or INT1. It is a trap: its instruction is done, and not to be interpreted."""
        if frame.eflags & TF:
            self.vm._c[DR6] |= SINGLE_STEP
        self.deliver(GuestFault(DEBUG))

    def deliver(self, fault: GuestFault) -> None:
        """Let the guest's own handler have a fault."""
        if fault.cr2 is not None:
            self.vm._c[CR2] = fault.cr2
        try:
            self.vm.inject(fault.vector, fault.error)
        except MachineError:
            self.ended("shutdown")

    def fill(self, frame: Frame) -> str:
        """Whether an exit is a page fault that is none of the guest's: "hidden" if its entry was not there
        yet, and now is; "trace" if somebody wants to see this store, which is to be interpreted; else ""."""
        if frame.vector != PAGE_FAULT:
            return ""
        access = WRITE * (frame.error & FAULT_WRITE != 0) | USER * (frame.ring == 3)
        return self.space.fill(self.gates.machine._c[CR2], access)

    @property
    def interrupts(self) -> bool:
        """The virtual interrupt flag."""
        return bool(self.vm._c[EFLAGS] & IF)

    @interrupts.setter
    def interrupts(self, on: bool) -> None:
        v = self.vm._c
        v[EFLAGS] = v[EFLAGS] & ~IF | IF * on

    @property
    def level(self) -> int:
        """The virtual processor's CPL."""
        return int(self.vm._c[CPL])

    def skip(self, length: int) -> None:
        """An instruction has been done to the record by hand: it stands behind it, and RF is over."""
        v = self.vm._c
        v[RIP] = v[RIP] + length & 0xFFFF_FFFF
        v[EFLAGS] &= ~RF

    def settle(self, waiting: list[int]) -> str:
        """What is left to do before the guest can go on directly: interrupts that it can take now, and
        instructions that must be interpreted. Returns "direct" if it can, "asleep" if it waits for an
        interrupt, "busy" if there is more to interpret than one exit should."""
        v, end = self.vm._c, self.interpreted + BURST
        self.on_record = True
        while self.interpreted < end and not self.gates.stopped:
            if waiting and not v[INTERRUPT_LINE] and self.interrupts:
                v[INTERRUPT_LINE], v[ATTENTION] = 0x100 | waiting.pop(0), 1
            asked = v[INTERRUPT_LINE] | v[INTERRUPT_PIN]
            takes = asked and self.interrupts or v[TRAP_AFTER] | v[DEBUG_PENDING] | v[NMI_PENDING]
            if not takes:
                if v[HALTED]:
                    return "asleep"
                self._follow_controls()
                if self.is_direct():
                    self.on_record = False
                    return "direct"
            before = self.interpreted
            self.interpret(1 if takes else end - self.interpreted)
            if self.interpreted == before:
                break
        return "busy"

    # --- from the record to the real processor ---------------------------------------------------

    def give(self, frame: Frame) -> None:
        """Before the way back: the real processor goes on where the record stands."""
        h, v = self.gates.machine._c, self.vm._c
        h[0:8] = v[0:8]
        h[RSP] = frame.at
        if self.on_record:
            return  # it sleeps, has ended, or must be interpreted further
        if self._segment_words() != self._given:
            self._give_segments()
        frame.cs, frame.ss = self._real[CS], self._real[SS]
        h[CC_RESULT], h[CC_RESULT + 1] = v[CC_RESULT], v[CC_RESULT + 1]
        h[X87 : X87 + 24] = v[X87 : X87 + 24]
        frame.esp, frame.eip = v[RSP], v[RIP]
        flags = v[EFLAGS] & ~(IOPL_MASK | VM) | IF
        frame.eflags = flags | arithmetic_flags(v[CC_RESULT], v[CC_RESULT + 1])

    def _segment_words(self) -> bytes:
        """Selectors, bases, limits and attributes of the record: they lie behind each other."""
        return bytes(self.vm._c[SELECTOR : ATTRIBUTES + 8])

    def _give_segments(self) -> None:
        ring = 1 if self.vm._c[CPL] == 0 else 3
        for s in DATA_SEGMENTS:
            hidden = self._get_hidden(s)
            if hidden != self._hidden[s]:
                self._load(s, hidden)
        for s in (CS, SS):
            hidden = self._get_hidden(s)
            if not self._is_initial(s, hidden):
                self._real[s], self._hidden[s] = hidden.selector & ~3 | ring, hidden
        if self.initial and self._real[CS] != KERNEL_CODE and self._real[SS] != KERNEL_DATA:
            self.initial = False
            self.gates.drop_flat(KERNEL_CODE, KERNEL_DATA)
        self._given = self._segment_words()

    def is_direct(self) -> bool:
        """Whether the record can go on on the real processor."""
        v = self.vm._c
        flags = v[EFLAGS]
        if not v[CR0] & CR0_PE or flags & (VM | TF) or v[DR7] & 0xFF:
            return False
        if v[HALTED] | v[SHADOW] | v[TRAP_AFTER] | v[DEBUG_PENDING] | v[NMI_PENDING] | v[REPLAY_COUNT]:
            return False
        if v[CPL] == 3:
            if flags & IOPL_MASK == IOPL_MASK or not flags & IF:
                return False
        elif v[CPL]:
            return False
        return self._segment_words() == self._given or self._is_shadowed(CS) and self._is_shadowed(SS)

    def _is_shadowed(self, segment: int) -> bool:
        """Whether the real tables can load this segment register, and would load what the record has."""
        hidden = self._get_hidden(segment)
        return self._is_initial(segment, hidden) or self._shadow(hidden)

    def _is_initial(self, segment: int, hidden: Hidden) -> bool:
        """Whether CS or SS is as the loader left it, and the real processor has the hypervisor's."""
        return self._real[segment] in (KERNEL_CODE, KERNEL_DATA) and hidden == self._hidden[segment]

    # --- descriptors -----------------------------------------------------------------------------

    def _shadow(self, hidden: Hidden) -> bool:
        """Have the guest's descriptor in the real table; False if it is not what the record has."""
        slot = hidden.selector & 0xFFFC
        if slot in self.shadowed:
            return self._hidden_of(hidden.selector, self.shadowed[slot]) == hidden
        if not slot or (not slot & 4 and slot >= FIRST_OF_MONITOR):
            return False
        value = self._guest_descriptor(slot)
        if not value or self._hidden_of(hidden.selector, value) != hidden:
            return False
        self._trace(slot)
        self.gates.set_descriptor(slot, value | ACCESSED)
        self.shadowed[slot] = value
        return True

    def _load(self, segment: int, hidden: Hidden) -> None:
        """Put a data segment into the real processor."""
        real = hidden.selector
        slot = real & 0xFFFC
        if slot and not self._shadow(hidden):
            if not slot & 4 and slot >= FIRST_OF_MONITOR:
                slot, real = FIRST_OF_MONITOR - 8, FIRST_OF_MONITOR - 8 | real & 3
            self.gates.set_descriptor(slot, hidden.descriptor)  # for this load only
            self.shadowed.pop(slot, None)
        try:
            setattr(self.gates.machine.cpu, DATA_SEGMENTS[segment], real)
        except RegisterError:  # code that cannot be read, say: whoever uses it will fault
            real = 0
            setattr(self.gates.machine.cpu, DATA_SEGMENTS[segment], real)
        if slot and slot not in self.shadowed:
            self.gates.set_descriptor(slot, 0)
        self._real[segment], self._hidden[segment] = real, hidden

    def _guest_descriptor(self, slot: int) -> int:
        """What the guest's own table says, 0 if it says nothing."""
        v, at = self.vm._c, slot & 0xFFF8
        base, limit = (v[BASE + LDTR], v[LIMIT + LDTR]) if slot & 4 else (v[GDTR_BASE], v[GDTR_LIMIT])
        if at + 7 > limit or (slot & 4 and not v[SELECTOR + LDTR] & 0xFFFC):
            return 0
        self.meter.spend("memory read", 2)
        try:
            return self.vm.guest_load(base + at) | self.vm.guest_load(base + at + 4) << 32
        except GuestFault:
            return 0

    @staticmethod
    def _hidden_of(selector: int, value: int) -> Hidden:
        low, high = value & 0xFFFF_FFFF, value >> 32
        return Hidden(selector, base_in(low, high), limit_in(low, high), (high >> 8 & 0xF0FF) | 1)

    def _trace(self, slot: int) -> None:
        """See stores to where the guest keeps a descriptor."""
        v = self.vm._c
        at = (v[BASE + LDTR] if slot & 4 else v[GDTR_BASE]) + (slot & 0xFFF8)
        for linear in (at & 0xFFFF_FFFF, at + 4 & 0xFFFF_FFFF):  # its halves: they may lie in two pages
            page, _ = self.vm.resolve(linear & ~0xFFF, 0)
            if page >= self.gates.machine.ram_size:
                continue  # there is no memory, and what is not there does not change
            self._places[page | linear & 0xFFF] = slot
            if page not in self.traced:
                self.traced.add(page)
                self.vm.map.trace_page(page)
                self.space.forget_writable(page)

    def _written(self, place: int, size: int) -> None:
        """The guest has stored into a traced page: descriptors that it hit are not shadowed any more."""
        self._given = b""
        for at in range(place - 3, place + size):
            slot = self._places.pop(at, None)
            if slot is not None and self.shadowed.pop(slot, None) is not None:
                self.gates.set_descriptor(slot, 0)

    def _forget_descriptors(self) -> None:
        """The guest has another table."""
        self._given = b""
        for slot in self.shadowed:
            self.gates.set_descriptor(slot, 0)
        self.shadowed.clear()
        self._places.clear()
        for page in self.traced:
            self.vm.map.trace_page(page, False)
        self.traced.clear()

    def _get_hidden(self, s: int) -> Hidden:
        v = self.vm._c
        return Hidden(v[SELECTOR + s], v[BASE + s], v[LIMIT + s], v[ATTRIBUTES + s])

    def _set_hidden(self, s: int, hidden: Hidden) -> None:
        v = self.vm._c
        v[SELECTOR + s], v[BASE + s], v[LIMIT + s], v[ATTRIBUTES + s] = hidden

    # --- control registers -----------------------------------------------------------------------

    def _control_words(self) -> tuple[int, ...]:
        v = self.vm._c
        return (
            v[CR0],
            v[CR3],
            v[CR4],
            v[GENERATION],
            v[GDTR_BASE],
            v[GDTR_LIMIT],
            v[BASE + LDTR],
            v[LIMIT + LDTR],
        )

    def _follow_controls(self) -> None:
        """What changed in the record and matters to the real processor."""
        stores = self.vm.traced_stores()
        if stores is None:
            self._forget_descriptors()
        for place, size in stores or ():
            self._written(place, size)
        words, before = self._control_words(), self._words
        if words == before:
            return
        self._words = words
        if words[:4] != before[:4]:
            self.meter.decide(4)
            self._mirror(words[0], words[2])
        if words[1:4] != before[1:4] or (words[0] ^ before[0]) & ~MIRRORED_CR0:
            self.space.flush()
        if words[4:] != before[4:] or words[1] != before[1]:
            self._forget_descriptors()

    def _mirror(self, cr0: int, cr4: int) -> None:
        cpu = self.gates.machine.cpu
        wanted = CR0_RUNNING | cr0 & MIRRORED_CR0
        if cpu.cr0 & (CR0_RUNNING | MIRRORED_CR0) != wanted:
            cpu.cr0 = cpu.cr0 & ~MIRRORED_CR0 | wanted
        if cpu.cr4 & MIRRORED_CR4 != cr4 & MIRRORED_CR4:
            cpu.cr4 = CR4_PSE | cr4 & MIRRORED_CR4

    def flush_page(self, linear: int) -> None:
        """INVLPG, done to the cache of entries; the record has executed it."""
        self.space.flush_page(linear)
        self._words = self._control_words()

    # --- a part of the machine's state -----------------------------------------------------------

    def check(self) -> None:
        """The invariants."""
        self.space.check()
        v = self.vm._c
        if self._segment_words() == self._given:
            assert self._hidden == [self._get_hidden(s) for s in range(6)], "the real segments are others"
        for slot, value in self.shadowed.items():
            table = v[BASE + LDTR] if slot & 4 else v[GDTR_BASE]
            now = int.from_bytes(self.vm.read_linear(table + (slot & 0xFFF8), 8), "little")
            assert (now ^ value) & ~ACCESSED == 0, f"selector {slot:#x}: the guest's descriptor has changed"

    def state(self) -> Any:
        return {
            "vm": self.vm.state(),
            "space": self.space.state(),
            "frames": self.space.frames.state(),
            "shadowed": dict(self.shadowed),
            "traced": sorted(self.traced),
            "interpreted": (self.interpreted, self.refused),
            "on_record": self.on_record,
            "initial": self.initial,
            "places": dict(self._places),
            "patches": self.patches.state(),
            "real": list(self._real),
            "hidden": [tuple(item) for item in self._hidden],
            "words": self._words,
            "given": self._given,
        }

    def restore(self, state: Any) -> None:
        self.vm.restore_state(state["vm"])
        self.space.restore(state["space"])
        self.space.frames.restore(state["frames"])
        for place in self.traced:
            self.vm.map.trace_page(place, False)
        self.shadowed, self.traced = dict(state["shadowed"]), set(state["traced"])
        for place in self.traced:
            self.vm.map.trace_page(place)
        (self.interpreted, self.refused), self.on_record = state["interpreted"], state["on_record"]
        self._places, self.initial = dict(state["places"]), state["initial"]
        self.patches.restore(state["patches"])
        self._real, self._hidden = list(state["real"]), [Hidden(*item) for item in state["hidden"]]
        self._words, self._given = tuple(state["words"]), state["given"]
