"""Where the members of a C structure lie (DWARF, DW_TAG_structure_type)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..machine.errors import ImageError
from .debug_files import Image, open_dwarf


class Member(NamedTuple):
    offset: int  # in bytes
    size: int


@dataclass(frozen=True)
class Structure:
    name: str
    size: int
    members: dict[str, Member]

    def __getitem__(self, member: str) -> Member:
        return self.members[member]


def structure(image: Image, name: str) -> Structure:
    """``struct name`` of an image that was compiled with -g."""
    for unit in open_dwarf(image).get_dwarf_info().iter_CUs():
        for entry in unit.get_top_DIE().iter_children():
            named = entry.attributes.get("DW_AT_name")
            if entry.tag != "DW_TAG_structure_type" or named is None or named.value != name.encode():
                continue
            if "DW_AT_byte_size" in entry.attributes:  # else it is only declared here
                return Structure(name, entry.attributes["DW_AT_byte_size"].value, dict(_members(entry)))
    raise ImageError(f"no struct {name} in this image's debugging information")


def _members(entry: Any) -> Iterator[tuple[str, Member]]:
    for child in entry.iter_children():
        if child.tag == "DW_TAG_member" and "DW_AT_name" in child.attributes:
            offset = child.attributes["DW_AT_data_member_location"].value
            yield child.attributes["DW_AT_name"].value.decode(), Member(offset, _size(child))


def _size(entry: Any) -> int:
    """Bytes that an object of an entry's type takes; 0 where the type is incomplete."""
    kind = entry.get_DIE_from_attribute("DW_AT_type")
    if "DW_AT_byte_size" in kind.attributes:
        return int(kind.attributes["DW_AT_byte_size"].value)
    if kind.tag == "DW_TAG_pointer_type":  # clang leaves it to the size of an address
        return int(kind.cu.header["address_size"])
    if kind.tag == "DW_TAG_array_type":
        count = 1
        for bound in kind.iter_children():
            count *= _elements(bound)
        return count * _size(kind)
    return _size(kind) if "DW_AT_type" in kind.attributes else 0


def _elements(bound: Any) -> int:
    """Of one dimension: gcc gives the last index, clang how many; a flexible array has neither."""
    if "DW_AT_count" in bound.attributes:
        return int(bound.attributes["DW_AT_count"].value)
    last = bound.attributes.get("DW_AT_upper_bound")
    return int(last.value) + 1 if last else 0
