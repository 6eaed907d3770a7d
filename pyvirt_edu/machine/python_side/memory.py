"""Memory as Python reads and writes it: physical, and linear through the guest's page tables."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import AddressError
from ..memory.hostaccess_ops import HOST_FLUSH_PAGE, HOST_FLUSH_TLB, HOST_TRANSLATE
from ..state.layout import CR0, CR0_PG, NOTED_ADDRESS, NOTED_SHIFT, PAGE, WALK, WALK_COUNT
from .checks import within
from .inputs import BYTES, Inputs

M32 = 0xFFFF_FFFF
UNMAPPED = 0xFFFF_FFFF_FFFF_FFFF


class Reference(NamedTuple):
    """A paging-structure entry that a walk read: ``shift`` is the lowest address bit that its table
    decides, 12 for a page table, 21 or 22 for a page directory."""

    address: int
    entry: int
    shift: int


class PageWalk(NamedTuple):
    """Where a linear address leads, or None, and what was read to find out (manual 3A, 4.3 and 4.4)."""

    physical: int | None
    references: tuple[Reference, ...]


class Memory(Inputs):
    """No state of its own: RAM is the core's."""

    def _range(self, address: int, size: int, what: str) -> None:
        if not isinstance(address, int) or not isinstance(size, int):
            raise AddressError(f"{what}: address and size are whole numbers, not {address!r}, {size!r}")
        if address < 0 or size < 0 or address + size > self.ram_size:
            raise AddressError(
                f"{what}: {size:,} bytes at {address:#x} do not lie in RAM, which ends at "
                f"{self.ram_size:#x}; use another address, or a machine with more RAM"
            )

    def read(self, address: int, size: int) -> bytes:
        """Bytes of physical memory."""
        self._range(address, size, "read")
        return bytes(self._ram[address : address + size])

    def write(self, address: int, data: bytes) -> None:
        """Write physical memory. Decoded code that lay there is dropped."""
        data = bytes(data)
        self._range(address, len(data), "write")
        self._log(BYTES, (address, data))
        self._put(address, data)

    def load(self, code: bytes, at: int) -> None:
        """Put a program into physical memory."""
        code = bytes(code)
        if isinstance(at, int) and 0 <= at and at + len(code) > self.ram_size:
            need = -(-(at + len(code)) // (1 << 20))
            raise AddressError(
                f"load: a program of {len(code):,} bytes at {at:#x} does not fit into RAM of "
                f'{self.ram_size:,} bytes; make the machine with ram="{max(need, 1)}MiB" or more'
            )
        self.write(at, code)

    # --- linear addresses ------------------------------------------------------------

    def translate(self, linear: int) -> int | None:
        """The physical address that a linear one leads to, or None. Changes nothing."""
        physical = self._host(self._handle, HOST_TRANSLATE, within("address", linear, 32), 0)
        return None if physical == UNMAPPED else int(physical)

    def walk(self, linear: int) -> PageWalk:
        """Each entry that a page walk for a linear address reads, and where it leads.

        Changes nothing: no accessed bit, no TLB entry, no cycle. Without paging nothing is read.
        """
        physical = self.translate(linear)
        count = self._c[WALK_COUNT] if self._c[CR0] & CR0_PG else 0
        noted = self._row[WALK : WALK + 2 * count].tolist()
        references = tuple(
            Reference(word & NOTED_ADDRESS, entry, word >> NOTED_SHIFT & 63)
            for word, entry in zip(noted[::2], noted[1::2])
        )
        return PageWalk(physical, references)

    def _linear_pieces(self, linear: int, size: int, what: str) -> list[tuple[int, int]]:
        pieces = []
        while size > 0:
            part = min(size, PAGE - linear % PAGE)
            physical = self.translate(linear)
            if physical is None:
                raise AddressError(f"{what}: the page tables map nothing at {linear:#010x}")
            self._range(physical, part, what)
            pieces.append((physical, part))
            linear, size = linear + part & M32, size - part
        return pieces

    def read_linear(self, address: int, size: int) -> bytes:
        """Bytes at a linear address, through the page tables as they are now."""
        return b"".join(self.read(*piece) for piece in self._linear_pieces(address, size, "read_linear"))

    def write_linear(self, address: int, data: bytes) -> None:
        """Write at a linear address, all of it or nothing; page protection is not asked."""
        position = 0
        for physical, part in self._linear_pieces(address, len(data), "write_linear"):
            self.write(physical, data[position : position + part])
            position += part

    def flush_tlb(self, linear: int | None = None) -> None:
        """Drop what the TLB holds: all of it, or one page as INVLPG does. Charges nothing."""
        page = None if linear is None else within("linear", linear, 32)
        self._core_value("host_access", HOST_FLUSH_TLB if page is None else HOST_FLUSH_PAGE, page or 0, 0)
