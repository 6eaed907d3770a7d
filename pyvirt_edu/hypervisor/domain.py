"""One of several guests on a processor: what it takes to leave the processor, and to come back.

While another guest runs, all of a guest is in its record. What the real processor has of it goes when it
leaves: its descriptors from the real tables, its page directory from CR3. Invariant: the descriptors in
the real tables are those of one guest, the one whose directory CR3 names.

Guest time is the host's clock since the guest's birth, also while others run. A device's event is served
when that clock reaches it, but while an interrupt request waits for the guest its clock stops before the
next event: so no tick is lost, and the counter that RDTSC reads agrees with the timer. It catches up
as fast as the guest takes its ticks.
"""

from __future__ import annotations

import struct
from typing import Any, Protocol

from ..devices.layout import OP_EVENT, PIC
from ..devices.pic import IMR, IRR
from ..machine.errors import MachineError
from ..machine.state.layout import (
    CR0,
    CR4,
    CR4_TSD,
    CYCLES,
    HALTED,
    INTERRUPT_LINE,
    INTERRUPT_PIN,
    PAGE,
    TIMER,
)
from .address_space import AddressSpace
from .direct_execution import DirectExecution, Hidden
from .domain_config import DomainConfig
from .frames import Frames
from .instructions import decode
from .memory_map import MemoryMap
from .silent_instructions import BREAKPOINT, INT3
from .trap_frame import Frame
from .trap_gates import PAGE_TABLE, PRESENT, WRITABLE, TrapGates
from .virtual_machine import VirtualMachine, lend

NOT_LOADED = Hidden(-1, 0, 0, 0)
SILENT = ("pushfd", "popfd", "iretd", "pushfw", "popfw", "iretw")  # in ring 1 they treat IF wrongly


class Host(Protocol):
    """The hypervisor, as its guests know it."""

    def pause(self, guest: Domain) -> None: ...
    def resume(self, guest: Domain) -> None: ...
    def save(self, guest: Domain) -> dict[str, Any]: ...
    def load(self, guest: Domain, data: dict[str, Any]) -> None: ...
    def begin_history(self) -> None: ...


class DomainMachine(VirtualMachine):
    """What comes in from outside, keys for example, is no part of the host's history: it begins anew."""

    hypervisor: Host | None = None

    def _tell_devices(self, operation: int, a: int = 0, b: int = 0) -> None:
        super()._tell_devices(operation, a, b)
        if self.hypervisor is not None:
            self.hypervisor.begin_history()


class DomainSpace(AddressSpace):
    """An address space with a page directory of its own."""

    def __init__(self, gates: TrapGates, vm: VirtualMachine, frames: Frames) -> None:
        super().__init__(gates, vm, frames)
        self.owner = f"{vm.map.owner}'s directory"
        (self.directory,) = frames.allocate(self.owner)
        own = struct.pack("<I", gates.physical + PAGE_TABLE | PRESENT | WRITABLE)
        self.machine.write(self.directory * PAGE, bytes(PAGE - 4) + own)

    def _write_directory(self, index: int, entry: int) -> None:
        self.meter.spend("page-table write")
        self.machine.write(self.directory * PAGE + 4 * index, struct.pack("<I", entry))

    def enter(self) -> None:
        """Load CR3."""
        self.machine.cpu.cr3 = self.directory * PAGE
        self.machine.flush_tlb()
        self.meter.spend("TLB flush")

    def destroy(self) -> None:
        self.flush()
        self.frames.free(self.owner, [self.directory])


