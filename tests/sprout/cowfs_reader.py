"""cowfs from its description (fs/cowfs.h), in Python: what a disk says, and whether it keeps the rules."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

BLOCK = 4096
MAGIC = 0x46574F43
SUPER = struct.Struct("<4I64sI")
INODE = struct.Struct("<8I6III")
ENTRY = struct.Struct("<I60s")
S_IFMT, S_IFDIR, ROOT = 0o170000, 0o040000, 1


def fnv(data: bytes) -> int:
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


@dataclass
class Inode:
    number: int
    mode: int
    links: int
    size: int
    parent: int
    blocks: list[int] = field(default_factory=list)


class Damaged(Exception):
    """A rule does not hold."""


class Reader:
    """The last commit on a disk: its files, by path."""

    def __init__(self, disk: bytes) -> None:
        self.disk = disk
        self.owner: dict[int, int] = {}
        supers = []
        for place in (0, 1):
            raw = disk[place * BLOCK : place * BLOCK + SUPER.size]
            magic, version, generation, self.count, table, checksum = SUPER.unpack(raw)
            if magic == MAGIC and version == 1 and checksum == fnv(raw[:-4]):
                supers.append((generation, table))
        if not supers:
            raise Damaged("no superblock")
        self.generation, table = max(supers)
        self.table = self.contents(self.inode(0, table))
        self.inodes: dict[int, Inode] = {}
        for number in range(1, len(self.table) // INODE.size):
            raw = self.table[number * INODE.size : (number + 1) * INODE.size]
            inode = INODE.unpack(raw)
            if inode[0] and inode[1]:
                self.inodes[number] = self.inode(number, raw)

    def block(self, number: int) -> bytes:
        return self.disk[number * BLOCK : (number + 1) * BLOCK]

    def claim(self, block: int, inode: int) -> None:
        if not 2 <= block < self.count or self.owner.setdefault(block, inode) != inode:
            raise Damaged(f"block {block} of inode {inode}")
        if block in self.claimed:
            raise Damaged(f"block {block} twice in inode {inode}")
        self.claimed.add(block)

    def below(self, pointer: int, depth: int, inode: int) -> list[int]:
        """Data blocks below a pointer, holes as 0."""
        if not pointer:
            return [0] * 1024**depth
        self.claim(pointer, inode)
        if not depth:
            return [pointer]
        found = []
        for p in struct.unpack("<1024I", self.block(pointer)):
            found += self.below(p, depth - 1, inode)
        return found

    def inode(self, number: int, raw: bytes) -> Inode:
        mode, links, _, _, size, _, _, parent, *pointers = INODE.unpack(raw)
        self.claimed: set[int] = set()
        blocks: list[int] = []
        for pointer, depth in zip(pointers, [0] * 6 + [1, 2]):
            if pointer or depth < 2:
                blocks += self.below(pointer, depth, number)
        return Inode(number, mode, links, size, parent, blocks)

    def contents(self, inode: Inode) -> bytes:
        needed = -(-inode.size // BLOCK)
        data = b"".join(self.block(b) if b else bytes(BLOCK) for b in inode.blocks[:needed])
        return data[: inode.size]

    def files(self) -> dict[str, bytes | None]:
        """Contents by path; None for directories. Counts of links are checked on the way."""
        found: dict[str, bytes | None] = {}
        links: dict[int, int] = {}

        def visit(number: int, path: str) -> None:
            inode = self.inodes[number]
            found[path] = None
            links[number] = links.get(number, 0) + 2
            data = self.contents(inode)
            for at in range(0, len(data), ENTRY.size):
                child, raw = ENTRY.unpack_from(data, at)
                if not child:
                    continue
                name = f"{path}/{raw.split(bytes(1))[0].decode('latin1')}"
                if child not in self.inodes:
                    raise Damaged(f"{name} leads to the free inode {child}")
                if self.inodes[child].mode & S_IFMT == S_IFDIR:
                    if self.inodes[child].parent != number:
                        raise Damaged(f"{name} has another parent")
                    links[number] += 1
                    visit(child, name)
                else:
                    links[child] = links.get(child, 0) + 1
                    found[name] = self.contents(self.inodes[child])

        visit(ROOT, "")
        for number, inode in self.inodes.items():
            if links.get(number, 0) != inode.links:
                raise Damaged(f"inode {number}: {links.get(number, 0)} names, {inode.links} links")
        return found
