"""`pyvirt run`: start an image, with its serial port on the terminal."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any

from ..machine.errors import MachineError
from ..machine.exits import Exit
from .terminal import Keys, raw_terminal, show

#: Ways to run a guest that are built in later parts of the book.
LATER = {"fullvirt": "part II", "paravirt": "part III", "hvm": "part IV"}
STATUS = {"halt": 0, "limit": 3, "shutdown": 4}  # "exit" has its own
SLICE = 2_000_000  # cycles between two looks at the keyboard
IDLE_SLEEP = 0.01


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("image", help="a kernel (multiboot, bzImage, vmlinux), flat code, or a disk image")
    parser.add_argument(
        "--on", default="bare", metavar="WHAT", help="bare (default), trap, or a package of yours"
    )
    parser.add_argument("--vm", action="append", default=[], metavar="IMAGE", help="one more guest")
    parser.add_argument("--append", default="", metavar="S", help="the kernel's command line")
    parser.add_argument("--initrd", metavar="F", help="an initial RAM disk, or a multiboot module")
    parser.add_argument("--disk", metavar="F", help="image of the first IDE disk; it is not changed")
    parser.add_argument("--floppy", metavar="F", help="image of the first floppy disk; it is not changed")
    parser.add_argument("--format", metavar="FORMAT", help="what the image is, if it does not say: flat")
    parser.add_argument("--memory", default="64M", metavar="SIZE", help="RAM (default: 64M)")
    parser.add_argument("--cpus", type=int, default=1, metavar="N", help="processors (default: 1)")
    parser.add_argument("--max-instructions", type=int, metavar="N", help="stop after so many")
    parser.add_argument("--json", action="store_true", help="print what happened as JSON, at the end")


def _step(machine: Any, keys: Keys | None, interactive: bool, left: int | None) -> Exit:
    """A slice of the run. Somebody who types gets a guest that sleeps when it is idle."""
    if keys is not None and (typed := keys.typed()):
        machine.console.type(typed)
    asleep = machine.idle_cycles
    out = machine.run(max_cycles=SLICE if keys else None, max_instructions=left)
    if interactive and machine.idle_cycles - asleep > SLICE // 2:
        time.sleep(IDLE_SLEEP)
    return out  # type: ignore[no-any-return]


def _run(machine: Any, keys: Keys | None, interactive: bool, most: int | None) -> Exit:
    end = None if most is None else machine.instructions + most
    while True:
        left = None if end is None else max(end - machine.instructions, 0)
        out = _step(machine, keys, interactive, left)
        if out.reason == "reset" or out.reason == "deadline":
            if keys is None or not keys.quit:
                continue
        return out


def _report(machine: Any, out: Exit, kind: str) -> dict[str, Any]:
    ledger = machine.ledger
    return {
        "reason": out.reason,
        "value": out.value if out.reason == "exit" else None,
        "status": status_of(out),
        "format": kind,
        "instructions": machine.instructions,
        "cycles": machine.cycles,
        "idle_cycles": machine.idle_cycles,
        "exits": ledger.exits,
        "console": machine.console.text,
    }


def status_of(out: Exit) -> int:
    """The exit status of the command: QEMU's isa-debug-exit for a write to port F4h."""
    return (out.status or 0) & 0xFF if out.reason == "exit" else STATUS.get(out.reason, 0)


def run(given: argparse.Namespace) -> int:
    """Run an image; returns the command's exit status."""
    if given.on in LATER:
        where = LATER[given.on]
        print(
            f"pyvirt: --on {given.on} is built in {where} of the book; here are bare and trap",
            file=sys.stderr,
        )
        return 2
    if given.on != "bare":
        from .run_on import run_on

        return run_on(given)
    if given.vm:
        print("pyvirt: several guests need a hypervisor: --on trap", file=sys.stderr)
        return 2
    from ..computer import Machine

    try:
        machine = Machine(ram=given.memory, cpus=given.cpus, history=False)
        if given.floppy:
            machine.attach_floppy(given.floppy)
        kind = machine.boot(given.image, given.append, given.initrd, given.disk, format=given.format)
    except MachineError as error:
        print(f"pyvirt: {error}", file=sys.stderr)
        return 2
    try:
        return _run_to_end(machine, given, kind)
    except MachineError as error:  # somebody else writes to a disk image
        print(f"\npyvirt: {error}", file=sys.stderr)
        return 2


def _run_to_end(machine: Any, given: argparse.Namespace, kind: str) -> int:
    if given.json:
        out = _run(machine, None, False, given.max_instructions)
        print(json.dumps(_report(machine, out, kind), indent=2))
        return status_of(out)
    machine.console.attach(show)
    with raw_terminal() as interactive:
        try:
            out = _run(machine, Keys(), interactive, given.max_instructions)
        except KeyboardInterrupt:
            return 130
    if out.reason not in ("halt", "exit"):
        print(f"\npyvirt: {out!r}", file=sys.stderr)
    return status_of(out)
