"""An exact x86 machine, to learn virtualization on.

>>> from pyvirt_edu import Machine, assemble
>>> m = Machine(ram="1MiB", devices=())
>>> m.load(assemble("mov eax, 6\\nimul eax, eax, 7\\nhlt", bits=32), at=0x10000)
>>> m.enter_protected_mode(eip=0x10000, esp=0x90000)
>>> m.run().reason
>>> m.cpu.eax

Names are looked up when they are first used (PEP 562): `import pyvirt_edu` loads neither
Numba nor NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .computer import Machine as Machine
    from .machine.assembler import AssemblyError as AssemblyError
    from .machine.assembler import assemble as assemble
    from .machine.assembler.disassembler import disassemble as disassemble
    from .machine.costs import CostModel as CostModel
    from .machine.costs import Ledger as Ledger
    from .machine.exits import Exit as Exit

#: Public name: the module that has it.
_EXPORTS = {
    "AssemblyError": "machine.assembler",
    "CostModel": "machine.costs",
    "Exit": "machine.exits",
    "Ledger": "machine.costs",
    "Machine": "computer",
    "assemble": "machine.assembler",
    "disassemble": "machine.assembler.disassembler",
}

__all__ = ["AssemblyError", "CostModel", "Exit", "Ledger", "Machine", "assemble", "disassemble"]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{module}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
