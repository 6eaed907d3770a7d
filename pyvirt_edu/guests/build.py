"""Build the guests that are written in C, with a C compiler and a linker and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ..machine.errors import ImageError
from .cpio import Member, pack

SPROUT = Path(__file__).with_name("sprout")
IMAGES = SPROUT / "images"
KERNEL, ROOT = "sprout.elf", "root.cpio"

#: The same image from the same compiler, wherever it runs: no dates, no host libraries, and in the
#: debugging information the names of sources as seen from sprout's folder.
FLAGS = (
    "-m32 -march=i686 -mno-sse -mno-mmx -std=gnu17 -O2 -Wall -Wextra -Wno-unused-parameter "
    "-ffreestanding -nostdlib -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables "
    "-fno-strict-aliasing -fno-common -fcf-protection=none"
).split()
FLAGS.append(f"-ffile-prefix-map={SPROUT}=.")
#: The kernel tells a debugger its lines and its structures, a program its lines.
KERNEL_FLAGS = ["-mno-80387", "-fno-omit-frame-pointer", "-g"]
PROGRAM_FLAGS = ["-g1"]
LINK = (
    "-m elf_i386 -nostdlib -static --build-id=none -z noexecstack -z max-page-size=4096 "
    "--no-warn-rwx-segments --compress-debug-sections=zlib"
).split()
FOLDERS = ("arch/native", "kernel", "fs", "drivers", "net", "lib")


def _run(command: Iterable[str | Path], folder: Path | None = None) -> None:
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ImageError(f"{' '.join(map(str, command))} failed:\n{done.stderr}")


def find_compiler(name: str | None = None) -> str:
    for candidate in [name] if name else ["gcc", "clang"]:
        if candidate and shutil.which(candidate) and shutil.which("ld"):
            return candidate
    raise ImageError("building needs gcc or clang for i386, and ld; the images in the package need neither")


def _own_flags(compiler: str) -> list[str]:
    # clang maps no names of assembly sources
    return ["-fdebug-compilation-dir=."] if "clang" in Path(compiler).name else []


def compile_all(compiler: str, sources: list[Path], to: Path, flags: list[str]) -> list[Path]:
    """An object file for each source, named after its folder and itself."""
    to.mkdir(parents=True, exist_ok=True)
    objects = []
    for source in sources:
        relative = source.relative_to(SPROUT)
        name = "-".join(relative.with_suffix(".o").parts)
        _run([compiler, *FLAGS, *_own_flags(compiler), *flags, "-c", relative, "-o", to / name], SPROUT)
        objects.append(to / name)
    return objects


def build_kernel(to: Path, compiler: str, objects: Path) -> None:
    sources = [path for folder in FOLDERS for path in sorted((SPROUT / folder).glob("*.[cS]"))]
    built = compile_all(compiler, sources, objects / "kernel", KERNEL_FLAGS)
    script = SPROUT / "arch" / "native" / "link.ld"
    _run(["ld", *LINK, "-T", script, "-Map", objects / "sprout.map", "-o", to, *built])


def build_programs(compiler: str, objects: Path) -> dict[str, bytes]:
    """Each file of user/ is a program, linked with those of user/lib."""
    library = compile_all(
        compiler, sorted((SPROUT / "user" / "lib").glob("*.[cS]")), objects / "user", PROGRAM_FLAGS
    )
    programs = {}
    for source in sorted((SPROUT / "user").glob("*.c")):
        own = compile_all(compiler, [source], objects / "user", PROGRAM_FLAGS)
        image = objects / source.stem
        script = SPROUT / "user" / "lib" / "program.ld"
        _run(["ld", *LINK, "-T", script, "-o", image, *library, *own])
        programs[source.stem] = image.read_bytes()
    return programs


def root_members(programs: dict[str, bytes]) -> list[Member]:
    """The root file system: the programs, and the files of sprout/root."""
    members = [Member(name, 0o40755) for name in ("bin", "etc", "tmp", "mnt")]
    members += [Member(f"bin/{name}", 0o100755, data) for name, data in programs.items()]
    for path in sorted((SPROUT / "root").rglob("*")):
        if path.is_file():
            members.append(Member(path.relative_to(SPROUT / "root").as_posix(), 0o100644, path.read_bytes()))
    return members


def build_sprout(to: Path = IMAGES, compiler: str | None = None, objects: Path | None = None) -> list[Path]:
    """Build kernel and programs; returns the images. ``objects`` keeps what lies between, and the map."""
    compiler = find_compiler(compiler)
    to.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        work = (objects or Path(folder)).absolute()
        build_kernel(to / KERNEL, compiler, work)
        (to / ROOT).write_bytes(pack(root_members(build_programs(compiler, work))))
    return [to / KERNEL, to / ROOT]
