"""A monitor that runs an unmodified kernel in ring 1: trap and emulate.

What the kernel may not do there raises #GP; the monitor does it to a virtual processor instead."""

from ..machine.bare_machine import BareMachine
from .direct_execution import DirectExecution
from .guest_fault import GuestFault
from .instructions import FaultingInstruction, fetch
from .pass_through import FIRST_VECTOR, PassThrough
from .takeover import take_over
from .trap_gates import PAUSED, Frame, TrapGates

DEBUG, BREAKPOINT, GP = 1, 3, 13
PROGRAMS = 3  # their ring
SILENT = ("pushfd", "popfd", "iretd", "pushfw", "popfw", "iretw")  # in ring 1 they treat IF wrongly


class TrapAndEmulate:
    def __init__(self, machine: BareMachine, patch: tuple[int, int] = (0, 0)) -> None:
        self.gates = TrapGates(machine, self.handle)
        self.gates.faulted = self.go_on
        self.guest: DirectExecution = take_over(self.gates)
        self.vcpu, self.meter = self.guest.vm.cpu, self.gates.meter  # the processor that the kernel sees
        self.pending = list[int]()  # interrupts that wait
        self.guest.patches.put(*patch, SILENT)
        self.ports = PassThrough(self.guest.vm, self.meter)
        machine.attach("trap and emulate", self)

    @property
    def virtual_if(self) -> bool:
        return self.guest.interrupts

    def handle(self, frame: Frame) -> str:
        """Everything that reaches ring 0. Returns the name of the exit."""
        self.guest.take(frame)
        if frame.vector == BREAKPOINT:
            self.guest.before_breakpoint()
        if frame.ring == PROGRAMS and not self.guest.patches.places:
            self.guest.interrupts = True  # the IRET to there went unseen
        name = self.respond(frame)
        self.go_on(frame)
        return name

    def go_on(self, frame: Frame, fault: GuestFault | None = None) -> None:
        """Put the real processor where the virtual one is; or first, where its handler for a fault is."""
        if fault:
            self.guest.deliver(fault)
        match self.guest.settle(self.pending):
            case "asleep":
                self.gates.halt() if self.virtual_if else self.gates.stop()
            case "busy":
                self.gates.pause()
        self.guest.give(frame)

    def respond(self, frame: Frame) -> str:
        self.meter.decide(4)
        if frame.vector == PAUSED:
            return "interpreted"
        if frame.vector >= FIRST_VECTOR:
            self.pending.append(self.ports.vector(frame.vector))
            return "interrupt"
        found = self.guest.fill(frame)
        if found == "hidden":
            return "#PF hidden"
        if frame.vector == DEBUG:
            self.guest.deliver_debug(frame)
            return "exception 1"
        if frame.vector == GP:
            return self.emulate(fetch(frame, self.guest.vm))
        if frame.vector == BREAKPOINT:
            with self.guest.patches.lifted(self.guest.vm, self.vcpu.eip) as patched:
                if patched:
                    return self.emulate(fetch(frame, self.guest.vm))
        self.guest.interpret()  # it faults there, too: the kernel's own handler is entered
        return found or f"exception {frame.vector}"

    def emulate(self, i: FaultingInstruction) -> str:
        """Do to the virtual processor what the instruction wanted done to the real one."""
        kernel = self.guest.level == 0
        match [i.name, *i.operands]:
            case ["cli"] if kernel:
                self.guest.interrupts = False
            case ["in", *_] if kernel:
                i.put(0, self.ports.read(i.get(1), i.size(0)))
            case ["out", *_] if kernel:
                self.ports.write(i.get(0), i.get(1), i.size(1))
            case ["insb" | "insw" | "insd" | "outsb" | "outsw" | "outsd", *_] if i.string_io():
                return i.name
            case ["invlpg", _]:
                self.guest.interpret()
                self.guest.flush_page(i.linear(0))
                return i.name
            case _:
                self.guest.hide_ring(i)
                self.guest.interpret_load()
                return i.name
        self.meter.decide(8)  # the tree of a decoder
        self.guest.skip(i.length)
        return i.name

    def state(self) -> object:
        return {"pending": list(self.pending), "guest": self.guest.state(), "ports": self.ports.state()}

    def restore(self, state: dict) -> None:  # type: ignore[type-arg]
        self.pending = list(state["pending"])
        self.guest.restore(state["guest"])
        self.ports.restore(state["ports"])
