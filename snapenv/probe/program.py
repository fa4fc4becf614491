"""The program that is sent to where an environment is, and its compiled form.

It is a zipapp: the modules of ``in_target`` and NVIDIA's pynvml, one file. Python writes no
bytecode into a zipapp, so that it would compile the modules each time. For an environment of this
machine they are compiled once, by its own Python, and kept.
Source: https://docs.python.org/3/library/zipapp.html
"""

from __future__ import annotations

import functools
import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.nvidia.nvml import pynvml_file
from snapenv.program import code_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.kept import Kept
    from snapenv.ports import Target

_IN_TARGET = Path(__file__).with_name("in_target")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold
_SOURCES = "sources.pyz"
_MARK = b"\nsnapenv-program:\n"


@functools.cache
def pack_probe() -> bytes:
    """Give the program that travels; the same bytes for the same snapenv and nvidia-ml-py."""
    import zipfile  # which takes as long as all the rest of this module

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # zlib may be missing there
        for name, source in sorted(_sources()):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), source)
    return packed.getvalue()


def compiled_probe(target: Target, kept: Kept) -> bytes | None:
    """Give the program with the bytecode of a target of this machine; None where that fails.

    Raises:
        InterpreterError: The target's program cannot be executed.
    """
    name = _name(target.python)
    if name is None:
        return None
    found = kept.find(name)
    if found is None:
        found = _compile(target)
        if found is not None:
            kept.keep(name, found)
    return found


def _name(python: str) -> str | None:
    """Name the compiled program by its sources and by the interpreter's file."""
    try:
        place = Path(python).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    digest = code_digest(_IN_TARGET, pynvml_file(), place)
    return hashlib.sha256(f"compiled {digest}".encode()).hexdigest()


def _compile(target: Target) -> bytes | None:
    """Let the target's own Python compile; what is not made of our sources is not taken."""
    said = io.BytesIO()
    words = (target.python, "-I", "-S", "-B", _SOURCES, "--compile", _SOURCES)
    done = target.run(words, files={_SOURCES: pack_probe()}, stdout=said)
    _, mark, program = said.getvalue().partition(_MARK)
    return program if done.exit_code == 0 and mark and _is_ours(program) else None


def _is_ours(program: bytes) -> bool:
    import zipfile

    sources = dict(_sources())
    try:
        with zipfile.ZipFile(io.BytesIO(program)) as archive:
            names = sorted(archive.namelist())
            same = all(archive.read(name) == source for name, source in sources.items())
    except (zipfile.BadZipFile, KeyError, ValueError):
        return False
    return same and names == sorted((*sources, *(f"{name}c" for name in sources)))


def _sources() -> Iterator[tuple[str, bytes]]:
    for module in _IN_TARGET.glob("*.py"):
        yield module.name, module.read_bytes()
    yield "pynvml.py", pynvml_file().read_bytes()
