"""Unicorn on the same kernels."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from .kernels import BASE, CONSOLE, RAM, STACK, Console, Kernel

NAME = "Unicorn"


def missing(place: Path | None) -> str:
    """Why it cannot be measured; empty if it can."""
    if importlib.util.find_spec("unicorn") is None:
        return 'it is not installed; pip install "pyvirt-edu[test]"'
    return ""


def run(kernel: Kernel, n: int) -> Console:
    import unicorn
    from unicorn import x86_const as x86

    console = Console()
    engine = unicorn.Uc(unicorn.UC_ARCH_X86, unicorn.UC_MODE_32)
    engine.mem_map(0, RAM)
    engine.mem_write(BASE, kernel.blob(n))
    engine.reg_write(x86.UC_X86_REG_ESP, STACK)

    def port_out(uc: Any, port: int, size: int, value: int, data: Any) -> None:
        if port == CONSOLE:
            console.put(value)
        elif port == 0xF4:
            uc.emu_stop()

    def port_in(uc: Any, port: int, size: int, data: Any) -> int:
        return (1 << 8 * size) - 1

    engine.hook_add(unicorn.UC_HOOK_INSN, port_out, None, 1, 0, x86.UC_X86_INS_OUT)
    engine.hook_add(unicorn.UC_HOOK_INSN, port_in, None, 1, 0, x86.UC_X86_INS_IN)
    engine.emu_start(BASE, 0xFFFF_FFFF)
    return console
