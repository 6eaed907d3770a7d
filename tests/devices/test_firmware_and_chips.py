"""A BIOS nobody here wrote finds its chips: clock, keyboard and screen under SeaBIOS."""

from __future__ import annotations

from pathlib import Path

import pytest

from pyvirt_edu import Machine

FOLDER = Path("/usr/share/seabios")
BIOS, VGA_BIOS = FOLDER / "bios.bin", FOLDER / "vgabios-stdvga.bin"
SECOND = 200_000_000


@pytest.fixture
def m() -> Machine:
    if not (BIOS.exists() and VGA_BIOS.exists()):
        pytest.skip("SeaBIOS is not installed (Debian's package seabios)")
    m = Machine(ram="32MiB")
    m.load_firmware(BIOS, VGA_BIOS)
    return m


def run_until(m: Machine, text: str, seconds: int) -> bool:
    for _ in range(10 * seconds):
        m.run(max_cycles=SECOND // 10)
        if text in m.screen.text:
            return True
    return False


def test_escape_opens_the_boot_menu(m: Machine) -> None:
    assert run_until(m, "Press ESC for boot menu.", 5)
    m.keyboard.press("esc")
    assert run_until(m, "Select boot device:", 3)
    assert m.screen.cursor is not None


def test_ctrl_alt_delete_resets(m: Machine) -> None:
    """The BIOS's keyboard interrupt sees the three keys and resets the machine."""
    assert run_until(m, "No bootable device", 10)
    before = m.instructions
    m.keyboard.press("ctrl", "alt", "delete")
    for _ in range(20):
        out = m.run(max_cycles=SECOND // 10)
        if out.reason == "reset":
            break
    assert out.reason == "reset" and m.instructions > before
    assert run_until(m, "Press ESC for boot menu.", 5)


def test_the_bios_data_area_has_the_time_of_day(m: Machine) -> None:
    """40:6C counts 18.2 ticks a second since midnight, and goes on."""
    assert run_until(m, "Booting", 8)
    first = int.from_bytes(m.read(0x46C, 4), "little")
    m.run(max_cycles=2 * SECOND)
    second = int.from_bytes(m.read(0x46C, 4), "little")
    assert second - first in (36, 37)
    assert int.from_bytes(m.read(0x413, 2), "little") in range(630, 641)  # base memory
