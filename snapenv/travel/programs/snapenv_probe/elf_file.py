"""What an ELF file says of itself: the sections it has, and the libraries it needs.

Only little-endian 64-bit files, which are all that GPUs are used with. Source:
https://refspecs.linuxfoundation.org/elf/gabi4+/contents.html
"""

# ruff: noqa: PTH123

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NamedTuple

_HEADER = struct.Struct("<4sBB10xHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_DYNAMIC = struct.Struct("<qQ")
_LOAD, _DYNAMIC_SEGMENT = 1, 2  # p_type
_NO_BITS = 8  # sh_type
_NEEDED, _STRING_TABLE, _RPATH, _RUNPATH = 1, 5, 15, 29  # d_tag
_TABLE_LIMIT_BYTES = 1 << 24
_STRING_LIMIT_BYTES = 4096


class Section(NamedTuple):
    """A section, by its place in the file."""

    name: str
    offset: int
    size_bytes: int


class Elf(NamedTuple):
    """One ELF file."""

    machine: int  # e_machine: 62 is x86-64, 183 is AArch64
    needed: list[str]
    runpath: list[str]  # folders; ``$ORIGIN`` as it stands
    sections: list[Section]


def read(file: BinaryIO) -> Elf | None:
    """Read an open file; None where it is no such ELF file, or a damaged one."""
    try:
        return _read(file.fileno())
    except (OSError, struct.error, ValueError, OverflowError):
        return None


def machine(path: str) -> int | None:
    """Return e_machine of a file; None where it is no such ELF file."""
    try:
        with open(path, "rb", buffering=0) as file:
            return int(_header(file.fileno())[4])
    except (OSError, struct.error, ValueError):
        return None


def _header(descriptor: int) -> tuple[int, ...]:
    fields = _HEADER.unpack(os.pread(descriptor, _HEADER.size, 0))
    if fields[:3] != (b"\x7fELF", 2, 1):
        raise ValueError
    return fields


def _read(descriptor: int) -> Elf:
    header = _header(descriptor)
    loads, entries = _segments(descriptor, offset=header[7], count=header[12])
    values = {tag: value for tag, value in entries if tag == _STRING_TABLE}
    strings = _offset(loads, values[_STRING_TABLE]) if values else 0

    def texts(*tags: int) -> list[str]:
        return [_string(descriptor, strings + value) for tag, value in entries if tag in tags]

    return Elf(
        machine=header[4],
        needed=texts(_NEEDED),
        runpath=[folder for text in texts(_RPATH, _RUNPATH) for folder in text.split(":")],
        sections=_sections(descriptor, offset=header[8], count=header[14], names=header[15]),
    )


def _segments(
    descriptor: int, *, offset: int, count: int
) -> tuple[list[tuple[int, int, int]], list[tuple[int, int]]]:
    """Return the loaded segments as (address, offset, size), and the dynamic entries."""
    table = _table(descriptor, offset, count * _SEGMENT.size)
    segments = list(_SEGMENT.iter_unpack(table))
    loads = [(segment[3], segment[2], segment[5]) for segment in segments if segment[0] == _LOAD]
    entries: list[tuple[int, int]] = []
    for segment in segments:
        if segment[0] == _DYNAMIC_SEGMENT:
            content = _table(descriptor, segment[2], segment[5] // _DYNAMIC.size * _DYNAMIC.size)
            entries += _DYNAMIC.iter_unpack(content)
    return loads, entries


def _offset(loads: list[tuple[int, int, int]], address: int) -> int:
    """Return where in the file an address is loaded from."""
    for start, offset, size in loads:
        if start <= address < start + size:
            return address - start + offset
    raise ValueError


def _sections(descriptor: int, *, offset: int, count: int, names: int) -> list[Section]:
    table = list(_SECTION.iter_unpack(_table(descriptor, offset, count * _SECTION.size)))
    if names >= len(table):
        return []
    text = _table(descriptor, table[names][4], table[names][5])
    return [
        Section(_text(text[section[0] :]), section[4], section[5])
        for section in table
        if section[1] != _NO_BITS
    ]


def _table(descriptor: int, offset: int, size_bytes: int) -> bytes:
    if size_bytes > _TABLE_LIMIT_BYTES:
        raise ValueError
    return os.pread(descriptor, size_bytes, offset)


def _string(descriptor: int, offset: int) -> str:
    return _text(os.pread(descriptor, _STRING_LIMIT_BYTES, offset))


def _text(content: bytes) -> str:
    """Read up to the first zero byte."""
    return content.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
