"""Lines and structures of debugging information, against binutils and the compiler."""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pyvirt_edu.guests import build, sprout
from pyvirt_edu.guests.code_map import CodeMap
from pyvirt_edu.guests.source_lines import SourceLines
from pyvirt_edu.guests.structures import structure
from pyvirt_edu.guests.symbols import Symbols
from pyvirt_edu.machine.errors import ImageError

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.mark.skipif(shutil.which("addr2line") is None, reason="needs addr2line")
def test_the_same_as_addr2line() -> None:
    symbols, lines = Symbols.of(sprout.image()), SourceLines.of(sprout.image())
    places = [
        start + offset for start in symbols.addresses.values() for offset in (0, 3, 11) if symbols.at(start)
    ]
    text = "\n".join(f"{place:#x}" for place in places)
    listed = subprocess.run(["addr2line", "-e", sprout.image()], input=text, capture_output=True, text=True)
    same = 0
    for place, row in zip(places, listed.stdout.splitlines(), strict=True):
        found = re.fullmatch(r"(?:\./)*(.*?):(\d+)(?: \(discriminator \d+\))?", row)
        if found:
            ours = lines.at(place)
            path = posixpath.normpath(found[1])  # addr2line leaves "kernel/../include" as it is
            assert ours is not None and (ours.file, ours.line) == (path, int(found[2]))
            same += 1
    assert same > 1000


def test_every_line_of_the_image_exists() -> None:
    """The committed image was built from the sources beside it."""
    lines = SourceLines.of(sprout.image())
    counts: dict[str, int] = {}
    for line in filter(None, lines._lines):
        path = build.SPROUT / line.file
        assert path.is_file(), line
        counts.setdefault(line.file, len(path.read_text().splitlines()))
        assert 1 <= line.line <= counts[line.file], line


def test_lines_and_members_of_clang(tmp_path: Path) -> None:
    """It counts elements where gcc gives the last index, and marks code of its own by line 0."""
    if shutil.which("clang") is None:
        pytest.skip("clang is not installed")
    gcc = structure(sprout.image(), "process")
    image, _ = build.build_sprout(tmp_path, "clang")
    assert structure(image, "process").members == gcc.members
    lines = SourceLines.of(image)
    assert {"kernel/schedule.c", "arch/native/traps.S"} <= {line.file for line in lines._lines if line}
    assert all(line.line for line in lines._lines if line)


@needs_gcc
def test_members_lie_where_the_compiler_puts_them(tmp_path: Path) -> None:
    found = structure(sprout.image(), "process")
    source = tmp_path / "offsets.c"
    checks = "".join(
        f'_Static_assert(__builtin_offsetof(struct process, {name}) == {member.offset}, "{name}");'
        f'_Static_assert(sizeof(((struct process *)0)->{name}) == {member.size}, "{name}");'
        for name, member in found.members.items()
    )
    source.write_text(f'#include "{build.SPROUT}/include/process.h"\n{checks}')
    subprocess.run(["gcc", *build.FLAGS, "-fsyntax-only", source], check=True)
    assert len(found.members) > 30 and found["name"].size == 16


@needs_gcc
def test_what_is_not_there_says_so(tmp_path: Path) -> None:
    source, image = tmp_path / "a.c", tmp_path / "a.out"
    source.write_text("void _start(void) { for (;;); }\n")
    subprocess.run(["gcc", *build.FLAGS, "-g0", "-static", "-o", image, source], check=True)
    with pytest.raises(ImageError, match="compile it with -g"):
        SourceLines.of(image)
    with pytest.raises(ImageError, match="no struct nothing"):
        structure(sprout.image(), "nothing")
    place = CodeMap(image).at(Symbols.of(image)["_start"])
    assert place is not None and place.function == "_start" and place.source is None
    subprocess.run(["strip", image], check=True)
    with pytest.raises(ImageError, match="stripped"):
        Symbols.of(image)
    assert CodeMap(image).at(0x8049000) is None
