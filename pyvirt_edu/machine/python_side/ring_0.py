"""What software in ring 0 could do, done by Python: hypervisors are written with it.

Segments and control registers are loaded by the units that do it for the guest, so what the
processor refuses is refused here. Nothing costs cycles but what says so.
"""

from __future__ import annotations

from ..costs import CostModel
from ..decode.operations import OP_JMPF, OP_LLDT, OP_LTR, OP_MOV_TO_CR, OP_MOV_TO_DR, OP_MOV_TO_SEGMENT
from ..decode.uops import AS_PROTECTED, MANNER
from ..errors import MachineError, RegisterError
from ..exits import VECTOR_NAMES
from ..memory.hostaccess_ops import HOST_FLUSH_FAST, HOST_FLUSH_TLB, HOST_LOAD_SEGMENT_REAL
from ..registers import CPU
from ..state.arrays import Arrays
from ..state.layout import (
    A20_MASK,
    A20_OPEN,
    ATTENTION,
    CPL,
    CR0,
    CS,
    CYCLES,
    DELIVERED_AT,
    EVENT,
    GENERATION,
    INTERRUPT_LINE,
    NESTED_ROOT,
    NMI_PENDING,
    PLACE_MASK,
    RIP,
    SHADOW,
    T0,
)
from .checks import amount, within
from .device_claims import DeviceClaims
from .stops import Stops

DEVICE_READ, DEVICE_WRITE = 0, 1  # operations of the devices' unit (devices/bus.py)


class Ring0(DeviceClaims, Stops):
    """``cpu``: the registers by name; assigning loads them. Needs ``costs``, the price list."""

    costs: CostModel

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self.cpu = CPU(self)

    # --- registers -------------------------------------------------------------------

    def _refuse(self, name: str, value: int, event: int) -> None:
        if event:
            fault = VECTOR_NAMES.get(event & 0xFF, f"exception {event & 0xFF}")
            raise RegisterError(
                f"{name} = {value:#x}: the processor refuses it with {fault}, error code "
                f"{self._c[EVENT + 1]:#x}; {name} keeps its value"
            )

    def _as_ring_0(self, name: str, unit: str, value: int, a: int, b: int, immediate: int = 0) -> None:
        cpl, rip = self._c[CPL], self._c[RIP]
        self._poke(((CPL, 0),))
        event = self._core(unit, ((T0, value),), a, b, immediate)
        self._poke(((CPL, cpl), (RIP, rip)))
        self._refuse(name, value, event)

    def _load_segment(self, name: str, number: int, selector: int) -> None:
        if number >= 6:
            op = OP_LLDT if name == "ldtr" else OP_LTR
            if not self._c[CR0] & 1:
                raise RegisterError(
                    f"{name} can be loaded in protected mode only; the machine is in real mode"
                )
            self._as_ring_0(name, "assist_system", selector, op, 2 | AS_PROTECTED << MANNER)
        elif not self._c[CR0] & 1:
            self._core("host_access", (), HOST_LOAD_SEGMENT_REAL, number, selector)
        elif number == CS:  # a far jump, but EIP stays, whatever the new limit
            rip = self._c[RIP]
            event = self._core("assist_transfer", (), OP_JMPF, 4, selector << 32)
            self._poke(((RIP, rip),))
            self._refuse(name, selector, event)
        else:
            packed = 2 | number << 24
            event = self._core("assist_transfer", ((T0, selector),), OP_MOV_TO_SEGMENT, packed, 0)
            self._poke(((SHADOW, 0),))
            self._refuse(name, selector, event)

    def _move_to(self, name: str, kind: str, number: int, value: int) -> None:
        op = OP_MOV_TO_CR if kind == "cr" else OP_MOV_TO_DR
        self._as_ring_0(name, "assist_system", value, op, 4 | number << 24)

    # --- interrupts and the A20 gate -------------------------------------------------

    def inject(self, vector: int, error_code: int | None = None) -> None:
        """Raise an external interrupt; with an error code, deliver an exception at once.

        The interrupt is delivered when the guest can take it (IF set, no shadow).
        """
        vector = within("vector", vector, 8)
        if error_code is not None:
            self._deliver(vector, within("error_code", error_code, 32))
            return
        line = self._c[INTERRUPT_LINE]
        if line:
            raise MachineError(
                f"interrupt {line & 0xFF} is still waiting to be delivered; run the guest until it takes it"
            )
        self._poke(((INTERRUPT_LINE, 0x100 | vector), (ATTENTION, 1)))

    def inject_nmi(self) -> None:
        """Raise a non-maskable interrupt."""
        self._poke(((NMI_PENDING, 1), (ATTENTION, 1)))

    @property
    def interrupt_pending(self) -> bool:
        """Whether an injected interrupt has not been delivered yet."""
        return bool(self._c[INTERRUPT_LINE] or self._c[NMI_PENDING])

    @property
    def delivered_at(self) -> int:
        """The clock when the last exception or interrupt began to be delivered."""
        return self._c[DELIVERED_AT]  # type: ignore[no-any-return]

    @property
    def a20(self) -> bool:
        """The A20 gate: closed, bit 20 of every physical address reads as 0."""
        return bool(self._c[A20_MASK] >> 20 & 1)

    @a20.setter
    def a20(self, on: bool) -> None:
        mask = A20_OPEN if on else A20_OPEN & ~(1 << 20)
        place = A20_OPEN if self._c[NESTED_ROOT] else mask
        self._poke(((A20_MASK, mask), (PLACE_MASK, place), (GENERATION, self._c[GENERATION] + 1)))
        if self._c[NESTED_ROOT]:  # there the gate is below the tables that the TLB holds
            self._host(self._handle, HOST_FLUSH_TLB, 0, 0)
        self._host(self._handle, HOST_FLUSH_FAST, 0, 0)
        self._a.forget_addresses()

    # --- ports and time --------------------------------------------------------------

    def port_in(self, port: int, size: int = 1) -> int:
        """Read a port as IN would: the device sees it, the clock is charged its price.

        Ports claimed in Python (`on_port`, `claim_port`) cannot be read this way.
        """
        self._port_access(port, size)
        return self._core_value("device_access", DEVICE_READ, port | size << 16, 0) & (1 << 8 * size) - 1

    def port_out(self, port: int, value: int, size: int = 1) -> None:
        """Write a port as OUT would."""
        self._port_access(port, size)
        self._core_value("device_access", DEVICE_WRITE, port | size << 16, within("value", value, 8 * size))

    def _port_access(self, port: int, size: int) -> None:
        port = within("port", port, 16)
        if size not in (1, 2, 4):
            raise ValueError(f"size={size!r}: a port access has 1, 2 or 4 bytes")
        if any(number in self._ports for number in range(port, port + size)):
            raise MachineError(f"port {port:#x} is claimed in Python: ask the function that answers there")
        self.charge(self.costs.port)

    def charge(self, cycles: int) -> None:
        """Let the clock run on, for work that was done in Python but would take a processor time."""
        self._poke(((CYCLES, self._c[CYCLES] + amount("cycles", cycles)), (ATTENTION, 1)))
