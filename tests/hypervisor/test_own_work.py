"""What a guest does by itself, counted against programs whose numbers are known."""

from __future__ import annotations

from pyvirt_edu import CostModel, Machine, assemble
from pyvirt_edu.hypervisor.own_work import own_work

PROGRAM = """
    bits 16
    xor ax, ax
    mov ss, ax
    mov sp, 0x8000
    mov word [0x80 * 4], handler
    mov [0x80 * 4 + 2], cs
    in al, 0x21
    mov dx, 0x1f0
    mov cx, 5
    rep insw                ; five accesses
    out 0x80, al
    o32 in eax, dx
    int 0x80
    int 0x80
    hlt
handler: iret
"""


def machine(costs: CostModel | None = None) -> Machine:
    m = Machine(ram="1MiB", costs=costs)
    m.load(assemble(PROGRAM, bits=16, origin=0x7C00), at=0x7C00)
    m.cpu.cs, m.cpu.eip = 0, 0x7C00
    return m


def test_counts_and_changes_nothing() -> None:
    whole, stepped = machine(), machine()
    whole.run()
    counts, out = own_work(stepped, lambda: stepped.run(max_instructions=1), monitored=False)
    assert counts == {"port access": 8, "INT entry": 2, "IRET": 2}
    assert out.reason == "halt"
    assert stepped.digest() == whole.digest()


def test_the_counts_are_what_a_price_moves() -> None:
    cheap, dear = machine(), machine(CostModel(port=1300, iret=60, gate=80))
    cheap.run()
    dear.run()
    assert dear.cycles - cheap.cycles == 8 * 1000 + 2 * 10 + 2 * 20
