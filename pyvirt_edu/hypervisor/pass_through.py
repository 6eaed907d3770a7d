"""A guest's ports, done on the machine's own devices by its monitor: good for one guest, not for two."""

from __future__ import annotations

from .meter import Meter
from .virtual_machine import VirtualMachine


def pass_ports_through(vm: VirtualMachine, meter: Meter) -> None:
    """From now on each port access of the guest is one of the monitor."""
    vm.on_port(0, meter.port_in, meter.port_out, 1 << 16)
