"""What is in the image: privileged instructions only where they belong, and nothing of our machine."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import capstone
import pytest

from pyvirt_edu.guests import build, sprout
from pyvirt_edu.guests.elf import parse

from .lab import COMPILERS

SYMBOL = struct.Struct("<IIIBBH")
SECTION = struct.Struct("<10I")
FILE, FUNCTION, CODE = 4, 2, 4
PRIVILEGED = set(
    (
        "hlt cli sti lgdt lidt lldt ltr lmsw clts invlpg invd wbinvd rdmsr wrmsr in out insb insw insd outsb "
        "outsw outsd sgdt sidt sldt str smsw popfd popf pushfd pushf iret iretd sysexit ljmp lcall retf lar "
        "lsl verr verw"
    ).split()
)
SENSITIVE_OPERAND = re.compile(r"\b(cr[0-8]|dr[0-7]|[cdefgs]s)\b(?!:)")


class Image:
    """Sections and symbols of the ELF file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        (offset,) = struct.unpack_from("<I", data, 32)
        (count,) = struct.unpack_from("<H", data, 48)
        self.sections = [SECTION.unpack_from(data, offset + 40 * i) for i in range(count)]

    def code(self) -> Iterator[tuple[int, bytes]]:
        for _, kind, flags, address, offset, size, *_ in self.sections:
            if kind == 1 and flags & CODE:
                yield address, self.data[offset : offset + size]

    def symbols(self) -> Iterator[tuple[str, int, int, int]]:
        """Name, address, size, type: of each function, and of each file before its own."""
        for _, kind, _, _, offset, size, link, *_ in self.sections:
            if kind != 2:
                continue
            names = self.sections[link][4]
            for at in range(offset, offset + size, SYMBOL.size):
                name, value, length, info, _, _ = SYMBOL.unpack_from(self.data, at)
                end = self.data.index(b"\0", names + name)
                yield self.data[names + name : end].decode(), value, length, info & 15


def privileged(code: bytes, address: int) -> Iterator[tuple[int, str]]:
    """Addresses and text of what ring 3 may not do, or what shows where it runs."""
    machine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
    machine.skipdata = True
    for i in machine.disasm(code, address):
        names = set(i.mnemonic.split())
        if names & PRIVILEGED or (
            i.mnemonic in ("mov", "pop", "push") and SENSITIVE_OPERAND.search(i.op_str)
        ):
            yield i.address, f"{i.mnemonic} {i.op_str}"


@pytest.fixture(scope="module", params=COMPILERS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kernel, map and objects, made by the compiler here."""
    folder = tmp_path_factory.mktemp("sprout")
    build.build_kernel(folder / build.KERNEL, build.find_compiler(request.param), folder)
    return folder


def text_of_objects(folder: Path) -> list[tuple[int, int, str]]:
    """Start, end and object of every piece of code, from the linker's map."""
    pieces = []
    for match in re.finditer(
        r"^ (\.text\S*|\.boot)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+)\s+(\S+)$",
        (folder / "sprout.map").read_text(),
        re.M,
    ):
        start, size = int(match[2], 16), int(match[3], 16)
        pieces.append((start & 0xFFFFFFFF, (start + size) & 0xFFFFFFFF, Path(match[4]).name))
    return pieces


def test_privileged_instructions_are_in_arch_native(built: Path) -> None:
    pieces = text_of_objects(built)
    image = Image((built / build.KERNEL).read_bytes())
    found: dict[str, list[str]] = {}
    for address, code in image.code():
        for at, text in privileged(code, address):
            owner = next(name for start, end, name in pieces if start <= at < end)
            found.setdefault(owner, []).append(f"{at:08x} {text}")
    assert {name for name in found if not name.startswith("arch-native-")} == set(), found
    assert {
        "arch-native-boot.o",
        "arch-native-cpu.o",
        "arch-native-descriptors.o",
        "arch-native-fpu.o",
    } <= set(found)


def test_committed_image_by_its_symbols() -> None:
    """The same of the image in the package, with no compiler: by the file symbols before functions."""
    image = Image(sprout.image().read_bytes())
    native = {path.name for path in (sprout.HERE / "arch" / "native").glob("*.c")}
    assembly = re.compile(r"\.globl\s+(\w+)")
    outside = {
        name
        for path in (sprout.HERE / "arch" / "native").glob("*.S")
        for name in assembly.findall(path.read_text(encoding="utf-8"))
    }
    sources = {
        name: path
        for path in sprout.HERE.rglob("*.c")
        if "user" not in path.parts
        for name in re.findall(
            r"^[a-z][\w\s*]*?\b(\w+)\([^;]*?\)\s*\{", path.read_text(encoding="utf-8"), re.M
        )
    }
    file, functions = "", []
    for name, value, size, kind in image.symbols():
        if kind == FILE:
            file = name
        elif kind == FUNCTION and size:
            functions.append((value, value + size, name, file))
    checked = 0
    for address, code in image.code():
        for at, text in privileged(code, address):
            owner = next(((name, file) for start, end, name, file in functions if start <= at < end), None)
            if owner is None:
                continue  # assembly has no sizes: all of it is in arch/native
            checked += 1
            name, file = owner
            path = sources.get(name)
            assert name in outside or file in native or (path and "native" in path.parts), (name, file, text)
    assert checked > 30


def test_assembly_is_only_in_arch_native() -> None:
    for path in sprout.HERE.rglob("*.S"):
        assert "native" in path.parts or "user" in path.parts, path


def test_the_check_bites() -> None:
    for code in ("fa", "f4", "0f20c0", "0f22d8", "ec", "0f0138", "8ed8", "cf", "f36d"):
        assert list(privileged(bytes.fromhex(code), 0)), code
    assert not list(privileged(bytes.fromhex("89c8f3a5cd80"), 0))


def test_images_are_small() -> None:
    for path in (sprout.image(), sprout.root()):
        assert path.stat().st_size < 500_000, path
    kernel = parse(sprout.image().read_bytes(), "sprout")
    assert sum(len(part.data) for part in kernel.segments) < 160_000  # the rest is for debuggers


def test_source_knows_no_machine_of_ours() -> None:
    for path in sprout.HERE.rglob("*.[chS]"):
        assert not re.search("pyvirt|numba|python", path.read_text(encoding="utf-8"), re.I), path
