"""The cpio archive, format "newc": what Linux and sprout unpack as their first file system."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..machine.errors import ImageError

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


def unpack(archive: bytes) -> dict[str, Member]:
    """The members of an archive, by name, in their order."""
    members: dict[str, Member] = {}
    at = 0
    while at + 110 <= len(archive):
        if archive[at : at + 6] != b"070701":
            raise ImageError(f"no cpio header of format newc at offset {at:,}; the archive is damaged")
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(HEADER_FIELDS)]
        name = archive[at + 110 : at + 110 + fields[11] - 1].decode()
        start = at + 110 + fields[11]
        start += -start % 4
        if name == TRAILER:
            return members
        data = archive[start : start + fields[6]]
        members[name] = Member(name, fields[1], data, (fields[9], fields[10]))
        at = start + fields[6]
        at += -at % 4
    raise ImageError("the cpio archive has no end; it is cut off")
