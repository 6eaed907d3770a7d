"""Run a guest's program on the reader's own Linux, to hold it against the simulated one."""

from __future__ import annotations

import errno
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ..machine.errors import ImageError

INTEL = {"x86_64", "amd64", "i386", "i486", "i586", "i686"}


class HostError(ImageError):
    """This computer cannot run the program itself."""


def run_on_linux(program: bytes, arguments: Sequence[str] = (), timeout: float = 60) -> str:
    """What a static program for Linux on the i386 prints on this computer.

    It runs as any program of the user does, in a folder of its own that is deleted afterwards.
    A computer that has no such Linux, or a program that fails, is a `HostError`.
    """
    machine = platform.machine().lower()
    if sys.platform != "linux" or machine not in INTEL:
        raise HostError(
            f"this computer runs {platform.system()} on {machine}, and the program is for Linux on the x86: "
            "run the notebook on such a computer to see its side"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "program"
        path.write_bytes(program)
        path.chmod(0o700)
        try:
            done = subprocess.run(
                [path, *arguments], cwd=folder, capture_output=True, text=True, timeout=timeout
            )
        except subprocess.TimeoutExpired as error:
            raise HostError(f"the program did not end within {timeout:g} s on this computer") from error
        except OSError as error:
            why = error.strerror
            if error.errno == errno.ENOEXEC:
                why = "its Linux was built without support for 32-bit programs"
            elif error.errno == errno.EACCES:
                why = f"programs in {tempfile.gettempdir()} may not be executed; set TMPDIR to another folder"
            raise HostError(f"this computer cannot run the program: {why}") from error
    if done.returncode:
        said = "".join((done.stderr or done.stdout).strip().splitlines()[-1:])
        raise HostError(
            f"the program ended with status {done.returncode} on this computer. It said: {said!r}"
        )
    return done.stdout
