"""`pyvirt guests`: the programs that come with the package, and what else can be run."""

from __future__ import annotations

from pathlib import Path

from ..guests.boot import FORMATS
from ..guests.tiny import HERE, image, source

SENTENCES = {"tiny2": "two pages: ring 0 and ring 3, paging, a timer, a system call, a disk"}


def guests(target: Path | None = None) -> int:
    """List the guests; with a folder, write their images there."""
    for path in sorted(HERE.glob("*.asm")):
        name = path.stem
        print(f"{name:<10}{len(image(name)):>8,} bytes  {SENTENCES.get(name, source(name).splitlines()[0])}")
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
            (target / f"{name}.bin").write_bytes(image(name))
            print(f"{'':<10}written to {target / f'{name}.bin'}")
    print("\n`pyvirt run IMAGE` also takes:")
    for name, text in FORMATS.items():
        print(f"  {name:<12}{text}")
    return 0
