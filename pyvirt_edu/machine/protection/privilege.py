"""What guards the privileged instructions (manual 3A, 5.9) and the I/O-sensitive ones (1, 19.5)."""

from __future__ import annotations

from ..decode.uops import AS_PROTECTED
from ..memory.segment_cache import is_protected
from ..state.handles import cpu, fault
from ..state.jit import core
from ..state.layout import CPL, EFLAGS, GP, UD


@core
def exists(m, manner):
    """#UD unless the row's instruction exists in this mode."""
    if manner & AS_PROTECTED and not is_protected(m):
        return fault(m, UD, 0)
    return 1


@core
def require_ring_0(m):
    """#GP(0) unless CPL is 0. Real mode counts as ring 0, virtual-8086 mode as ring 3."""
    if cpu(m)[CPL]:
        return fault(m, GP, 0)
    return 1


@core
def io_privilege(m):
    """The I/O privilege level."""
    return (cpu(m)[EFLAGS] >> 12) & 3
