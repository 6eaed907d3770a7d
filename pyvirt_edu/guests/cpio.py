"""The cpio archive, format "newc": what Linux and sprout unpack as their first file system."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

HEADER_FIELDS = 13
TRAILER = "TRAILER!!!"


@dataclass(frozen=True)
class Member:
    """A file: its name without a leading slash, its mode with the type, and its contents."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def symlink(name: str, target: str) -> Member:
    return Member(name, 0o120777, target.encode())


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _entry(number: int, member: Member, links: int) -> bytes:
    name = member.name.encode() + b"\0"
    fields = (number, member.mode, 0, 0, links, 0, len(member.data), 0, 0, *member.device, len(name), 0)
    header = b"070701" + b"".join(b"%08X" % value for value in fields)
    return _padded(header + name) + _padded(member.data)


def pack(members: Iterable[Member]) -> bytes:
    """An archive; directories come before what is in them, as given."""
    entries = [_entry(number, member, 1) for number, member in enumerate(members, 1)]
    return b"".join([*entries, _entry(0, Member(TRAILER, 0), 1)])
