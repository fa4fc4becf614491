"""Real shared objects: compiled by cc, with fat binaries as NVIDIA's compiler lays them out."""

from __future__ import annotations

import shutil
import struct
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PTX, MACHINE_CODE, LINK_TIME_CODE = 1, 2, 8
PLAIN, COMPRESSED = 0x11, 0x8011
FOR_THIS_GPU, FOR_THIS_FAMILY = 1 << 20, 1 << 21
PADDING = b"\0" * 24


def fat_entry(kind: int, number: int, flags: int = COMPRESSED, *, header_bytes: int = 64) -> bytes:
    """Return the code for one architecture: a header, and bytes that no reader understands."""
    code = b"\x28\xb5\x2f\xfd" + bytes(number % 7 * 8) + b"\xba\x55\xed\x50"
    code += bytes(-len(code) % 8)
    header = struct.pack(
        "<HHIQIIIIIIQQQ",
        *(kind, 0x101, header_bytes, len(code), len(code), 0, 0, number, 0, 0, flags, 0, 0),
    )
    return header + bytes(header_bytes - len(header)) + code


def fat_binary(*entries: bytes) -> bytes:
    """Return one container: the same code for several architectures."""
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, sum(map(len, entries))) + b"".join(entries)


def compile_module(
    path: Path, *, fatbin: bytes = b"", needs: Iterable[Path] = (), options: Iterable[str] = ()
) -> Path:
    """Compile a shared object that names the libraries it needs; skip where no compiler is."""
    numbers = ", ".join(map(str, fatbin))
    section = '__attribute__((section(".nv_fatbin"), aligned(8), used))'
    data = f"{section} static const unsigned char fat[] = {{{numbers}}};" if fatbin else ""
    source = f"{data}\nint PyInit_it(void) {{ return 0; }}\n"
    named = [word for library in needs for word in (f"-L{library.parent}", f"-l:{library.name}")]
    _compile(path, source, ("-Wl,--no-as-needed", *named, *options))
    return path


def compile_named(path: Path) -> Path:
    """Compile an empty library whose SONAME is its file's name."""
    _compile(path, "", (f"-Wl,-soname,{path.name}",))
    return path


def _compile(path: Path, source: str, options: Iterable[str]) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler here")
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-x", "c", "-", "-x", "none", "-o", path, *options],
        input=source.encode(),
        check=True,
    )
