"""VGA registers (IBM PS/2 hardware interface technical reference, "video subsystem"), and the
screen as text, HTML and SVG."""

from __future__ import annotations

import random
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from pyvirt_edu import Machine
from pyvirt_edu.devices.screen import CODE_PAGE
from pyvirt_edu.machine.errors import ConfigurationError

from .lab import BY_INSTRUCTIONS, Ports, Step, compare

SEQUENCER, GRAPHICS, CRTC, ATTRIBUTE, STATUS = 0x3C4, 0x3CE, 0x3D4, 0x3C0, 0x3DA
FRAME = 449 * 900 / 28_322_000  # seconds


class Vga(Ports):
    def put(self, index_port: int, index: int, value: int) -> None:
        self.out(index_port, index)
        self.out(index_port + 1, value)

    def get(self, index_port: int, index: int) -> int:
        self.out(index_port, index)
        return self.inb(index_port + 1)

    def put_attribute(self, index: int, value: int) -> None:
        self.inb(STATUS)
        self.out(ATTRIBUTE, index, value)


@pytest.fixture
def p() -> Vga:
    return Vga()


def put_text(m: Machine, row: int, column: int, text: str, attribute: int = 7, width: int = 80) -> None:
    cells = b"".join(bytes([CODE_PAGE.index(c), attribute]) for c in text)
    m.write(0xB8000 + 2 * (width * row + column), cells)


# --- the screen -------------------------------------------------------------------------------


def test_text(p: Vga) -> None:
    screen = p.m.screen
    assert (screen.text, screen.mode, screen.columns, screen.rows) == ("", "text", 80, 25)
    put_text(p.m, 0, 0, "Hello")
    put_text(p.m, 24, 75, "äπ░█☺")
    assert screen.text == "Hello" + "\n" * 24 + " " * 75 + "äπ░█☺"
    assert [len(line) for line in screen.lines] == [80] * 25
    assert len(set(CODE_PAGE)) == 255  # 0 and 255 are blanks, but 255 is one of its own


def test_attributes_and_colours(p: Vga) -> None:
    put_text(p.m, 3, 4, "red", 0x1C)
    assert p.m.screen.attributes[3, 4:8].tolist() == [0x1C] * 3 + [0]
    assert p.m.screen.colours[:8] == [
        *("#000000", "#0000aa", "#00aa00", "#00aaaa", "#aa0000", "#aa00aa", "#aa5500", "#aaaaaa")
    ]
    assert p.m.screen.colours[15] == "#ffffff"
    p.out(0x3C8, 0x3C)  # the colour behind attribute 12
    p.out(0x3C9, 63, 0, 21)
    assert p.m.screen.colours[12] == "#ff0055"


def test_cursor(p: Vga) -> None:
    p.put(CRTC, 0x0E, 0x01)
    p.put(CRTC, 0x0F, 0x45)
    assert p.m.screen.cursor == (4, 5)
    p.put(CRTC, 0x0A, 0x20)
    assert p.m.screen.cursor is None
    p.put(CRTC, 0x0A, 0x0D)
    p.put(CRTC, 0x0E, 0x20)
    assert p.m.screen.cursor is None  # outside


def test_start_address_and_wrap(p: Vga) -> None:
    """Scrolling by the CRTC; the window of 32 KiB wraps."""
    put_text(p.m, 2, 0, "third")
    p.put(CRTC, 0x0D, 160)
    assert p.m.screen.text == "third"
    p.put(CRTC, 0x0C, 0x3F)
    p.put(CRTC, 0x0D, 0xB0)
    assert p.m.screen.lines[3].startswith("third")


def test_50_rows_and_40_columns(p: Vga) -> None:
    p.put(CRTC, 0x09, 0x47)
    assert p.m.screen.rows == 50
    p.put(CRTC, 0x11, 0x0E)
    p.put(CRTC, 0x01, 39)
    p.put(CRTC, 0x13, 20)
    put_text(p.m, 1, 0, "second", width=40)
    assert p.m.screen.text == "\nsecond"


def test_graphics_mode(p: Vga) -> None:
    p.put(GRAPHICS, 6, 0x05)
    screen = p.m.screen
    assert (screen.mode, screen.text) == ("graphics", "")
    assert "graphics" in repr(screen) and "graphics" in screen._repr_html_()
    ElementTree.fromstring(screen.svg())


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = ""

    def handle_data(self, data: str) -> None:
        self.found += data


def test_html_and_svg_show_the_same(p: Vga) -> None:
    put_text(p.m, 0, 0, "<b>&amp;", 0x1F)
    put_text(p.m, 1, 10, "plain")
    parser = _Text()
    parser.feed(p.m.screen._repr_html_())
    assert parser.found.split("\n") == p.m.screen.lines
    picture = ElementTree.fromstring(p.m.screen.svg())
    name = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in picture.iter(name + "text")]
    assert texts == ["<b>&amp;", "plain"]
    fills = {element.get("fill") for element in picture.iter(name + "rect")}
    assert "#0000aa" in fills
    assert "<b>&amp;" in repr(p.m.screen)


def test_a_bare_machine_has_no_screen() -> None:
    m = Machine(ram="1MiB", devices=())
    for name in ("screen", "console", "keyboard"):
        with pytest.raises(ConfigurationError, match=f"devices=.. and has no {name}"):
            getattr(m, name)


