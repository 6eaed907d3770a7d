"""tiny2 prints the same on bare metal, in ring 1 under a monitor, and changed to make hypercalls."""

from __future__ import annotations

import functools
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.guests.tiny import ORIGIN, program, text_range
from pyvirt_edu.guests.tiny.para import para_program
from pyvirt_edu.hypervisor.hypercalls import Hypercalls
from pyvirt_edu.hypervisor.trap_and_emulate import TrapAndEmulate

TEXT = text_range(program("tiny2"))
DISK = b"a text of thirty-two characters!".ljust(1 << 20, b"\0")


@functools.cache
def assembled(text: str) -> bytes:
    return bytes(assemble(text, bits=32, origin=ORIGIN))


def machine(image: bytes) -> Machine:
    m = Machine(ram="8MiB")
    m.boot(image, disk=DISK)
    return m


def bare() -> Machine:
    m = machine(program("tiny2"))
    assert m.run(max_instructions=10_000_000).reason == "halt"
    return m


def test_bare() -> None:
    assert bare().console.text.splitlines() == [
        "tiny2: up",
        "tiny2: the clock ticks",
        "tiny2: the disk says a text of thirty-two characters!",
        "tiny2: one page, two frames",
        "tiny2: 128 pages more",
        "program: hello from ring 3",
        "program: five ticks",
        "tiny2: done",
    ]


def test_trap_and_emulate() -> None:
    m = machine(program("tiny2"))
    monitor = TrapAndEmulate(m, TEXT)
    assert monitor.gates.run(max_instructions=10_000_000).reason == "halt"
    assert m.console.text == bare().console.text
    exits = {reason: account.exits for reason, account in monitor.meter.accounts.items()}
    assert exits["interrupt"] >= 3
    assert exits["lgdt"] == exits["ltr"] == 1  # LIDT comes behind MOV SS: both in one exit
    assert exits["insw"] == 1
    assert exits["popfd"] == exits["pushfd"] == 10  # the line about the disk is printed in three pieces


def test_popf_fails_silently() -> None:
    """Without the patch interrupts stay off after the first CLI, and nothing says so."""
    m = machine(program("tiny2"))
    monitor = TrapAndEmulate(m)
    assert monitor.gates.run(max_instructions=1_000_000).reason == "limit"
    assert m.console.text.splitlines() == ["tiny2: up"]
    assert monitor.pending
    assert not monitor.virtual_if


@pytest.mark.skipif(shutil.which("qemu-system-i386") is None, reason="needs qemu-system-i386")
def test_qemu_prints_the_same(tmp_path: Path) -> None:
    kernel, disk, serial = tmp_path / "tiny2", tmp_path / "disk", tmp_path / "serial"
    kernel.write_bytes(program("tiny2"))
    disk.write_bytes(DISK)
    qemu = subprocess.Popen(
        ["qemu-system-i386", "-kernel", kernel, "-drive", f"file={disk},format=raw"]
        + ["-m", "8", "-display", "none", "-serial", f"file:{serial}"]
    )
    try:
        end = time.monotonic() + 20
        while time.monotonic() < end and not (serial.exists() and b"done" in serial.read_bytes()):
            time.sleep(0.1)
    finally:
        qemu.kill()
        qemu.wait()
    assert serial.read_text().splitlines() == bare().console.text.splitlines()


def test_para_virtual() -> None:
    m = machine(para_program())
    hypervisor = Hypercalls(m)
    assert hypervisor.gates.run(max_instructions=10_000_000).reason == "halt"
    assert m.console.text == bare().console.text
    exits = {reason: account.exits for reason, account in hypervisor.meter.accounts.items()}
    assert exits["console_io"] == 10
    assert not any(reason.startswith(("exception", "crash")) for reason in exits)


def test_the_ledger_is_the_clock() -> None:
    """Cycles in the ledger and cycles outside make up the whole time."""
    m = machine(program("tiny2"))
    monitor = TrapAndEmulate(m, TEXT)
    monitor.gates.run(max_instructions=10_000_000)
    assert 0 < monitor.meter.cycles < m.cycles
    priced = sum(monitor.meter.prices[p] * n for p, n in monitor.meter.primitives().items())
    assert priced < monitor.meter.cycles  # the rest: gates, stubs and IRET, executed


def test_runs_alike_in_slices() -> None:
    whole = machine(program("tiny2"))
    TrapAndEmulate(whole).gates.run(max_instructions=30_000)
    sliced = machine(program("tiny2"))
    monitor = TrapAndEmulate(sliced)
    while sliced.instructions < whole.instructions:
        monitor.gates.run(max_instructions=min(997, whole.instructions - sliced.instructions))
    assert (sliced.instructions, sliced.cycles) == (whole.instructions, whole.cycles)
    assert sliced.digest() == whole.digest()


# Kernels of the same rung that the monitor has not seen.
IN_RING_0_ONLY = """
    org 0x100000
    bits 32
    dd 0x1badb002, 0x00010000, -(0x1badb002 + 0x00010000)
    dd 0x100000, 0x100000, 0, 0, start
start:  mov esp, 0x130000
    lgdt [gdt_pointer]
    jmp 0x30:reload             ; selectors of its own choice
reload: mov ax, 0x38
    mov ds, ax
    mov es, ax
    mov ss, ax
    lidt [idt_pointer]
    mov al, 0x11
    out 0x20, al
    mov al, 0x20
    out 0x21, al
    mov al, 4
    out 0x21, al
    mov al, 1
    out 0x21, al
    mov al, 0xfe
    out 0x21, al
    mov al, 0x34
    out 0x43, al
    mov al, 0xa9
    out 0x40, al
    mov al, 0x04
    out 0x40, al
    sti
sleep:  hlt                     ; counts ticks without a program
    cmp dword [ticks], 3
    jb sleep
spin:   cmp dword [ticks], 6
    jb spin
    ud2                         ; its own handler goes on behind it
    mov al, [marks]
    add al, '0'
    mov dx, 0x3f8
    out dx, al
    cli
    hlt
timer:  inc dword [ticks]
    push eax
    mov al, 0x20
    out 0x20, al
    pop eax
    iretd
invalid: inc dword [marks]
    add dword [esp], 2
    iretd
    align 4
ticks:  dd 0
marks:  dd 0
gdt:    times 6 dq 0
    dq 0x00cf9b000000ffff
    dq 0x00cf93000000ffff
gdt_pointer: dw gdt_pointer - gdt - 1
    dd gdt
idt:    times 6 dq 0
    dw invalid - 0x100000, 0x30, 0x8e00, 0x10
    times 25 dq 0
    dw timer - 0x100000, 0x30, 0x8e00, 0x10
idt_pointer: dw idt_pointer - idt - 1
    dd idt
"""


def test_a_kernel_the_monitor_has_not_seen() -> None:
    image = assembled(IN_RING_0_ONLY)
    alone = Machine(ram="8MiB")
    alone.boot(image)
    assert alone.run(max_instructions=10_000_000).reason == "halt"
    m = Machine(ram="8MiB")
    m.boot(image)
    monitor = TrapAndEmulate(m)
    assert monitor.gates.run(max_instructions=10_000_000).reason == "halt"
    assert m.console.text == alone.console.text == "1"
    exits = {reason: account.exits for reason, account in monitor.meter.accounts.items()}
    assert exits["hlt"] >= 3
    assert exits["exception 6"] == 1
