"""The arrays of one machine, and the handle through which the core finds them."""

from __future__ import annotations

import copy
import re

import numpy as np

from ..errors import ConfigurationError
from . import jit
from .handles import DECODE_WORDS, ROW_ROOM, ROW_WORDS
from .layout import (
    ATTRIBUTES,
    BLOCK_DTYPE,
    BLOCK_ROOM,
    CPU_DTYPE,
    CPU_WORDS,
    DEVICE_BYTES,
    DEVICE_WORDS,
    FAST_DTYPE,
    FAST_EMPTY,
    FAST_ROWS,
    GENERATION,
    H_ALL_FAST,
    H_ALL_LINKS,
    H_BLOCKS,
    H_BREAKPOINTS,
    H_BUCKETS,
    H_CODE_USED,
    H_COSTS,
    H_CPU,
    H_CPUS,
    H_DECODE,
    H_DEVICE_BYTES,
    H_DEVICES,
    H_FAST,
    H_FIRMWARE,
    H_LINKS,
    H_PAGE_BLOCKS,
    H_PAGE_CODE,
    H_PAGE_FLAGS,
    H_PORTS,
    H_RAM,
    H_RAM_END,
    H_RAM_SIZE,
    H_REGIONS,
    H_ROWS,
    H_SHOWN,
    H_TLB,
    H_TRACE,
    H_TRACE_CPU,
    H_TRACE_ROOM,
    H_UNITS,
    H_UOPS,
    H_WATCHES,
    HANDLE_WORDS,
    HASH_ROOM,
    LINK_DTYPE,
    LINK_ENTRIES,
    MAX_BREAKPOINTS,
    MAX_REGIONS,
    PAGE,
    ROM_SIZE,
    TLB_DTYPE,
    TLB_ROWS,
    UOP_DTYPE,
    UOP_ROOM,
)

SMALLEST_RAM = 64 << 10
LARGEST_RAM = 3584 << 20  # above lies what devices and firmware claim
TRACE_WORDS = 1 << 17
MOST_PROCESSORS = 33  # of one memory: the machine's, and virtual ones
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?\s*", re.IGNORECASE)


def parse_size(text: str | int) -> int:
    """Bytes of a RAM size such as ``"64MiB"``, ``"640K"`` or 1048576."""
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ConfigurationError(f'ram={text!r} is not a size; write ram="64MiB", or a number of bytes')
    if isinstance(text, int):
        size = text
    else:
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ConfigurationError(
                f'ram={text!r} is not a size; write a number and KiB, MiB or GiB: "64MiB"'
            )
        size = int(float(match[1]) * _UNITS[match[2].upper()])
    if not SMALLEST_RAM <= size <= LARGEST_RAM:
        raise ConfigurationError(f"ram={text!r} is {size:,} bytes; a machine has between 64 KiB and 3584 MiB")
    if size % PAGE:
        raise ConfigurationError(
            f"ram={text!r} is {size:,} bytes, which is no multiple of a page; take {size - size % PAGE:,}"
        )
    return size