# --- registers --------------------------------------------------------------------------------


def test_retrace_in_simulated_time(p: Vga) -> None:
    """70 frames a second: bit 3 once a frame for two lines, bit 0 outside of the picture."""
    rises, off, before = 0, 0, 0
    for _ in range(10_000):
        p.wait(10 * FRAME / 10_000)
        status = p.inb(STATUS)
        rises += status & 8 & ~before != 0
        off += status & 1
        before = status
    assert 10 <= rises <= 13  # reading takes time, too
    assert off / 10_000 == pytest.approx(1 - 400 * 720 / (449 * 900), abs=0.01)


def test_attribute_flip_flop(p: Vga) -> None:
    p.put_attribute(0x20 | 0x11, 0x2A)
    p.inb(STATUS)
    p.out(ATTRIBUTE, 0x11)
    assert p.inb(0x3C1) == 0x2A
    p.put_attribute(0x20, 0x3F)  # the palette is in use: closed
    p.put_attribute(0x21, 0x3F)
    p.inb(STATUS)
    p.out(ATTRIBUTE, 0x21)
    assert p.inb(0x3C1) == 1
    p.put_attribute(0x01, 0x3F)
    p.inb(STATUS)
    p.out(ATTRIBUTE, 0x21)
    assert p.inb(0x3C1) == 0x3F


def test_write_protection(p: Vga) -> None:
    """CRTC 11h bit 7 protects 0 to 7, but for bit 4 of 7."""
    assert p.get(CRTC, 0x11) & 0x80
    before = p.get(CRTC, 0), p.get(CRTC, 7)
    p.put(CRTC, 0, 0x12)
    p.put(CRTC, 7, 0xE0)
    assert (p.get(CRTC, 0), p.get(CRTC, 7)) == (before[0], before[1] & 0xEF)
    p.put(CRTC, 0x11, 0x0E)
    p.put(CRTC, 0, 0x12)
    assert p.get(CRTC, 0) == 0x12


def test_colours_are_written_and_read_in_threes(p: Vga) -> None:
    p.out(0x3C8, 10)
    p.out(0x3C9, 1, 2, 0xFF, 4, 5, 6)
    p.out(0x3C7, 10)
    assert p.inb(0x3C7) == 3
    assert [p.inb(0x3C9) for _ in range(6)] == [1, 2, 0x3F, 4, 5, 6]
    assert p.inb(0x3C8) == 12


def test_monochrome_ports(p: Vga) -> None:
    """Miscellaneous output bit 0 moves the CRTC and its status from 3Dxh to 3Bxh."""
    p.out(0x3C2, 0x66)
    assert p.inb(0x3CC) == 0x66
    assert (p.inb(0x3D4), p.inb(0x3DA)) == (0xFF, 0xFF)
    p.put(0x3B4, 0x0F, 0x44)
    p.out(0x3C2, 0x67)
    assert p.get(CRTC, 0x0F) == 0x44


def test_registers_as_on_qemu() -> None:
    rng = random.Random(1987)
    steps: list[Step] = [("out", CRTC, 0x11), ("out", CRTC + 1, 0x0E), ("out", 0x3C2, 0x67)]
    for _ in range(120):
        kind = rng.randrange(5)
        value = rng.randrange(256)
        if kind == 0:
            index = rng.choice([*range(0x0F), 0x10, 0x12, 0x13, 0x14, 0x15, 0x16, 0x18])
            steps += [("out", CRTC, index), ("out", CRTC + 1, value), ("in", CRTC + 1)]
        elif kind == 1:
            steps += [("out", SEQUENCER, rng.choice((1, 2, 3, 4))), ("out", SEQUENCER + 1, value)]
            steps += [("in", SEQUENCER + 1)]
        elif kind == 2:
            steps += [("out", GRAPHICS, rng.choice((0, 1, 2, 3, 4, 7, 8))), ("out", GRAPHICS + 1, value)]
            steps += [("in", GRAPHICS + 1)]
        elif kind == 3:
            steps += [("drop", STATUS), ("out", ATTRIBUTE, rng.randrange(20)), ("out", ATTRIBUTE, value)]
            steps += [("drop", STATUS), ("out", ATTRIBUTE, 0x20 | rng.randrange(20)), ("in", ATTRIBUTE + 1)]
        else:
            steps += [("out", 0x3C8, value), *(("out", 0x3C9, rng.randrange(64)) for _ in range(3))]
            steps += [("in", 0x3C8), ("out", 0x3C7, value), *([("in", 0x3C9)] * 3)]
    compare(steps, "-vga", "std", *BY_INSTRUCTIONS)


def test_mode_3_as_a_bios_leaves_it() -> None:
    """The registers after reset are those that QEMU's VGA BIOS has set."""
    steps: list[Step] = []
    for port, count in ((SEQUENCER, 5), (GRAPHICS, 9), (CRTC, 25)):
        for index in range(count):
            cursor = port == CRTC and index in (0x0E, 0x0F)
            steps += [("out", port, index), ("drop" if cursor else "in", port + 1)]
    for index in range(21):
        steps += [("drop", STATUS), ("out", ATTRIBUTE, 0x20 | index), ("in", ATTRIBUTE + 1)]
    steps += [("in", 0x3CC), ("out", 0x3C7, 0)] + [("in", 0x3C9)] * (3 * 64)
    compare(steps, "-vga", "std")
