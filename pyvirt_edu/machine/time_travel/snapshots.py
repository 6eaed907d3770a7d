"""Snapshots: a machine's state as data.

A snapshot keeps the processor's row, the TLB, and for every page of RAM the place where its
contents are saved: a row of a *layer*. A layer holds the pages that were dirty when a snapshot
was taken; snapshots share layers. Invariant: RAM equals the saved pages of the last snapshot
taken or restored, but for pages that PAGE_DIRTY marks. So taking a snapshot copies the
dirty pages only, and restoring one copies the dirty pages and those whose places differ.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import SnapshotError
from ..state.layout import CYCLES, INSTRUCTIONS, PAGE, layout_digest

MAGIC = b"pyvirt_edu snapshot 1\n"
LAYER_SHIFT = 32  # a place: layer number << 32 | row; 0 is a page of zeros


@dataclass
class Layer:
    """Pages that were saved together."""

    number: int
    pages: np.ndarray  # uint8, rows of one page


@dataclass
class SavedPages:
    """The contents of all RAM: the place of each page, and the layers they lie in."""

    places: np.ndarray  # int64, one a page
    layers: dict[int, Layer] = field(default_factory=dict)

    @classmethod
    def empty(cls, pages: int) -> SavedPages:
        return cls(np.zeros(pages, np.int64))

    def with_pages(self, numbers: np.ndarray, layer: Layer) -> SavedPages:
        """The same but for these pages, which lie in a new layer."""
        places = self.places.copy()
        places[numbers] = (layer.number << LAYER_SHIFT) + np.arange(len(numbers))
        layers = dict(self.layers)
        layers[layer.number] = layer
        if len(layers) > 16:  # forget layers that nothing refers to any more
            used = set(np.unique(places >> LAYER_SHIFT).tolist())
            layers = {n: item for n, item in layers.items() if n in used}
        return SavedPages(places, layers)

    def page(self, number: int) -> bytes:
        """The contents of one page."""
        owner, row = divmod(int(self.places[number]), 1 << LAYER_SHIFT)
        return self.layers[owner].pages[row].tobytes() if owner else bytes(PAGE)

    def read_into(self, ram: np.ndarray, numbers: np.ndarray) -> None:
        """Copy these pages into RAM (rows of one page)."""
        places = self.places[numbers]
        owners, rows = places >> LAYER_SHIFT, places & 0xFFFF_FFFF
        for owner in np.unique(owners).tolist():
            chosen = owners == owner
            if owner == 0:
                ram[numbers[chosen]] = 0
            else:
                ram[numbers[chosen]] = self.layers[owner].pages[rows[chosen]]


@dataclass
class Snapshot:
    """A machine at one instruction boundary. `Machine.restore` goes back to it."""

    ram_size: int
    cpu: np.ndarray
    tlb: np.ndarray
    saved: SavedPages
    extra: dict[str, Any] = field(default_factory=dict)  # state kept in Python, plain data
    devices: tuple[np.ndarray, np.ndarray] | None = None  # their words and bytes

    @property
    def instructions(self) -> int:
        return int(self.cpu[0, INSTRUCTIONS])

    @property
    def cycles(self) -> int:
        return int(self.cpu[0, CYCLES])

    def pages(self) -> np.ndarray:
        """Numbers of the pages that are not zero pages by construction."""
        return np.flatnonzero(self.saved.places)

    def __repr__(self) -> str:
        return (
            f"Snapshot(ram={self.ram_size // 1024} KiB, instructions={self.instructions:,}, "
            f"cycles={self.cycles:,}, pages={len(self.pages()):,})"
        )

    # --- files -------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the snapshot to a file that `Snapshot.load` reads on any computer."""
        numbers = self.pages()
        contents = np.empty((len(numbers), PAGE), np.uint8)
        ram = _Rows(contents, numbers)
        self.saved.read_into(ram, numbers)  # type: ignore[arg-type]
        parts = [
            self.cpu.astype("<u8").tobytes(),
            self.tlb.tobytes(),
            numbers.astype("<u8").tobytes(),
            contents.tobytes(),
        ]
        if self.devices is not None:
            parts += [self.devices[0].astype("<u8").tobytes(), self.devices[1].tobytes()]
        body = zlib.compress(b"".join(parts), 1)
        header = {
            "layout": layout_digest(),
            "ram": self.ram_size,
            "cpus": len(self.cpu),
            "pages": len(numbers),
            "instructions": self.instructions,
            "extra": _plain(self.extra),
            "places": len(self.saved.places),
            "devices": self.devices is not None,
            "body": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        text = json.dumps(header, sort_keys=True).encode()
        seal = hashlib.sha256(text).hexdigest().encode()
        target = Path(path)
        temporary = target.with_name(target.name + ".part")
        temporary.write_bytes(MAGIC + seal + b"\n" + text + b"\n" + body)
        os.replace(temporary, target)  # never half a file under the final name

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Snapshot:
        """Read a snapshot; a file that is damaged or not ours is a `SnapshotError`."""
        try:
            data = Path(path).read_bytes()
        except OSError as error:
            raise SnapshotError(f"cannot read the snapshot {path}: {error.strerror or error}") from error
        if not data.startswith(MAGIC):
            raise SnapshotError(
                f"{path} is not a snapshot of this program: it does not begin with {MAGIC[:-1]!r}; "
                "give a file that Snapshot.save wrote"
            )
        damaged = f"the snapshot {path} is damaged (%s); take it again, or use another copy of the file"
        seal, _, rest = data[len(MAGIC) :].partition(b"\n")
        text, newline, body = rest.partition(b"\n")
        if not newline or hashlib.sha256(text).hexdigest().encode() != seal:
            raise SnapshotError(damaged % "its header does not match its checksum")
        header = json.loads(text)
        if header["layout"] != layout_digest():
            raise SnapshotError(
                f"{path} was made with another layout of the state ({header['layout']}, here "
                f"{layout_digest()}); restore it with the version of pyvirt_edu that saved it"
            )
        if len(body) != header["body"]:
            raise SnapshotError(damaged % f"{len(body):,} bytes of {header['body']:,} are there")
        if hashlib.sha256(body).hexdigest() != header["sha256"]:
            raise SnapshotError(damaged % "its contents do not match their checksum")
        return cls._from_parts(header, zlib.decompress(body))

    @classmethod
    def _from_parts(cls, header: dict[str, Any], raw: bytes) -> Snapshot:
        from ..state.layout import CPU_WORDS, DEVICE_BYTES, DEVICE_WORDS, TLB_DTYPE, TLB_ROWS

        cpus, pages = header["cpus"], header["pages"]
        position = 0

        def take(dtype: Any, count: int) -> np.ndarray:
            nonlocal position
            array = np.frombuffer(raw, dtype, count, position).copy()
            position += array.nbytes
            return array

        cpu = take("<u8", cpus * CPU_WORDS).reshape(cpus, CPU_WORDS).astype(np.uint64)
        tlb = take(TLB_DTYPE, cpus * TLB_ROWS).reshape(cpus, TLB_ROWS)
        numbers = take("<u8", pages).astype(np.int64)
        if len(numbers) and int(numbers.max()) >= header["places"]:
            raise SnapshotError("the snapshot names pages outside its RAM; take it again")
        layer = Layer(next_layer_number(), take(np.uint8, pages * PAGE).reshape(pages, PAGE))
        saved = SavedPages.empty(header["places"]).with_pages(numbers, layer)
        devices = None
        if header["devices"]:
            words = take("<u8", DEVICE_WORDS).astype(np.uint64)
            devices = words, take(np.uint8, DEVICE_BYTES)
        return cls(header["ram"], cpu, tlb, saved, _from_plain(header["extra"]), devices)


def _plain(value: Any) -> Any:
    """Python data as JSON can hold it: bytes as text, dictionaries with their keys' types."""
    if isinstance(value, bytes):
        return {"bytes": base64.b85encode(value).decode()}
    if isinstance(value, dict):
        return {"items": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _from_plain(value: Any) -> Any:
    if isinstance(value, dict) and "bytes" in value:
        return base64.b85decode(value["bytes"])
    if isinstance(value, dict):
        return {_from_plain(key): _from_plain(item) for key, item in value["items"]}
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    return value


class _Rows:
    """Pages by number, stored densely: what `SavedPages.read_into` writes to when saving."""

    def __init__(self, rows: np.ndarray, numbers: np.ndarray) -> None:
        self.rows, self.numbers = rows, numbers

    def __setitem__(self, numbers: np.ndarray, value: Any) -> None:
        self.rows[np.searchsorted(self.numbers, numbers)] = value


_layer_count = 0


def next_layer_number() -> int:
    """Layer numbers are unique in a process, so layers of several machines never mix up."""
    global _layer_count
    _layer_count += 1
    return _layer_count
