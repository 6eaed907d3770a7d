"""The symbol table of an ELF file: which function an address is in (System V ABI, "Symbol Table")."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from ..machine.errors import ImageError

SYMTAB, FUNCTION, UNTYPED, UNDEFINED = 2, 2, 0, 0


class Symbols:
    """Addresses by name, and names by address.

    >>> symbols = Symbols.of(sprout.image())
    >>> symbols["kernel_main"]                                  # doctest: +SKIP
    >>> symbols.at(m.cpu.eip)                                   # doctest: +SKIP
    """

    def __init__(self, addresses: dict[str, int], code: tuple[int, int]) -> None:
        self.addresses, self.code = addresses, code
        pairs = sorted((address, name) for name, address in addresses.items() if code[0] <= address < code[1])
        self._starts = [address for address, _ in pairs]
        self._names = [name for _, name in pairs]

    @classmethod
    def of(cls, image: str | Path | bytes) -> Symbols:
        """Those of a 32-bit little-endian ELF; an image without a symbol table is refused."""
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
        if data[:6] != b"\x7fELF\x01\x01":
            raise ImageError(
                "not a 32-bit little-endian ELF: only such a file has symbols that are read here"
            )
        offset, size, count = *struct.unpack_from("<I", data, 32), *struct.unpack_from("<HH", data, 46)
        sections = [struct.unpack_from("<10I", data, offset + i * size) for i in range(count)]
        tables = [section for section in sections if section[1] == SYMTAB]
        if not tables:
            raise ImageError("this ELF was stripped: it has no symbol table")
        executable = [s for s in sections if s[2] & 4 and s[3]]
        code = min(s[3] for s in executable), max(s[3] + s[5] for s in executable)
        _, _, _, _, at, length, link, *_ = tables[0]
        names = sections[link][4]
        found = {}
        for entry in range(at, at + length, 16):
            name, value, _, info, _, section = struct.unpack_from("<IIIBBH", data, entry)
            if name and section != UNDEFINED and info & 15 in (FUNCTION, UNTYPED):
                end = data.index(b"\0", names + name)
                found[data[names + name : end].decode()] = value
        return cls(found, code)

    def __getitem__(self, name: str) -> int:
        return self.addresses[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.addresses)

    def at(self, address: int) -> str | None:
        """The function that an address is in; None outside the code."""
        if not self.code[0] <= address < self.code[1]:
            return None
        n = bisect_right(self._starts, address) - 1
        return self._names[n] if n >= 0 else None
