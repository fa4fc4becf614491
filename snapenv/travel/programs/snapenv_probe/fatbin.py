"""The GPU architectures in a fat binary, from its headers; the kernels may be compressed.

A section holds containers, each the same code for several GPUs. NVIDIA does not publish the
format. Sources: https://github.com/n-eiling/cuda-fatbin-decompression and
https://github.com/GrigoryEvko/nvopen-tools/blob/main/fatbin/FORMAT_SPECIFICATION.md; what the
flags mean was seen in the kernels of torch 2.11 and cuBLAS 13, which name their target.
"""

from __future__ import annotations

import os
import struct
from typing import Iterator

SECTIONS = (".nv_fatbin", "__nv_fatbin")
_MAGIC = 0xBA55ED50
_CONTAINER = struct.Struct("<IHHQ")  # magic, version, size of this header, size of the entries
_ENTRY = struct.Struct("<HHIQ12xI8xQ16x")  # kind, _, size of this header, of the code; sm; flags
_PTX, _MACHINE_CODE = 1, (2, 16)
_THIS_GPU_ALONE, _THIS_FAMILY = 1 << 20, 1 << 21
_ALIGNMENT_BYTES = 8
_PADDING_LIMIT_BYTES = 4096


def architectures(descriptor: int, offset: int, size_bytes: int) -> Iterator[set[str]]:
    """Yield the architectures of each container of a section, such as ``{"sm_90", "compute_90"}``.

    A container of nothing that is known is left out; damage ends the search.
    """
    end, padding = min(offset + size_bytes, os.fstat(descriptor).st_size), 0
    while offset + _CONTAINER.size <= end and padding < _PADDING_LIMIT_BYTES:
        header = os.pread(descriptor, _CONTAINER.size, offset)
        if len(header) < _CONTAINER.size:
            return
        magic, _, header_bytes, entries_bytes = _CONTAINER.unpack(header)
        if magic != _MAGIC:
            offset, padding = offset + _ALIGNMENT_BYTES, padding + _ALIGNMENT_BYTES
            continue
        start = offset + max(header_bytes, _CONTAINER.size)
        offset, padding = start + entries_bytes, 0
        named = set(_entries(descriptor, start, min(offset, end)))
        if named:
            yield named


def _entries(descriptor: int, offset: int, end: int) -> Iterator[str]:
    while offset + _ENTRY.size <= end:
        header = os.pread(descriptor, _ENTRY.size, offset)
        if len(header) < _ENTRY.size:
            return
        kind, _, header_bytes, code_bytes, number, flags = _ENTRY.unpack(header)
        if header_bytes < _ENTRY.size:
            return
        if kind == _PTX:
            yield "compute_%d%s" % (number, _suffix(flags))  # noqa: UP031
        elif kind in _MACHINE_CODE:
            yield "sm_%d%s" % (number, _suffix(flags))  # noqa: UP031
        offset += header_bytes + code_bytes


def _suffix(flags: int) -> str:
    if flags & _THIS_GPU_ALONE:
        return "a"
    return "f" if flags & _THIS_FAMILY else ""


def sort_key(architecture: str) -> tuple[bool, int, str]:
    """Sort machine code before PTX, then by number."""
    kind, _, name = architecture.partition("_")
    digits = name.rstrip("af")
    return kind == "compute", int(digits), name[len(digits) :]
