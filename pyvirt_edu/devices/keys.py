"""Keys pressed from Python on the PS/2 keyboard, by name or as text (US layout)."""

from __future__ import annotations

from ..machine.bare_machine import BareMachine
from ..machine.errors import MachineError
from .keyboard import BREAK, KEY_HEAD, KEY_TAIL, TYPED_ROOM
from .layout import OP_KEYBOARD_INPUT

EXTENDED = 0xE0
#: Codes of set 2; 0x1XX: behind the prefix E0.
CODES = {
    **dict(zip("abcdefghijklm", bytes.fromhex("1c322123242b3433433b424b3a"), strict=True)),
    **dict(zip("nopqrstuvwxyz", bytes.fromhex("31444d152d1b2c3c2a1d22351a"), strict=True)),
    **dict(zip("1234567890-=", bytes.fromhex("161e26252e363d3e46454e55"), strict=True)),
    **dict(zip("[]\\;'`,./", bytes.fromhex("545b5d4c520e41494a"), strict=True)),
    "enter": 0x5A, "esc": 0x76, "backspace": 0x66, "tab": 0x0D, "space": 0x29, "caps lock": 0x58,
    "f1": 0x05, "f2": 0x06, "f3": 0x04, "f4": 0x0C, "f5": 0x03, "f6": 0x0B, "f7": 0x83, "f8": 0x0A,
    "f9": 0x01, "f10": 0x09, "f11": 0x78, "f12": 0x07,
    "shift": 0x12, "right shift": 0x59, "ctrl": 0x14, "alt": 0x11, "right ctrl": 0x114, "right alt": 0x111,
    "insert": 0x170, "delete": 0x171, "home": 0x16C, "end": 0x169, "page up": 0x17D, "page down": 0x17A,
    "up": 0x175, "down": 0x172, "left": 0x16B, "right": 0x174,
}  # fmt: skip
SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./", strict=True))
NAMED = {"\n": "enter", "\r": "enter", "\t": "tab", " ": "space", "\b": "backspace", "\x1b": "esc"}


def pressed(name: str) -> bytes:
    """The bytes that a key sends when it is pressed."""
    code = CODES[name]
    return bytes([EXTENDED, code & 0xFF] if code > 0xFF else [code])


def released(name: str) -> bytes:
    code = CODES[name]
    return bytes([EXTENDED, BREAK, code & 0xFF] if code > 0xFF else [BREAK, code])


class Keyboard:
    """The keyboard of a PC.

    >>> m.keyboard.type("Hello\\n")
    >>> m.keyboard.press("ctrl", "alt", "delete")
    """

    def __init__(self, machine: BareMachine) -> None:
        self._machine = machine

    @property
    def waiting(self) -> int:
        """Bytes that the keyboard has still to send."""
        words = self._machine._a.devices
        return int(words[KEY_HEAD] - words[KEY_TAIL])

    def _send(self, codes: bytes) -> None:
        if self.waiting + len(codes) > TYPED_ROOM:
            raise MachineError(
                f"the keyboard has {self.waiting:,} bytes to send already and room for {TYPED_ROOM:,}; "
                "run the machine, so that it gets rid of them"
            )
        for i in range(0, len(codes), 8):
            part = codes[i : i + 8]
            self._machine._tell_devices(OP_KEYBOARD_INPUT, len(part), int.from_bytes(part, "little"))

    def _known(self, names: tuple[str, ...]) -> None:
        for name in names:
            if name not in CODES:
                raise MachineError(f"there is no key {name!r}; there are: {' '.join(sorted(CODES))}")

    def press(self, *names: str) -> None:
        """Press keys one after the other, then release them: ``press("ctrl", "c")``."""
        self._known(names)
        codes = b"".join(pressed(name) for name in names)
        self._send(codes + b"".join(released(name) for name in reversed(names)))

    def hold(self, *names: str) -> None:
        """Press keys and keep them down (they do not repeat by themselves), until `release`."""
        self._known(names)
        self._send(b"".join(pressed(name) for name in names))

    def release(self, *names: str) -> None:
        """Let go of keys that are held."""
        self._known(names)
        self._send(b"".join(released(name) for name in names))

    def type(self, text: str) -> None:
        """Press and release a key for each character."""
        for character in text:
            name = NAMED.get(character, character)
            if name in CODES:
                self.press(name)
            elif name in SHIFTED:
                self.press("shift", SHIFTED[name])
            elif name.lower() in CODES:
                self.press("shift", name.lower())
            else:
                raise MachineError(f"type: a US keyboard has no key for {character!r}")

    def __repr__(self) -> str:
        return f"Keyboard({self.waiting:,} bytes still to send)"
