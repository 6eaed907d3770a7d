"""Ports that a monitor passes through, and what of them is not the guest's to say."""

from __future__ import annotations

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate

BY = {
    "the keyboard controller's command": ("mov al, 0xdd\nout 0x64, al", "mov al, 0xdf\nout 0x64, al"),
    "its output port": (
        "mov al, 0xd1\nout 0x64, al\nmov al, 0xdd\nout 0x60, al",
        "mov al, 0xd1\nout 0x64, al\nmov al, 0xdf\nout 0x60, al",
    ),
    "port 92h": ("mov al, 0\nout 0x92, al", "mov al, 2\nout 0x92, al"),
}


@pytest.mark.parametrize("way", BY)
def test_the_gate_at_a20_is_the_virtual_processors(way: str) -> None:
    """The machine's own stays open: behind it lies the monitor."""
    close, open_again = BY[way]
    text = f"""
        mov dword [0x110000], 0x11111111
        mov dword [0xc000], 0x22222222
        {close}
        mov ebx, [0x10c000]             ; bit 20 reads as 0
        in al, 0x92
        mov dl, al
        {open_again}
        mov ecx, [0x110000]
        in al, 0x92
        cli
        hlt
    """
    found = []
    for monitored in (False, True):
        m = Machine(ram="4MiB")
        m.load(assemble(text, bits=32, origin=0x20000), at=0x20000)
        m.enter_protected_mode(eip=0x20000, esp=0x90000)
        monitor = TrapAndEmulate(m) if monitored else None
        (monitor.gates if monitor else m).run(max_instructions=5000)
        assert m.a20
        if monitor:
            assert monitor.vcpu.halted and monitor.guest.vm.a20
        cpu = monitor.vcpu if monitor else m.cpu
        found.append((cpu.ebx, cpu.ecx, cpu.dl & 2, cpu.al & 2))
    assert found[0] == found[1] == (0x2222_2222, 0x1111_1111, 0, 2)


def test_wide_accesses_reach_the_interrupt_controllers_too() -> None:
    """A word to port 20h is ICW1 and ICW2: the real vectors stay the monitor's."""
    m = Machine(ram="4MiB")
    m.load(assemble("mov ax, 0x3011\nout 0x20, ax\ncli\nhlt", bits=32, origin=0x20000), at=0x20000)
    m.enter_protected_mode(eip=0x20000, esp=0x90000)
    monitor = TrapAndEmulate(m)
    monitor.gates.run(max_instructions=1000)
    assert monitor.ports.bases[0x20] == 0x30 and monitor.ports.vector(0xE3) == 0x33
