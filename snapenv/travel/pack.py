"""A program that travels, as a zipapp: its package, those that it uses, and NVIDIA's pynvml.

Python writes no bytecode into a zipapp, so that it would compile the modules each time. For an
environment of this machine they are compiled once, by its own Python, and kept.
Source: https://docs.python.org/3/library/zipapp.html
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from snapenv.program import code_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.kept import Kept
    from snapenv.ports import Target

Program = Literal[
    "snapenv_bench",
    "snapenv_check",
    "snapenv_export",
    "snapenv_probe",
    "snapenv_ranks",
    "snapenv_resume",
    "snapenv_train",
    "snapenv_workspace",
]

PROGRAMS = Path(__file__).with_name("programs")
_WITH_PYNVML: tuple[Program, ...] = ("snapenv_bench", "snapenv_probe", "snapenv_train")
_WITH: dict[Program, tuple[Program, ...]] = {
    "snapenv_bench": ("snapenv_train",),
    "snapenv_check": ("snapenv_probe", "snapenv_train"),
    "snapenv_export": ("snapenv_train",),
    "snapenv_ranks": ("snapenv_train",),
}
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip can hold
_SOURCES = "sources.pyz"
_MARK = b"\nsnapenv-program:\n"


@functools.cache
def pack(program: Program) -> bytes:
    """Return the program as one file; the same bytes for the same snapenv and nvidia-ml-py."""
    import zipfile  # which takes as long as all the rest of this module

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:  # zlib may be missing there
        for name, source in sorted(_sources(program)):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), source)
    return packed.getvalue()


def pack_compiled(program: Program, target: Target, kept: Kept) -> bytes | None:
    """Return the program with the bytecode of a target of this machine; None where that fails.

    Raises:
        InterpreterError: The target's program cannot be executed.
    """
    name = _name(program, target.python)
    if name is None:
        return None
    packed = kept.find(name)
    if packed is None:
        packed = _compile(program, target)
        if packed is not None:
            kept.keep(name, packed)
    return packed


def _name(program: Program, python: str) -> str | None:
    """Name the compiled program by its sources and by the interpreter's file."""
    try:
        place = Path(python).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    digest = code_digest(PROGRAMS / program, pynvml_file(), place)
    return hashlib.sha256(f"compiled {digest}".encode()).hexdigest()


def _compile(program: Program, target: Target) -> bytes | None:
    """Let the target's own Python compile; what is not made of our sources is not taken."""
    printed = io.BytesIO()
    words = (target.python, "-I", "-S", "-B", _SOURCES, "--compile", _SOURCES)
    done = target.run(words, files={_SOURCES: pack(program)}, stdout=printed)
    _, mark, compiled = printed.getvalue().partition(_MARK)
    return compiled if done.exit_code == 0 and mark and _is_made_of(program, compiled) else None


def _is_made_of(program: Program, compiled: bytes) -> bool:
    import zipfile

    sources = dict(_sources(program))
    try:
        with zipfile.ZipFile(io.BytesIO(compiled)) as archive:
            names = sorted(archive.namelist())
            same = all(archive.read(name) == source for name, source in sources.items())
    except (zipfile.BadZipFile, KeyError, ValueError):
        return False
    return same and names == sorted((*sources, *(f"{name}c" for name in sources)))


def _sources(program: Program) -> Iterator[tuple[str, bytes]]:
    """Yield the files by their names in the zipapp, which hide no package of an environment."""
    for package in (program, *_WITH.get(program, ())):
        for module in (PROGRAMS / package).glob("*.py"):
            if module.name != "__main__.py":
                yield f"{package}/{module.name}", module.read_bytes()
    yield "__main__.py", (PROGRAMS / program / "__main__.py").read_bytes()
    if program in _WITH_PYNVML:
        yield "snapenv_pynvml.py", pynvml_file().read_bytes()


def pynvml_file() -> Path:
    """Find the one module of nvidia-ml-py, NVML's Python, which needs the standard library alone.

    Raises:
        ModuleNotFoundError: nvidia-ml-py is not installed beside snapenv.
    """
    pynvml = importlib.util.find_spec("pynvml")
    if pynvml is None or pynvml.origin is None:
        raise ModuleNotFoundError("nvidia-ml-py is not installed beside snapenv")
    return Path(pynvml.origin)
