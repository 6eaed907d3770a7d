"""What a guest is to be: checked when it is said, so that errors name what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..computer import SMALLEST_PC, Image
from ..machine.errors import ConfigurationError, MachineError
from ..machine.state.arrays import parse_size
from ..machine.state.layout import PAGE

if TYPE_CHECKING:
    from ..devices.disk import Disk


@dataclass(frozen=True)
class DomainConfig:
    """A guest: its name, its memory, and what it boots, as `Machine.boot` takes it.

    ``silent`` is a range of the kernel's code in which POPF and its like are found and replaced: in
    ring 1 they treat the interrupt flag wrongly and nobody is told.

    >>> DomainConfig("web", kernel=b"\\xf4", memory="16MiB").pages
    4096
    """

    name: str
    kernel: Image
    memory: str | int = "16MiB"
    append: str = ""
    initrd: Image | list[tuple[bytes, str]] | None = None
    disk: Image | Disk | None = None
    format: str | None = None
    silent: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            raise ConfigurationError(f'name={self.name!r}: a guest has a name, for example "web"')
        try:
            size = parse_size(self.memory)
        except (MachineError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{self.name}: memory={self.memory!r}: {error}") from error
        if size < SMALLEST_PC or size % PAGE:
            raise ConfigurationError(
                f"{self.name}: memory={self.memory!r}: whole pages of 4096 bytes, and 1 MiB at least"
            )
        self._image("kernel", self.kernel)
        for what, image in (("initrd", self.initrd), ("disk", self.disk)):
            if isinstance(image, str | Path | bytes):
                self._image(what, image)
        start, end = self.silent
        if not 0 <= start <= end <= size:
            raise ConfigurationError(
                f"{self.name}: silent=({start:#x}, {end:#x}) is no range of its {size:#x} bytes of memory"
            )

    def _image(self, what: str, image: Any) -> None:
        if isinstance(image, bytes | bytearray):
            if not image:
                raise ConfigurationError(f"{self.name}: {what} is empty; give a file's name or its bytes")
        elif not isinstance(image, str | Path):
            raise ConfigurationError(
                f"{self.name}: {what} is a file's name or its bytes, not {type(image).__name__}"
            )
        elif not Path(image).is_file():
            raise ConfigurationError(f"{self.name}: {what}={str(image)!r}: there is no such file")

    @property
    def pages(self) -> int:
        return parse_size(self.memory) // PAGE