class Arrays:
    """Everything the core reads and writes. All memory is NumPy's; the handle has pointers.

    What describes memory is shared by all processors that reach it: RAM, its pages' flags, decoded
    code. The fast paths and links of all lie in one piece each, so that whoever changes a page
    finds them; `beside` makes the arrays of a further processor.
    """

    def __init__(
        self,
        ram: int,
        cpus: int,
        costs: np.ndarray,
        tables: tuple[np.ndarray, np.ndarray],
        firmware: bool = False,
    ) -> None:
        places = ram + ROM_SIZE if firmware else ram
        try:
            self.ram = np.zeros(places, np.uint8)
        except MemoryError as error:
            raise ConfigurationError(
                f"this computer has no room for {ram:,} bytes of RAM; ask for less"
            ) from error
        pages = places // PAGE
        self.page_flags = np.zeros(pages, np.uint8)
        self.page_code = np.zeros(pages, np.uint64)
        self.page_blocks = np.zeros(pages, np.uint32)
        self.uops = np.zeros(UOP_ROOM, UOP_DTYPE)
        self.blocks = np.zeros(BLOCK_ROOM, BLOCK_DTYPE)
        self.buckets = np.zeros(HASH_ROOM, np.uint32)
        self.code_used = np.ones(2, np.uint64)
        self.all_fast = np.zeros((MOST_PROCESSORS, FAST_ROWS), FAST_DTYPE)
        self.all_links = np.zeros((MOST_PROCESSORS, LINK_ENTRIES), LINK_DTYPE)
        self.members: dict[int, Arrays] = {}  # by their first row in those two
        self.costs = costs
        self.ram_size = ram
        decode, rows = tables
        self.decode = np.zeros(DECODE_WORDS, np.uint64)
        self.decode[: len(decode)] = decode
        self.rows = np.zeros(ROW_ROOM * ROW_WORDS, np.uint64)  # the decoder keeps scratch words behind
        self.rows[: len(rows)] = rows
        self._processor(cpus)
        self.handle = self._handle(ram)
        self.forget_addresses()

    def _processor(self, cpus: int) -> None:
        """What is a processor's own, and its platform's; it becomes a member of the group."""
        first = next((i for i in range(MOST_PROCESSORS) if i not in self.members), MOST_PROCESSORS)
        if first + cpus > MOST_PROCESSORS:
            raise ConfigurationError(
                f"a machine has room for {MOST_PROCESSORS} processors, virtual ones included; "
                "destroy a virtual machine first"
            )
        self.members[first] = self
        self.words = np.zeros((cpus, CPU_WORDS), np.uint64)
        self.tlb = np.zeros((cpus, TLB_ROWS), TLB_DTYPE)
        self.fast = self.all_fast[first : first + cpus]
        self.links = self.all_links[first : first + cpus]
        self.ports = np.zeros(65536, np.uint8)
        self.devices = np.zeros(DEVICE_WORDS, np.uint64)
        self.device_bytes = np.zeros(DEVICE_BYTES, np.uint8)
        self.regions = np.zeros(2 * MAX_REGIONS, np.uint64)
        self.breakpoints = np.zeros(MAX_BREAKPOINTS, np.uint64)
        self.watches = np.zeros(4 * MAX_BREAKPOINTS, np.uint64)
        self.trace = np.zeros(TRACE_WORDS, np.uint64)
        self.trace_cpu = np.zeros(CPU_WORDS, np.uint64)

    def beside(self, size: int, firmware: int) -> Arrays:
        """The arrays of one more processor on the same memory, with devices of its own. It is shown
        `size` bytes of it, and so much firmware, by nested tables."""
        other = copy.copy(self)
        other._processor(1)
        other.handle = other._handle(int(self.handle[H_RAM_END]))
        other.handle[H_SHOWN], other.handle[H_FIRMWARE] = size, firmware
        other.ram_size = size
        other.forget_addresses()
        self._count_members()
        return other

    def leave(self) -> None:
        """The end of a processor that came beside another."""
        self.members.pop(next(first for first, member in self.members.items() if member is self))
        self._count_members()

    def _count_members(self) -> None:
        for member in self.members.values():
            member.handle[H_CPUS] = 1 + max(self.members)

    @property
    def processors(self) -> np.ndarray:
        """The rows as named fields."""
        return self.words.view(CPU_DTYPE)[:, 0]

    @property
    def ram_pages(self) -> np.ndarray:
        return self.ram.reshape(-1, PAGE)

    def forget_addresses(self) -> None:
        """Drop what is derived from translations: the fast path, and links to blocks."""
        self.fast["read"] = FAST_EMPTY
        self.fast["write"] = FAST_EMPTY
        self.links["linear"] = FAST_EMPTY
        self.words[:, GENERATION] += np.uint64(1)

    def forget_writable(self) -> None:
        """Make the next store to each page take the slow path, which looks at its flags."""
        for member in self.members.values():
            member.fast["write"] = FAST_EMPTY

    def _handle(self, ram: int) -> np.ndarray:
        h = np.zeros(HANDLE_WORDS, np.uint64)
        for slot, array in (
            (H_CPU, self.words),
            (H_RAM, self.ram),
            (H_PAGE_FLAGS, self.page_flags),
            (H_PAGE_CODE, self.page_code),
            (H_PAGE_BLOCKS, self.page_blocks),
            (H_FAST, self.fast),
            (H_TLB, self.tlb),
            (H_UOPS, self.uops),
            (H_BLOCKS, self.blocks),
            (H_BUCKETS, self.buckets),
            (H_LINKS, self.links),
            (H_ALL_FAST, self.all_fast),
            (H_ALL_LINKS, self.all_links),
            (H_CODE_USED, self.code_used),
            (H_PORTS, self.ports),
            (H_REGIONS, self.regions),
            (H_COSTS, self.costs),
            (H_BREAKPOINTS, self.breakpoints),
            (H_DECODE, self.decode),
            (H_ROWS, self.rows),
            (H_TRACE, self.trace),
            (H_TRACE_CPU, self.trace_cpu),
            (H_WATCHES, self.watches),
            (H_DEVICES, self.devices),
            (H_DEVICE_BYTES, self.device_bytes),
        ):
            h[slot] = array.ctypes.data
        h[H_RAM_SIZE] = len(self.ram)
        h[H_RAM_END] = h[H_SHOWN] = ram
        h[H_FIRMWARE] = len(self.ram) - ram
        h[H_CPUS] = len(self.words)
        h[H_TRACE_ROOM] = TRACE_WORDS
        return h

    def connect(self, addresses: dict[str, int]) -> None:
        """Put the entry points of the units into the handle."""
        for name, address in addresses.items():
            self.handle[H_UNITS + jit.UNITS[name].slot] = address
        if not self.handle[H_UNITS + jit.UNIT_DEVICES]:
            raise ConfigurationError("nobody answers for devices; import pyvirt_edu.devices first")


def segment_ends(row: np.ndarray, segment: int, writable: bool) -> None:
    """READ_END and WRITE_END of an expand-up segment, as segment_cache.py has them."""
    from .layout import LIMIT, READ_END, WRITE_END

    readable = int(row[ATTRIBUTES + segment]) & 0x80
    end = int(row[LIMIT + segment]) + 1 if readable else 0
    row[READ_END + segment] = end
    row[WRITE_END + segment] = end if writable else 0
