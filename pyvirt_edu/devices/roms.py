"""The board: firmware images, what they are mapped to, and what they would have set up.

A BIOS lies at the end of the 4 GiB, and its last 128 KiB below 1 MiB until the host bridge shows
RAM there. A display adapter's BIOS is behind its ROM base address register. A machine without
firmware begins as firmware would leave it: RAM everywhere, cards at ports, interrupts routed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ..machine.bare_machine import BareMachine
from ..machine.errors import ImageError
from ..machine.state.layout import PAGE, RAM_MAP, ROM_SIZE
from .layout import CLAIM_NIC, OP_PCI_CONFIG, PCI_BYTES, SERVICE_PCI
from .pci import (
    COMMAND,
    COMMAND_MEMORY,
    DISPLAY,
    MASKS,
    NIC_PORT_COUNT,
    NIC_PORTS,
    PAM0,
    ROM_BAR,
)

Image = str | os.PathLike[str] | bytes
SMALLEST_ROM, LARGEST_OPTION_ROM = 64 << 10, 64 << 10
ROM_WINDOW = LARGEST_OPTION_ROM
NETWORK_PORTS, NETWORK_LINE = 0xC000, 11

#: Writes to configuration space that make the cards usable: device and function << 8 | register.
CONFIGURATION = (
    *((PAM0 + i, 0x33) for i in range(7)),
    *((0x0860 + i, line) for i, line in enumerate((0x80, 0x80, NETWORK_LINE, 0x80))),
    (0x0904, 1),
    (0x1004, 3),
    (0x1811, NETWORK_PORTS >> 8),
    (0x183C, NETWORK_LINE),
    (0x1804, 1),
)


def load_image(image: Image, what: str) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    try:
        return Path(image).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read the {what} {image}: {error.strerror or error}") from error


class Board:
    bits = SERVICE_PCI

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine
        self._bios = False
        self._display_rom = b""
        self._window = 0  # where the ROM is mapped

    def load_firmware(self, bios: Image, vga_bios: Image | None) -> None:
        code = load_image(bios, "BIOS image")
        if not SMALLEST_ROM <= len(code) <= ROM_SIZE or len(code) % PAGE:
            raise ImageError(
                f"a BIOS image has 64 KiB to 1 MiB in whole pages; this one has {len(code):,} bytes"
            )
        option = load_image(vga_bios, "VGA BIOS image") if vga_bios is not None else b""
        if option and (option[:2] != b"\x55\xaa" or len(option) > LARGEST_OPTION_ROM):
            raise ImageError(
                "a VGA BIOS image begins with 55 AA and has up to 64 KiB; this one has "
                f"{len(option):,} bytes and begins with {option[:2].hex(' ').upper()}"
            )
        machine = self._machine
        machine._put(machine.ram_size, code.rjust(ROM_SIZE, b"\xff"))
        self._bios = True
        self._display_rom = option.ljust(ROM_WINDOW, b"\xff") if option else b""

    # --- reset -------------------------------------------------------------------------

    def reset(self) -> None:
        a = self._machine._a
        self._claim_ports()
        if self._display_rom:
            mask = MASKS + 256 * DISPLAY + ROM_BAR
            a.device_bytes[mask : mask + 4] = memoryview(
                (0x1_0000_0001 - ROM_WINDOW & 0xFFFF_FFFF).to_bytes(4, "little")
            )
        if self._bios:
            self._machine._c[RAM_MAP] = 0
        else:
            for where, value in CONFIGURATION:
                self._machine._core_silently("card_access", (), OP_PCI_CONFIG, where, value)
        a.forget_addresses()
        self._map()

    # --- where the display's ROM is ------------------------------------------------------

    def _map(self) -> None:
        """Let the ROM answer where its base address register says."""
        space = PCI_BYTES + 256 * DISPLAY
        data = self._machine._a.device_bytes[space : space + 256].tobytes()
        bar = int.from_bytes(data[ROM_BAR : ROM_BAR + 4], "little")
        base = bar & ~1 if bar & 1 and data[COMMAND] & COMMAND_MEMORY and self._display_rom else 0
        if base == self._window:
            return
        if self._window:
            self._machine.release_mmio(self._window)
        self._window = 0
        if base >= self._machine.ram_size and base < 0xFFF0_0000:
            self._machine.on_mmio(base, ROM_WINDOW, read=self._read)
            self._window = base

    def _read(self, address: int, size: int) -> int:
        offset = address - self._window
        return int.from_bytes(self._display_rom[offset : offset + size], "little")

    def serve(self, bits: int) -> None:
        self._map()

    # --- snapshots ---------------------------------------------------------------------

    def state(self) -> Any:
        return None

    def restore(self, state: Any) -> None:
        """Ports and addresses are claimed as the registers say that have just been put back."""
        self._claim_ports()
        self._map()

    def _claim_ports(self) -> None:
        a = self._machine._a
        a.ports[a.ports == CLAIM_NIC] = 0
        base = int(a.devices[NIC_PORTS])
        if base:
            free = a.ports[base : base + NIC_PORT_COUNT]
            free[free == 0] = CLAIM_NIC
