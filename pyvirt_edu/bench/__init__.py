"""`pyvirt bench`: how fast the machine is, beside its peers and from Python.

Ratios are taken from alternating pairs of runs in one process, so that a noisy computer
disturbs both sides alike; the median of the pairs is what counts.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

from . import device_speed, hypervisor, kernels, python_side, qemu_peer, start_up, storage, unicorn_peer
from .results import Result, table

UNICORN_KERNELS = "abdhl"
QEMU_KERNELS = "ijk"
SIDES = ("unicorn", "qemu", "python", "devices", "hypervisor", "start")


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="pyvirt bench", description="Measure the machine beside its peers.")
    parser.add_argument(
        "only", nargs="*", help=f"parts to run: {' '.join(SIDES)}, or kernels by letter (all)"
    )
    parser.add_argument("--kernels", type=Path, help="folder with the kernels (a.bin ...)")
    parser.add_argument("--pairs", type=int, default=7, help="pairs for each ratio (7)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = parser.parse_args(arguments)
    known = {*SIDES, *UNICORN_KERNELS, *QEMU_KERNELS}
    for word in given.only:
        if word not in known:
            parser.error(f"there is no part {word!r}; there are: {' '.join(sorted(known))}")
    return given


def measure(only: list[str], folder: Path | None, pairs: int) -> tuple[list[Result], list[str]]:
    """All results asked for, and what was left out and why."""
    results: list[Result] = []
    notes: list[str] = []
    everything = not only

    def say(text: str) -> None:
        print(f"  {text} ...", file=sys.stderr, flush=True)

    place = kernels.find(folder)
    if place is None:
        notes.append("kernels: the shared ones are not present; our own small ones are measured instead")
    for peer, letters, targets in (
        (unicorn_peer, UNICORN_KERNELS, {"a": 0.2, "b": 1.5, "d": 2.0, "h": 3.0, "l": 15.0}),
        (qemu_peer, QEMU_KERNELS, {"i": 1.0, "j": 1.0, "k": 1.0}),
    ):
        wanted = [x for x in letters if everything or x in only or peer.NAME.lower() in only]
        if not wanted:
            continue
        missing = peer.missing(place)
        if missing:
            notes.append(f"{peer.NAME}: skipped, {missing}")
            continue
        for letter in wanted:
            kernel = kernels.get(letter, place)
            if kernel is None:
                notes.append(f"{peer.NAME} {letter}: skipped, no such kernel here")
                continue
            say(f"kernel {letter} against {peer.NAME}")
            results.append(kernels.compare(kernel, peer, pairs, targets[letter]))
    if everything or "python" in only:
        for name, function in python_side.MEASUREMENTS:
            say(name)
            results.append(function(pairs))
    if everything or "devices" in only:
        for name, function in (*device_speed.MEASUREMENTS, *storage.MEASUREMENTS):
            say(name)
            results.append(function(pairs))
    if everything or "hypervisor" in only:
        for name, function in hypervisor.MEASUREMENTS:
            say(name)
            results.append(function(pairs))
    if everything or "start" in only:
        for name, measurement in start_up.MEASUREMENTS:
            say(name)
            results.append(measurement())
    return results, notes


def main(arguments: list[str] | None = None) -> int:
    given = _arguments(arguments)
    results, notes = measure(given.only, given.kernels, max(given.pairs, 1))
    if given.json:
        report: dict[str, Any] = {
            "host": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
            "results": [result.as_dict() for result in results],
            "notes": notes,
        }
        print(json.dumps(report, indent=1))
    else:
        print(table(results))
        for note in notes:
            print(note)
    return 0
