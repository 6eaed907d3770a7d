"""`pyvirt guests`: the programs that come with the package, and what else can be run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..machine.errors import MachineError

SENTENCES = {"tiny2": "two pages: ring 0 and ring 3, paging, a timer, a system call, a disk"}
SPROUT = "a teaching operating system that runs Linux programs for i386"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write their images to a folder")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    action = actions.add_parser("build", help="build sprout from its source, with gcc or clang")
    action.add_argument("--to", type=Path, metavar="FOLDER", help="where to (default: into the package)")
    action.add_argument("--compiler", metavar="NAME", help="gcc, clang, or another name for one of them")
    action = actions.add_parser("add", help="fetch a guest that cannot be part of the package")
    action.add_argument("guest", choices=["busybox"], help="busybox: the commands of Linux, for sprout")
    action.add_argument("file", nargs="?", type=Path, help="its Debian package, or the program itself")


def _images() -> list[tuple[str, str, bytes, str]]:
    """Name, file, contents and a sentence."""
    from ..guests import sprout
    from ..guests.tiny import HERE, image, source

    rows = []
    for path in sorted(HERE.glob("*.asm")):
        name = path.stem
        rows.append((name, f"{name}.bin", image(name), SENTENCES.get(name, source(name).splitlines()[0])))
    rows.append(("sprout", sprout.image().name, sprout.image().read_bytes(), SPROUT))
    rows.append(("", sprout.root().name, sprout.root().read_bytes(), "sprout's root file system (--initrd)"))
    return rows


def _list(target: Path | None) -> int:
    from ..guests.boot import FORMATS

    for name, file, data, sentence in _images():
        print(f"{name:<10}{len(data):>8,} bytes  {sentence}")
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
            (target / file).write_bytes(data)
            print(f"{'':<10}written to {target / file}")
    print("\n`pyvirt run IMAGE` also takes:")
    for name, text in FORMATS.items():
        print(f"  {name:<12}{text}")
    return 0


def _build(to: Path | None, compiler: str | None) -> int:
    from ..guests.build import IMAGES, build_sprout

    for path in build_sprout(to or IMAGES, compiler):
        print(f"{path}  {path.stat().st_size:,} bytes")
    return 0


def _add_busybox(file: Path | None) -> int:
    from ..guests import busybox

    path, digest = busybox.add(file)
    print(f"busybox is in {path}\nSHA-256 {digest}")
    return 0


def guests(given: argparse.Namespace) -> int:
    """List the guests; with --write, put their images into a folder; or build, or add one."""
    try:
        if given.action == "build":
            return _build(given.to, given.compiler)
        if given.action == "add":
            return _add_busybox(given.file)
        return _list(given.write)
    except (MachineError, OSError) as error:
        print(f"pyvirt: {error}", file=sys.stderr)
        return 1
