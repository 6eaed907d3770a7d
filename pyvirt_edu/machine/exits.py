"""Why `Machine.run` came back."""

from __future__ import annotations

import html
from typing import Any

#: Reasons by the number of the core (layout.EXIT_*).
REASONS = (
    "none",
    "limit",
    "deadline",
    "halt",
    "port-in",
    "port-out",
    "mmio-read",
    "mmio-write",
    "breakpoint",
    "watchpoint",
    "exception",
    "shutdown",
    "trace-full",
    "service",
    "idle",
)

MEANINGS = {
    "limit": "the instruction limit was reached",
    "deadline": "the cycle limit was reached",
    "until": "the condition given as `until` holds",
    "halt": "HLT, and no interrupt is pending: inject one to go on",
    "port-in": "the guest reads a claimed port: set exit.value, then run again",
    "port-out": "the guest has written a claimed port",
    "mmio-read": "the guest reads a claimed address: set exit.value, then run again",
    "mmio-write": "the guest has written a claimed address",
    "breakpoint": "the next instruction has a breakpoint",
    "watchpoint": "the last instruction touched a watched address",
    "exception": "an exception is about to be delivered: deliver() or mend its cause, then run again",
    "exit": "the guest has written its result to port F4h",
    "reset": "the guest has reset the PC: processor and devices stand as after power on",
    "shutdown": "triple fault: the processor has shut down; restore a snapshot, rewind or reset",
    "crash": "the guest did what its hypervisor has no answer to: `why` of its gates says what",
}

VECTOR_NAMES = {
    0: "#DE divide error",
    1: "#DB debug",
    2: "NMI",
    3: "#BP breakpoint",
    4: "#OF overflow",
    5: "#BR bound range exceeded",
    6: "#UD invalid opcode",
    7: "#NM device not available",
    8: "#DF double fault",
    10: "#TS invalid TSS",
    11: "#NP segment not present",
    12: "#SS stack-segment fault",
    13: "#GP general protection",
    14: "#PF page fault",
    16: "#MF x87 error",
    17: "#AC alignment check",
    18: "#MC machine check",
}


class Exit:
    """The exit record: the reason as a word, and what belongs to it.

    ``reason``        one of the keys of `exits.MEANINGS`
    ``eip``           the next instruction
    ``port, address`` of a port or memory access; ``size`` in bytes
    ``value``         what was written, or, set by you, what the guest shall read
    ``vector, error_code``  of an exception
    """

    # Most exits need few of these, and there may be half a million a second: what an exit
    # does not need stays a class attribute.
    address: int | None = None
    size: int | None = None
    value: int | None = None
    vector: int | None = None
    error_code: int | None = None
    linear: int | None = None
    _FIELDS = (
        "reason", "eip", "instructions", "address", "size", "value", "vector", "error_code", "linear",
    )  # fmt: skip

    def __init__(self, reason: str, eip: int, instructions: int) -> None:
        self.reason = reason
        self.eip = eip
        self.instructions = instructions

    @property
    def port(self) -> int | None:
        return self.address if self.reason.startswith("port") else None

    @property
    def status(self) -> int | None:
        """The exit status that QEMU's isa-debug-exit makes of the value written to port F4h."""
        return self.value << 1 | 1 if self.reason == "exit" and self.value is not None else None

    @property
    def meaning(self) -> str:
        return MEANINGS.get(self.reason, "")

    def details(self) -> dict[str, str]:
        """What there is to say, as text by name."""
        rows: dict[str, str] = {"reason": self.reason, "eip": f"{self.eip:#010x}"}
        if self.address is not None:
            rows["port" if self.reason.startswith("port") else "address"] = f"{self.address:#x}"
        if self.linear is not None:
            rows["linear"] = f"{self.linear:#010x}"
        if self.size is not None:
            rows["size"] = str(self.size)
        if self.value is not None:
            rows["value"] = f"{self.value:#x}"
        if self.vector is not None:
            rows["vector"] = f"{self.vector} {VECTOR_NAMES.get(self.vector, '')}".rstrip()
        if self.error_code is not None:
            rows["error_code"] = f"{self.error_code:#x}"
        rows["instructions"] = f"{self.instructions:,}"
        return rows

    def __repr__(self) -> str:
        rows = self.details()
        rows.pop("reason")
        inner = ", ".join(f"{name}={text}" for name, text in rows.items())
        return f"Exit({self.reason!r}, {inner})"

    def _repr_html_(self) -> str:
        cells = "".join(
            f"<tr><th scope='row' style='text-align:left'>{html.escape(name)}</th>"
            f"<td style='text-align:left'><code>{html.escape(text)}</code></td></tr>"
            for name, text in self.details().items()
        )
        return f"<table><caption>Exit: {html.escape(self.meaning)}</caption>{cells}</table>"

    def __eq__(self, other: Any) -> bool:
        if not isinstance(other, Exit):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self._FIELDS)

    __hash__ = None  # type: ignore[assignment]
