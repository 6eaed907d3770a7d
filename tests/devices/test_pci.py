"""PCI configuration space, what its registers do, and firmware images."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyvirt_edu import Machine, assemble
from pyvirt_edu.machine.errors import ImageError
from pyvirt_edu.machine.state.layout import RAM_MAP

from .lab import Ports

HOST, ISA, IDE, DISPLAY, NETWORK = 0, 0x800, 0x900, 0x1000, 0x1800
SEABIOS = Path("/usr/share/seabios")


class Slots(Ports):
    """Configuration mechanism #1."""

    def __init__(self, machine: Machine | None = None) -> None:
        super().__init__(machine or Machine(ram="1MiB"))

    def select(self, where: int) -> None:
        self._do(4, 0xCF8, 1 << 31 | where & ~3)

    def get(self, where: int, size: int = 4) -> int:
        self.select(where)
        if size == 4:
            return self.inl(0xCFC)
        return sum(self.inb(0xCFC + (where & 3) + i) << 8 * i for i in range(size))

    def set(self, where: int, value: int, size: int = 4) -> None:
        self.select(where)
        if size == 4:
            self._do(4, 0xCFC, value)
        else:
            for i in range(size):
                self.out(0xCFC + (where & 3) + i, value >> 8 * i & 0xFF)


@pytest.fixture
def slots() -> Slots:
    return Slots()


def test_who_is_there(slots: Slots) -> None:
    found = {}
    for place in range(0, 0x10000, 0x100):
        if slots.get(place) != 0xFFFF_FFFF:
            found[place] = (slots.get(place), slots.get(place + 8) >> 16)
    assert found == {
        HOST: (0x12378086, 0x0600),
        ISA: (0x70008086, 0x0601),
        IDE: (0x70108086, 0x0101),
        DISPLAY: (0x11111234, 0x0300),
        NETWORK: (0x802910EC, 0x0200),
    }
    assert slots.get(0x10000) == 0xFFFF_FFFF  # there is one bus
    assert slots.get(ISA + 0x0E, 1) == 0x80  # and one device of several functions


def test_the_address_register_takes_32_bits_only(slots: Slots) -> None:
    """82441FX, 3.1: other accesses go through; CF9h is a port of its own (82371SB, 2.5.9)."""
    slots.select(NETWORK)
    slots.out(0xCF8, 0x55)
    assert slots.inl(0xCF8) == 1 << 31 | NETWORK
    assert slots.inb(0xCF8) == 0xFF
    slots.out(0xCF9, 2)
    assert slots.inb(0xCF9) == 2
    assert slots.inl(0xCF8) == 1 << 31 | NETWORK
    assert [slots.inb(0xCFC + i) for i in range(4)] == [0xEC, 0x10, 0x29, 0x80]
    assert slots.m.port_in(0xCFE, 2) == 0x8029
    slots._do(4, 0xCF8, NETWORK)  # without the enable bit
    assert slots.inl(0xCFC) == 0xFFFF_FFFF


def test_identities_cannot_be_written(slots: Slots) -> None:
    for place in (HOST, ISA, IDE, DISPLAY, NETWORK):
        before = slots.get(place), slots.get(place + 8)
        slots.set(place, 0xFFFF_FFFF)
        slots.set(place + 8, 0)
        assert (slots.get(place), slots.get(place + 8)) == before


def test_ports_move_with_their_base_address(slots: Slots) -> None:
    assert slots.inb(0xC00A) == 0x50  # as firmware would leave it
    slots.set(NETWORK + 0x10, 0xFFFF_FFFF)
    assert slots.get(NETWORK + 0x10) == 0xFFFF_FFE1  # 32 ports
    slots.set(NETWORK + 0x10, 0x6100)
    assert slots.inb(0x610A) == 0x50 and slots.inb(0xC00A) == 0xFF
    seen = slots.m.snapshot()
    slots.set(NETWORK + 4, 0, 2)
    assert slots.inb(0x610A) == 0xFF
    slots.m.restore(seen)
    assert slots.inb(0x610A) == 0x50
    slots.m.reset()
    slots = Slots(slots.m)
    assert slots.inb(0xC00A) == 0x50 and slots.inb(0x610A) == 0xFF


