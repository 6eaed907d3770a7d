"""With CR0.NE clear an x87 error comes as IRQ 13, and a write to port F0h lets go of it."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble

from .lab import Ports
from .test_one_machine import by_slices, by_steps, by_trace, same

# The program divides by zero with that exception unmasked; everything that happens is told on
# port E9h. The handler tells the status word and what is in service, and ends it all.
PROGRAM = """
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7000
    mov eax, cr0
    and eax, 0xffffffd1         ; no NE, EM, TS and MP
    mov cr0, eax
    mov al, 0x11
    out 0x20, al
    out 0xa0, al
    mov al, 0x08
    out 0x21, al
    mov al, 0x70
    out 0xa1, al
    mov al, 4
    out 0x21, al
    mov al, 2
    out 0xa1, al
    mov al, 1
    out 0x21, al
    out 0xa1, al
    mov al, 0xfb                ; the cascade and IRQ 13
    out 0x21, al
    mov al, 0xdf
    out 0xa1, al
    mov word [0x1d4], handler   ; vector 75h
    mov word [0x1d6], 0
    sti
    fninit
    mov word [0x6000], 0x037b   ; division by zero is not masked
    fldcw [0x6000]
    mov bl, 2
again:
    fld1
    fldz
    fdivp st1, st0
    mov al, 'd'                 ; nothing yet: the error waits
    out 0xe9, al
    fwait
    nop
    nop
    mov al, 'w'
    out 0xe9, al
    fstp st0
    fninit
    fldcw [0x6000]
    dec bl
    jnz again
    mov word [0x6000], 0x037f   ; masked: no interrupt
    fldcw [0x6000]
    fld1
    fldz
    fdivp st1, st0
    fwait
    mov al, 'e'
    out 0xe9, al
    mov al, 0
    out 0xf4, al
hang:
    jmp hang
handler:
    push ax
    mov al, 'I'
    out 0xe9, al
    mov al, 0x0b                ; what the second chip serves
    out 0xa0, al
    in al, 0xa0
    out 0xe9, al
    fnstsw ax
    and al, 0x84
    out 0xe9, al
    mov al, 0
    out 0xf0, al
    mov al, 0x0a                ; what it is asked for: no longer this
    out 0xa0, al
    in al, 0xa0
    and al, 0x20
    out 0xe9, al
    fnclex
    mov al, 0x20
    out 0xa0, al
    out 0x20, al
    pop ax
    iret
"""
TOLD = b"dI\x20\x84\x00w" * 2 + b"e"


def guest() -> Machine:
    m = Machine(ram="1MiB")
    m.load(assemble(PROGRAM, bits=16, origin=0x7C00), at=0x7C00)
    m.cpu.cs, m.cpu.ip = 0, 0x7C00
    return m


@pytest.fixture(scope="module")
def whole() -> Machine:
    m = guest()
    assert m.run(max_instructions=10_000).reason == "exit"
    assert m.console.output == TOLD
    return m


CONFIGURATION = """
config_interface: textconfig
display_library: rfb, options="timeout=0"
romimage: file={bios}
vgaromimage: file={vga_bios}
megs: 16
floppya: 1_44={floppy}, status=inserted
boot: floppy
port_e9_hack: enabled=1
sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
speaker: enabled=1, mode=none
log: {log}
"""


def test_as_on_bochs(tmp_path: Path, whole: Machine) -> None:
    """Not on QEMU: version 7.2 aborts itself when the x87 raises IRQ 13."""
    folder = Path("/usr/share/seabios")
    bios, vga_bios = folder / "bios.bin", folder / "vgabios-stdvga.bin"
    if shutil.which("bochs") is None or not bios.exists():
        pytest.skip("bochs and seabios are not installed: no comparison")
    sector = assemble(PROGRAM, bits=16, origin=0x7C00).ljust(510, b"\0") + b"\x55\xaa"
    assert len(sector) == 512
    floppy, log, settings = (tmp_path / name for name in ("floppy.img", "log", "bochsrc"))
    floppy.write_bytes(sector.ljust(1440 * 1024, b"\0"))
    settings.write_text(CONFIGURATION.format(bios=bios, vga_bios=vga_bios, floppy=floppy, log=log))
    (tmp_path / "rc").write_text("c\n")  # where it is built with a debugger
    command = ["bochs", "-q", "-f", str(settings), "-rc", str(tmp_path / "rc")]
    said, nothing = tmp_path / "said", subprocess.DEVNULL
    with (
        said.open("wb") as out,
        subprocess.Popen(command, stdin=nothing, stdout=out, stderr=nothing) as bochs,
    ):
        for _ in range(600):  # it does not end by itself
            if bochs.poll() is not None or said.read_bytes().endswith(b"we"):
                break
            time.sleep(0.1)
        bochs.kill()
    assert said.read_bytes()[-len(TOLD) :] == TOLD


@pytest.mark.parametrize("way", [by_steps, by_slices, by_trace])
def test_however_it_is_run(way: Callable[[Machine], None], whole: Machine) -> None:
    m = guest()
    way(m)
    assert same(m, whole)
    assert m.console.output == TOLD


def test_rewinding(whole: Machine) -> None:
    m = guest()
    m.run()
    m.back(m.instructions)
    m.run(max_instructions=40)
    m.back(20)
    m.run()
    assert same(m, whole)


def test_the_port_lets_go_of_the_line() -> None:
    """Once it has, a waiting instruction does not ask again before the error is cleared (IGNNE#)."""
    p = Ports()
    m = p.m
    m.load(bytes.fromhex("d9e8 d9ee def9 9b 9b dbe2".replace(" ", "")), at=0x3000)  # 1 / 0, FWAIT twice
    m.cpu.cr0 &= ~0x2E
    m.load(bytes.fromhex("dbe3 d92e0060".replace(" ", "")), at=0x2FFA)  # FNINIT, FLDCW
    m.write(0x6000, b"\x7b\x03")

    def asked() -> int:
        p.out(0xA0, 0x0A)
        return p.inb(0xA0) & 0x20

    def run(ip: int, count: int) -> None:
        m.cpu.cs, m.cpu.eip = 0, ip
        m.step(count)

    run(0x2FFA, 5)
    assert not asked()  # the error waits for the next instruction of the x87
    run(0x3006, 1)
    assert asked()
    p.out(0xF0, 0)
    assert not asked()
    run(0x3007, 1)
    assert not asked()
    run(0x3008, 1)  # FNCLEX
    run(0x3000, 4)
    assert asked()
    m.reset()
    assert not asked()


def test_a_machine_without_the_board_goes_on() -> None:
    m = Machine(ram="1MiB", devices=())
    code = "fninit\nfldcw [0x6000]\nfld1\nfldz\nfdivp st1, st0\nfwait\nsti\nnop\nhlt"
    m.load(assemble(code, bits=16, origin=0x1000), at=0x1000)
    m.write(0x6000, b"\x7b\x03")
    m.cpu.cs, m.cpu.ds, m.cpu.ip = 0, 0, 0x1000
    assert m.run(max_instructions=100).reason == "halt"
    assert m.instructions == 9
