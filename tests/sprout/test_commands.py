"""`pyvirt guests`: what comes along, what can be built, what can be added."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pyvirt_edu import cli
from pyvirt_edu.guests import busybox, cpio, sprout
from pyvirt_edu.machine.errors import ImageError

from .lab import needs_busybox, needs_compiler


def package(program: bytes, path: str = "./bin/busybox") -> bytes:
    """A Debian package with one file in it, made by hand."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        member = tarfile.TarInfo(path)
        member.size = len(program)
        archive.addfile(member, io.BytesIO(program))
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", packed.getvalue())]
    text = b"!<arch>\n"
    for name, data in parts:
        text += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data
        text += b"\n" * (len(data) % 2)
    return text


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache" / "busybox"
    monkeypatch.setattr(busybox, "cache_file", lambda: path)
    return path


def test_list_and_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["guests", "--write", str(tmp_path)]) == 0
    assert "a teaching operating system" in capsys.readouterr().out
    assert (tmp_path / "sprout.elf").read_bytes() == sprout.image().read_bytes()


@needs_compiler
def test_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["guests", "build", "--to", str(tmp_path)]) == 0
    assert "sprout.elf" in capsys.readouterr().out
    built, ours = (cpio.unpack(p.read_bytes()) for p in (tmp_path / "root.cpio", sprout.root()))
    assert built.keys() == ours.keys()


def test_build_without_compiler(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["guests", "build", "--compiler", "no-such-compiler"]) == 1
    assert "needs gcc or clang" in capsys.readouterr().err


@needs_busybox
def test_add_busybox(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = busybox.find()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(busybox, "cache_file", lambda: tmp_path / "kept" / "busybox")
        (tmp_path / "some.deb").write_bytes(package(program))
        assert cli.main(["guests", "add", "busybox", str(tmp_path / "some.deb")]) == 0
        assert busybox.find() == program
    assert "SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize(
    "data, problem",
    [
        (b"text", "neither a Debian package nor an ELF"),
        (package(b"x", "./bin/ls"), "without busybox"),
        (package(b"x"), "neither"),
    ],
)
def test_what_is_no_busybox(
    data: bytes, problem: str, cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(data)
    assert cli.main(["guests", "add", "busybox", str(tmp_path / "file")]) == 1
    assert problem in capsys.readouterr().err
    assert not cache.exists()
    with pytest.raises(ImageError, match="pyvirt guests add busybox"):
        busybox.find()


def test_another_program_is_refused() -> None:
    with pytest.raises(ImageError, match="not busybox"):
        busybox.check(sprout.program("sh"), "sh")


def test_archive_round_trip() -> None:
    members = [cpio.Member("a", 0o40755), cpio.Member("a/b", 0o100644, b"odd"), cpio.symlink("c", "a/b")]
    assert list(cpio.unpack(cpio.pack(members)).values()) == members
    with pytest.raises(ImageError, match="cut off"):
        cpio.unpack(cpio.pack(members)[:-120])
    with pytest.raises(ImageError, match="damaged"):
        cpio.unpack(b"x" * 200)