def test_a_port_that_is_taken_stays_taken(slots: Slots) -> None:
    slots.set(NETWORK + 0x10, 0x3E0)  # the serial port lies in the middle
    slots.out(0x3FF, 0x5A)
    assert slots.inb(0x3FF) == 0x5A
    slots.set(NETWORK + 0x10, 0x6100)
    assert slots.inb(0x3FF) == 0x5A


def test_interrupt_routing(slots: Slots) -> None:
    """82371SB, 2.2.9: a PIRQ register names the line; bit 7 disconnects."""
    base = 0xC000
    slots.out(base, 0x22)
    slots.out(base + 15, 0x40)
    slots.out(base, 0x0A)  # a remote DMA of no bytes is complete at once: bit 6 of ISR
    assert slots.inb(base + 7) & 0x40
    assert slots.m.port_in(0xA0) & 8  # IRQ 11
    slots.set(ISA + 0x62, 10, 1)
    assert slots.m.port_in(0xA0) & 0x0C == 4
    slots.set(ISA + 0x62, 0x8A, 1)
    assert slots.m.port_in(0xA0) & 0x0C == 0
    slots.set(ISA + 0x62, 5, 1)
    assert slots.m.port_in(0x20) & 0x20
    slots.out(base + 7, 0x40)
    assert slots.m.port_in(0x20) & 0x20 == 0


def rom(m: Machine, code: bytes = b"") -> bytes:
    """A BIOS of 128 KiB whose bytes say where they are."""
    image = b"".join(bytes([i >> 12]) * 4096 for i in range(0, 0x20000, 4096))
    start = assemble("jmp 0xf000:0xe000", bits=16, origin=0xFFF0)
    image = image[:0x1E000] + code.ljust(0x1000, b"\xf4") + image[0x1F000:-16] + start.ljust(16, b"\0")
    m.load_firmware(image)
    return image


def test_pam_registers() -> None:
    """82441FX, 3.2.17: each region reads and writes ROM or RAM."""
    m = Machine(ram="1MiB")
    rom(m, assemble("mov ax, cs\nmov ds, ax\nmov bl, [0]\nmov byte [0], 0x77\nmov bh, [0]\nhlt", bits=16))
    m.run()
    assert m.cpu.bx == 0x1010
    slots = Slots(m)
    assert m._c[RAM_MAP] == 0
    slots.set(HOST + 0x59, 0x20, 1)  # reads ROM, writes RAM
    run_at(m, "mov byte [0], 0x77\nmov bl, [0]")
    assert m.cpu.bl == 0x10
    slots.set(HOST + 0x59, 0x30, 1)
    run_at(m, "mov bl, [0]\nmov byte [0], 0x78")
    assert m.cpu.bl == 0x77
    slots.set(HOST + 0x59, 0x10, 1)  # RAM, write protected
    run_at(m, "mov byte [0], 0x79\nmov bl, [0]")
    assert m.cpu.bl == 0x78
    slots.set(HOST + 0x59, 0xFF, 1)
    assert slots.get(HOST + 0x59, 1) == 0x30
    for register, bits in ((0x5A, 0), (0x5B, 4), (0x5C, 8), (0x5D, 12), (0x5E, 16), (0x5F, 20)):
        slots.set(HOST + register, 0x21, 1)
        assert m._c[RAM_MAP] >> bits & 15 == 0b1001
    m.reset()
    assert m._c[RAM_MAP] == 0


def run_at(m: Machine, code: str) -> None:
    """A few instructions with DS = F000, from low RAM."""
    m.load(assemble(code + "\nhlt", bits=16), at=0x2000)
    m.cpu.cs, m.cpu.ds, m.cpu.ip = 0, 0xF000, 0x2000
    m.run()


