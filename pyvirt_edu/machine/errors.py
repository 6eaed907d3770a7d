"""What can go wrong outside the guest: each error names the cause and the remedy.

Faults of the guest are never Python errors; they are delivered to the guest, or end a run
with an `Exit`.
"""

from __future__ import annotations


class MachineError(Exception):
    """The base of all errors of a machine. The machine stays usable."""


class ConfigurationError(MachineError, ValueError):
    """A machine that cannot be built as asked: RAM size, number of processors."""


class AddressError(MachineError, ValueError):
    """An address outside RAM, or one that no page table maps."""


class RegisterError(MachineError, ValueError):
    """A value that a register cannot hold."""


class RewindError(MachineError):
    """There is nothing to rewind to."""


class SnapshotError(MachineError):
    """A snapshot that is corrupt, foreign, or of another machine."""


class ImageError(MachineError, ValueError):
    """A kernel, disk or firmware image that cannot be used as asked."""