class Domain(DirectExecution):
    """A guest of a `Hypervisor`, as whoever made it sees it."""

    space: DomainSpace

    def __init__(self, gates: TrapGates, frames: Frames, config: DomainConfig, hypervisor: Host) -> None:
        self.config, self.name, self._hypervisor = config, config.name, hypervisor
        vm = lend(gates.machine, frames, config.name, config.memory, kind=DomainMachine)
        self.space = None  # type: ignore[assignment]
        try:
            super().__init__(gates, vm, frames)
            self.space = DomainSpace(gates, vm, frames)
            vm.boot(config.kernel, config.append, config.initrd, config.disk, format=config.format)
            self._patch(*config.silent)
        except BaseException:
            self.give_back()
            raise
        assert isinstance(vm, DomainMachine)
        vm.hypervisor = hypervisor
        self.on_record = True
        self.paused = False
        self.end: str = ""  # why it runs no more: "halt", "exit", "reset", "crash"
        self.value: int | None = None  # that it wrote to the exit port
        self.born = gates.machine.cycles
        self.used = 0  # cycles in which it had the processor

    # --- for its user --------------------------------------------------------------------------

    @property
    def console(self) -> Any:
        return self.vm.console

    def halted(self) -> bool:
        """Whether it has ended, in whatever way (``end`` says which)."""
        return bool(self.end)

    @property
    def crashed(self) -> bool:
        return self.end == "crash"

    def __repr__(self) -> str:
        return f"<guest {self.name}: {self.end or ('paused' if self.paused else 'running')}>"

    def pause(self) -> None:
        """It gets the processor no more, until `resume`."""
        self._hypervisor.pause(self)

    def resume(self) -> None:
        self._hypervisor.resume(self)

    def snapshot(self) -> dict[str, Any]:
        """Memory, processor and devices as plain data; a guest with as much memory can be like that."""
        return self._hypervisor.save(self)

    def restore(self, data: dict[str, Any]) -> None:
        """Be as a snapshot says."""
        self._hypervisor.load(self, data)

    # --- for its hypervisor --------------------------------------------------------------------

    def _patch(self, start: int, end: int) -> None:
        code, at = self.vm.read(start, end - start), start
        while at < end:
            i = decode(code, start=at - start)
            if i and i.name in SILENT:
                self.patches.places[at] = i.code[:1]
                self.vm.write(at, INT3)
            at += i.length if i else 1
        if self.patches.places:
            self.gates.let_through(BREAKPOINT, 3)

    def ended(self, reason: str, value: int | None = None) -> None:
        self.end, self.value = {"shutdown": "crash"}.get(reason, reason), value

    def _mirror(self, cr0: int, cr4: int) -> None:
        super()._mirror(cr0, cr4 | CR4_TSD)  # its clock is not the host's

    @property
    def runnable(self) -> bool:
        """Whether it has something to do now."""
        v = self.vm._c
        return not (self.end or self.paused or (v[HALTED] and not self._takes()))

    def _takes(self) -> bool:
        return bool(self._asked()) and self.interrupts

    def _asked(self) -> int:
        """Whether its interrupt pin is high."""
        v = self.vm._c
        return v[INTERRUPT_LINE] | v[INTERRUPT_PIN]  # type: ignore[no-any-return]

    def take(self, frame: Frame) -> None:
        v = self.vm._c
        clock = v[CYCLES]
        super().take(frame)
        v[CYCLES] = clock

    def leave(self) -> None:
        """The record has all of it; another guest may have the processor."""
        self.on_record = True
        self._forget_descriptors()

    def enter(self) -> None:
        """The real processor becomes this guest's; `give` loads the rest."""
        self._hidden, self._given = [NOT_LOADED] * 6, b""
        self._mirror(self.vm._c[CR0], self.vm._c[CR4])
        self.space.enter()

    def catch_up(self) -> None:
        """Let its clock go on to the host's, and its devices do what is due."""
        v, vm = self.vm._c, self.vm
        if v[HALTED] and not self.interrupts:
            self.end = self.end or "halt"  # nothing wakes it
        now = self.gates.machine.cycles - self.born
        while v[TIMER] <= now and not self._request_waits():
            v[CYCLES] = max(v[CYCLES], v[TIMER])
            vm._core_silently("device_access", (), OP_EVENT, 0, 0)
            self._serve()
        limit = min(now, v[TIMER] - 1) if self._request_waits() else now
        v[CYCLES] = max(v[CYCLES], limit)

    def _serve(self) -> None:
        out = self.vm._service()
        if out is not None:
            self.ended(out.reason, out.value)

    def _request_waits(self) -> bool:
        d = self.vm._a.devices
        return bool(self._asked() or d[PIC + IRR] & ~d[PIC + IMR])

    def ahead(self) -> int:
        """Cycles by which its own work has brought it before the host."""
        return max(0, int(self.vm._c[CYCLES]) + self.born - self.gates.machine.cycles)

    def settle(self, waiting: list[int] | None = None) -> str:
        """Its interrupts come from its own controller, and nobody holds them back."""
        return "asleep" if self.end else super().settle([])

    def give_back(self) -> None:
        """Give every frame back."""
        if self.space is not None:
            self._forget_descriptors()
            self.space.destroy()
        self.vm.destroy()

    # --- as data -------------------------------------------------------------------------------

    def data(self) -> dict[str, Any]:
        """What `snapshot` returns; the guest is not on the processor."""
        state = self.vm.state()
        state.pop("map")
        return {
            "memory": self.vm.read(0, self.vm.ram_size),
            "vm": state,
            "patches": self.patches.state(),
            "age": self.gates.machine.cycles - self.born,
            "end": self.end,
            "value": self.value,
        }

    def load(self, data: dict[str, Any]) -> None:
        """Be as it was; the guest is not on the processor."""
        vm = self.vm
        if not isinstance(data, dict) or "memory" not in data:
            raise MachineError(
                f"{type(data).__name__} is no snapshot of a guest; take one with vm.snapshot()"
            )
        if len(data["memory"]) != vm.ram_size:
            raise MachineError(
                f"the snapshot has {len(data['memory']):,} bytes of memory, {self.name} {vm.ram_size:,}"
            )
        self._forget_descriptors()
        vm.write(0, data["memory"])
        vm.restore_state({**data["vm"], "map": vm.map.state()})
        memory: MemoryMap = vm.map
        for word, value in memory.root.items():
            vm._c[word] = value
        vm.flush_tlb()  # it leads to the frames of whoever was saved
        vm._a.forget_addresses()
        self.patches.restore(data["patches"])
        self.end, self.value, self.on_record = data["end"], data["value"], True
        self.born = self.gates.machine.cycles - data["age"]
        self._words = self._control_words()
        self.space.flush()

    def state(self) -> Any:
        return {**super().state(), "domain": (self.paused, self.end, self.value, self.born, self.used)}

    def restore_state(self, state: Any) -> None:
        """Go back with the host."""
        DirectExecution.restore(self, state)
        self.paused, self.end, self.value, self.born, self.used = state["domain"]
