"""`pyvirt run --on trap` or a reader's own package: guests under a hypervisor."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import Any

from ..machine.errors import MachineError
from ..machine.state.arrays import parse_size
from .terminal import Keys, raw_terminal, show

HOST_MEMORY = 8 << 20  # for the hypervisor, beside its guests'
SLICE = 1_000_000  # instructions of the host between two looks at the keyboard
STATUS = {"halt": 0, "reset": 0, "crash": 4}


def run_on(given: argparse.Namespace) -> int:
    """Run the images as guests; the first one has the terminal."""
    from ..computer import Machine
    from ..hypervisor.domain_config import DomainConfig
    from ..hypervisor.loader import load_parts, whose
    from ..hypervisor.several_guests import SeveralGuests

    try:
        parts = {} if given.on == "trap" else load_parts(given.on)
        print(f"pyvirt: {whose(given.on, parts)}", file=sys.stderr)
        images = [given.image, *given.vm]
        size = parse_size(given.memory) * len(images) + HOST_MEMORY
        hv = SeveralGuests(Machine(ram=size, history=False), parts=parts)
        guests = []
        for i, image in enumerate(images):
            config = DomainConfig(f"vm{i}", image, given.memory, format=given.format)
            if i == 0:
                more = {"append": given.append, "initrd": given.initrd, "disk": given.disk}
                config = replace(config, **more)
            guests.append(hv.create(config))
        return _to_end(hv, guests, given.max_instructions)
    except MachineError as error:
        print(f"pyvirt: {error}", file=sys.stderr)
        return 2


def _to_end(hv: Any, guests: list[Any], most: int | None) -> int:
    first, left = guests[0], most
    first.console.attach(show)
    with raw_terminal():
        keys = Keys()
        try:
            while not all(guest.end for guest in guests) and not keys.quit and left != 0:
                if typed := keys.typed():
                    first.console.type(typed)
                part = SLICE if left is None else min(SLICE, left)
                hv.run(max_instructions=part)
                left = None if left is None else left - part
                first.console.pump()
        except KeyboardInterrupt:
            return 130
    for guest in guests[1:]:
        print(f"\n--- {guest.name}: {guest.end or 'running'}\n{guest.console.text}", end="")
    if not first.end:
        return 3
    if first.end == "exit":
        return ((first.value or 0) << 1 | 1) & 0xFF
    return STATUS.get(first.end, 0)
