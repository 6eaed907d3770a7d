"""The symbol table of an ELF file: which function an address is in (System V ABI, "Symbol Table")."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from ..machine.errors import ImageError
from .debug_files import Image, open_elf

EXECUTABLE = 4  # SHF_EXECINSTR
CODE = {"STT_FUNC", "STT_NOTYPE"}


class Symbols:
    """Addresses by name, and names by address.

    >>> symbols = Symbols.of(sprout.image())
    >>> symbols["kernel_main"]                                  # doctest: +SKIP
    >>> symbols.at(m.cpu.eip)                                   # doctest: +SKIP

    ``variables`` has the addresses of what is no code.
    """

    def __init__(
        self, addresses: dict[str, int], code: list[tuple[int, int]], variables: dict[str, int] | None = None
    ) -> None:
        """``code`` has the first address and the end of every section with instructions."""
        self.addresses, self.code, self.variables = addresses, sorted(code), variables or {}
        pairs = sorted((address, name) for name, address in addresses.items() if self._section(address))
        self._starts = [address for address, _ in pairs]
        self._names = [name for _, name in pairs]

    @classmethod
    def of(cls, image: Image) -> Symbols:
        """Those of a 32-bit little-endian ELF; an image without a symbol table is refused."""
        elf = open_elf(image)
        table: Any = elf.get_section_by_name(".symtab")
        if table is None:
            raise ImageError("this ELF was stripped: it has no symbol table")
        sections = [section for section in elf.iter_sections() if section["sh_flags"] & EXECUTABLE]
        code = [(section["sh_addr"], section["sh_addr"] + section["sh_size"]) for section in sections]
        functions, variables = {}, {}
        for symbol in table.iter_symbols():
            if not symbol.name or symbol["st_shndx"] == "SHN_UNDEF":
                continue
            if symbol["st_info"]["type"] in CODE:
                functions[symbol.name] = symbol["st_value"]
            elif symbol["st_info"]["type"] == "STT_OBJECT":
                variables[symbol.name] = symbol["st_value"]
        return cls(functions, code, variables)

    def __getitem__(self, name: str) -> int:
        return self.addresses[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.addresses)

    def _section(self, address: int) -> tuple[int, int] | None:
        return next((section for section in self.code if section[0] <= address < section[1]), None)

    def place(self, address: int) -> tuple[str, int] | None:
        """The function that an address is in, and how far; None outside the code."""
        section = self._section(address)
        n = bisect_right(self._starts, address) - 1
        if section is None or n < 0 or self._starts[n] < section[0]:
            return None
        return self._names[n], address - self._starts[n]

    def at(self, address: int) -> str | None:
        """The function that an address is in; None outside the code."""
        found = self.place(address)
        return found[0] if found else None