def test_without_firmware_everything_is_ram() -> None:
    m = Machine(ram="1MiB")
    run_at(m, "mov byte [0], 0x77\nmov bl, [0]")
    assert m.cpu.bl == 0x77 and m.read(0xF0000, 1) == b"\x77"


def test_the_rom_of_the_display() -> None:
    m = Machine(ram="1MiB")
    slots = Slots(m)
    slots.set(DISPLAY + 0x30, 0xFFFF_FFFE)
    assert slots.get(DISPLAY + 0x30) == 0  # there is none
    option = b"\x55\xaa" + bytes(range(256)) * 8
    m.load_firmware(b"\xf4" * 0x10000, option)
    slots = Slots(m)
    slots.set(DISPLAY + 0x30, 0xFFFF_FFFE)
    assert slots.get(DISPLAY + 0x30) == 0xFFFF_0000
    slots.set(DISPLAY + 0x30, 0xE000_0001)
    slots.set(DISPLAY + 4, 2, 2)
    seen = m.snapshot()
    assert big_read(m, 0xE000_0000) == int.from_bytes(option[:4], "little")
    slots.set(DISPLAY + 0x30, 0xE100_0001)
    assert big_read(m, 0xE000_0000) == 0xFFFF_FFFF
    assert big_read(m, 0xE100_0002) == int.from_bytes(option[2:6], "little")
    m.restore(seen)
    assert big_read(m, 0xE000_0000) == int.from_bytes(option[:4], "little")


def big_read(m: Machine, address: int) -> int:
    seen = m.snapshot()
    m.load(assemble(f"mov eax, [{address:#x}]\nhlt", bits=32), at=0x2000)
    m.enter_protected_mode(eip=0x2000, esp=0x9000)
    m.run()
    value = int(m.cpu.eax)
    m.restore(seen)
    return value


def test_images_that_are_no_firmware(tmp_path: Path) -> None:
    m = Machine(ram="1MiB")
    with pytest.raises(ImageError, match="64 KiB to 1 MiB"):
        m.load_firmware(bytes(1000))
    with pytest.raises(ImageError, match="cannot read the BIOS image"):
        m.load_firmware(tmp_path / "nothing")
    with pytest.raises(ImageError, match="55 AA"):
        m.load_firmware(bytes(0x10000), bytes(512))


def boot_sector() -> bytes:
    code = "mov si, 0x7c10\nmov ah, 0x0e\nnext: lodsb\nout 0xe9, al\nint 0x10\ncmp al, 0\njne next\ncli\nhlt"
    return (assemble(code, bits=16, origin=0x7C00).ljust(16, b"\xf4") + b"from the disk\0").ljust(
        510, b"\0"
    ) + b"\x55\xaa"


@pytest.mark.parametrize("bios", ["bios.bin", "bios-256k.bin"])
def test_seabios_boots_a_disk(bios: str) -> None:
    """From the reset vector: memory size, PCI, option ROM, drives, boot sector."""
    if not (SEABIOS / bios).exists():
        pytest.skip(f"{SEABIOS / bios} is not installed: no test with it")
    m = Machine(ram="16MiB")
    m.attach_disk(boot_sector() + bytes(63 * 512))
    said = bytearray()
    m.on_port(0x402, read=lambda port, size: 0xE9, write=lambda port, value, size: said.append(value))
    m.load_firmware(SEABIOS / bios, SEABIOS / "vgabios-stdvga.bin")
    out = m.run(max_instructions=100_000_000)
    assert out.reason == "halt", said.decode()
    assert "RamSize: 0x01000000" in said.decode()
    assert "PYVIRT HARDDISK ATA-4 Hard-Disk" in said.decode()
    assert m.console.debug.startswith("from the disk")
    assert "SeaBIOS" in m.screen.text and "from the disk" in m.screen.text
    seen, end = m.digest(), m.instructions
    m.back(1_000_000)
    m.run()
    assert (m.digest(), m.instructions) == (seen, end)
