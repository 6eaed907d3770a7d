"""`Machine` as readers know it: the bare machine of machine/ in the PC of devices/."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import devices as _devices  # noqa: F401 it registers its units
from .machine.bare_machine import BareMachine
from .machine.costs import CostModel
from .machine.errors import ConfigurationError
from .machine.exits import Exit
from .machine.state.arrays import parse_size

if TYPE_CHECKING:
    from datetime import datetime

    from .devices.console import Console
    from .devices.disk import Disk
    from .devices.keys import Keyboard
    from .devices.network import Network
    from .devices.screen import Screen

Image = str | Path | bytes
SMALLEST_PC = 1 << 20
SWITCHED_ON = "2026-01-01T00:00:00"  # always the same moment, so that runs repeat


class Machine(BareMachine):
    """An x86 computer: a 32-bit processor of the P6 family, RAM, and the devices of a PC.

    >>> m = Machine(ram="1MiB", devices=())                       # without the devices
    >>> m.load(b"\\xb8\\x2a\\x00\\x00\\x00\\xf4", at=0x10000)    # mov eax, 42; hlt
    >>> m.enter_protected_mode(eip=0x10000, esp=0x90000)
    >>> m.run().reason, m.cpu.eax
    ('halt', 42)
    """

    def __init__(
        self,
        ram: str | int = "64MiB",
        *,
        cpus: int = 1,
        devices: tuple[Any, ...] | None = None,
        costs: CostModel | None = None,
        history: bool = True,
        date: str | datetime = SWITCHED_ON,
        disk: Image | Disk | None = None,
    ) -> None:
        pc = devices is None
        size = parse_size(ram)
        if pc and size < SMALLEST_PC:
            raise ConfigurationError(
                f"ram={ram!r}: a PC has at least 1 MiB; ask for more, or for devices=() without its chips"
            )
        super().__init__(size, cpus=cpus, devices=devices or (), costs=costs, history=history, firmware=pc)
        if pc:
            from .devices.platform import PC

            self._pc = PC(self, date)
            self._platform = self._pc
            self._pump = self._pc.pump
            self.reset()
        if disk is not None:
            self.attach_disk(disk)

    def _part(self, name: str) -> Any:
        if self._platform is None:
            raise ConfigurationError(
                f"this machine was made with devices=() and has no {name}; make it without that"
            )
        return getattr(self._pc, name)

    @property
    def console(self) -> Console:
        """The terminal at the serial port, and what comes out of port E9h."""
        return self._part("console")  # type: ignore[no-any-return]

    @property
    def screen(self) -> Screen:
        """The VGA text screen."""
        return self._part("screen")  # type: ignore[no-any-return]

    @property
    def keyboard(self) -> Keyboard:
        """The PS/2 keyboard."""
        return self._part("keyboard")  # type: ignore[no-any-return]

    @property
    def network(self) -> Network:
        """The other end of the network card's cable."""
        return self._part("network")  # type: ignore[no-any-return]

    @property
    def disks(self) -> list[Disk | None]:
        """The hard disks: 0 and 1 on the first IDE channel, 2 and 3 on the second."""
        return self._part("drives").disks  # type: ignore[no-any-return]

    def attach_disk(self, image: Image | Disk, drive: int = 0, mode: str = "overlay") -> Disk:
        """Connect a hard disk: an image file, bytes, or a `Disk`.

        With mode "overlay" what the guest writes stays in the machine, with "read-write" it goes
        to the file, with "read-only" the drive refuses it. The history begins anew.
        """
        from .devices.disk import Disk

        drives = self._part("drives")
        disk = image if isinstance(image, Disk) else Disk(image, mode)
        drives.attach(disk, drive)
        self._due = self._history.start(None)
        return disk

    @property
    def floppies(self) -> list[Disk | None]:
        """The floppy disks in drives 0 and 1."""
        return self._part("floppies").disks  # type: ignore[no-any-return]

    def attach_floppy(self, image: Image | Disk, drive: int = 0, mode: str = "overlay") -> Disk:
        """Put a floppy disk into a drive: an image of 160K to 2.88M. The modes are `attach_disk`'s.

        A disk that is in the drive comes out: it can be put in again, or closed. The history
        begins anew.
        """
        disk: Disk = self._part("floppies").attach(image, drive, mode)
        self._due = self._history.start(None)
        return disk

    def load_firmware(self, bios: Image, vga_bios: Image | None = None) -> None:
        """Put a BIOS at the end of the address space, and a VGA BIOS into the display adapter's
        ROM; then reset, so that the next instruction is the BIOS's first."""
        self._part("board").load_firmware(bios, vga_bios)
        self.reset()

    def back(self, n: int = 1) -> Exit:
        out = super().back(n)
        if self._platform is not None:
            self._pc.console.rewound()
        return out

    def boot(
        self,
        image: Image,
        append: str = "",
        initrd: Image | list[tuple[bytes, str]] | None = None,
        disk: Image | Disk | None = None,
        *,
        format: str | None = None,
        keep: int = 0,
    ) -> str:
        """Reset, load a kernel or disk image, and stand at its first instruction.

        ``append`` is the command line, ``initrd`` a file or bytes (for multiboot: the modules, as
        pairs of contents and text), ``disk`` the first hard disk. A disk image with a boot sector
        becomes the first disk itself, or the floppy in drive 0 if it has a floppy's size, and the
        machine stands at the first instruction of its BIOS. The kernel is not told of the last ``keep``
        bytes of RAM, which a hypervisor needs for itself. Returns the format: one of guests.boot.FORMATS.
        """
        from .guests.boot import boot

        if not 0 <= keep < self.ram_size or keep % 4096:
            raise ConfigurationError(f"keep={keep}: whole pages of 4096 bytes, and less than all of RAM")
        self.reset()
        self.offered_ram = self.ram_size - keep
        if disk is not None:
            self.attach_disk(disk)
        return boot(self, image, append, initrd, format, self._boot_from_disk)

    def _boot_from_disk(self, data: bytes, name: str) -> None:
        from .devices.floppies import is_floppy
        from .guests.firmware import find_firmware

        bios, vga_bios = find_firmware()
        floppies = self._part("floppies")
        floppies.boots_first = is_floppy(len(data))
        if floppies.boots_first:
            self.attach_floppy(data)
        else:
            self.attach_disk(data)
        self.load_firmware(bios, vga_bios)
