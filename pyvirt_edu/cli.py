"""The command `pyvirt`."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from . import __version__
from .commands import guests as guests_command
from .commands import run as run_command
from .commands.demo import DEMOS, demo


def warm_up() -> None:
    """Compile what the cache lacks, with a bar that shows how far it is."""
    from . import devices  # noqa: F401 it registers its units
    from .machine.state import jit
    from .machine.state.progress import Progress

    with Progress("compiling the processor") as progress:
        jit.compile_missing(progress)


def book() -> Path:
    """The folder of notebooks to open: the clone's, or a copy that the reader may write in."""
    package = Path(__file__).resolve().parent
    clone = package.parent / "book"
    if (clone / "conf.py").exists():
        return clone
    mine = Path.cwd() / "pyvirt-book"
    if not mine.exists():
        shutil.copytree(package / "_book", mine)
        print(f"pyvirt: the book is now in {mine}", file=sys.stderr)
    return mine


def lab(directory: Path | None, rest: list[str]) -> int:
    """`pyvirt lab`: JupyterLab on the book, with the processor compiled beforehand."""
    if importlib.util.find_spec("jupyterlab") is None:
        return fail('JupyterLab is not installed. Remedy: pip install "pyvirt-edu[lab]"')
    if directory is not None and not directory.is_dir():
        return fail(f"there is no folder {directory}. Without a name, `pyvirt lab` opens the book.")
    folder = directory or book()
    warm_up()
    try:
        # in a container the only user is root, whom Jupyter refuses unless told
        root = ["--allow-root"] if getattr(os, "geteuid", lambda: 1)() == 0 else []
        return subprocess.call([sys.executable, "-m", "jupyterlab", *root, *rest], cwd=folder)
    except KeyboardInterrupt:  # Ctrl-C is how one leaves JupyterLab
        return 0


def warmup() -> int:
    """`pyvirt warmup`: fill the cache of compiled code."""
    from .machine.state import jit

    warm_up()
    print(f"compiled code is in {jit.cache_directories()[0]}")
    return 0


def bench(rest: list[str]) -> int:
    """`pyvirt bench`: measure the machine beside its peers."""
    from .bench import main as run_benchmarks

    warm_up()
    return run_benchmarks(rest)


def fail(message: str) -> int:
    print(f"pyvirt: {message}", file=sys.stderr)
    return 1


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="pyvirt", description="An exact x86 machine, to learn on.")
    parser.add_argument("--version", action="version", version=f"pyvirt_edu {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = commands.add_parser("lab", help="open the book in JupyterLab; further options go to it")
    command.add_argument("directory", nargs="?", type=Path, help="another folder than the book")
    commands.add_parser("warmup", help="compile the processor now, and keep it")
    command = commands.add_parser("run", help="run a kernel or disk image, serial port on the terminal")
    run_command.add_arguments(command)
    command = commands.add_parser("demo", help="one kernel three ways: text, and a page with sliders")
    command.add_argument("name", nargs="?", choices=list(DEMOS), default="three-ways")
    command.add_argument("--html", type=Path, metavar="FILE", default=Path("pyvirt-demo.html"))
    command.add_argument("--open", action="store_true", help="open the page in the browser")
    command = commands.add_parser("guests", help="list, build or add guests")
    guests_command.add_arguments(command)
    commands.add_parser("bench", add_help=False, help="measure speed: `pyvirt bench --help`")
    given, rest = parser.parse_known_args(arguments)
    if given.command == "lab":
        return lab(given.directory, rest)
    if given.command == "bench":
        return bench(rest)
    if given.command == "run" and not rest:
        warm_up()
        return run_command.run(given)
    if given.command == "demo" and not rest:
        warm_up()
        return demo(given.name, given.html, given.open)
    if given.command == "guests" and not rest:
        return guests_command.guests(given)
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return warmup()


if __name__ == "__main__":
    sys.exit(main())
