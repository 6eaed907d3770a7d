"""One processor for tests that call functions of the core directly."""

from __future__ import annotations

import numpy as np

from pyvirt_edu.machine.state import layout

u64 = np.uint64


class Bench:
    """A handle with nothing behind it but one processor."""

    def __init__(self) -> None:
        self.row = np.zeros(1, layout.CPU_DTYPE)
        self.handle = np.zeros(layout.HANDLE_WORDS, u64)
        self.handle[layout.H_CPU] = self.row.ctypes.data
        self.m = u64(self.handle.ctypes.data)

    @property
    def words(self) -> np.ndarray:
        return self.row.view(u64)
