"""Whether a place outside of the environment is a person's own, or some system's.

What a person wrote can travel. What an operating system or another environment put there came
with more than the place itself, and is refused.
"""

# Paths are plain strings, as elsewhere in the probe.
# ruff: noqa: PTH110, PTH118

from __future__ import annotations

import functools
import os
import re
from typing import Iterator

from snapenv_probe import import_path, loader

OF_SYSTEM = "of the operating system"
OF_ANOTHER = "of another environment"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", "/boot", "/dev", "/proc")
_PEOPLE = ("/usr/local", "/usr/src", "/opt")  # people put things there, and packages do
_MARKS = ("pyvenv.cfg", "conda-meta")
_OF_ENVIRONMENT = frozenset(("bin", "etc", "include", "lib", "lib64", "share"))
_LIBRARY = re.compile(r"(.*)/lib(?:32|64)?/(?:python|pypy)[0-9.]+t?(?:/.*)?")


@functools.lru_cache(maxsize=None)
def why_not(place: str) -> str | None:
    """Say whose a resolved path is that must not travel; None where it may."""
    if import_path.is_below(place, import_path.prefix()):
        return None
    if _is_of_python(place) or any(_is_of_environment(*split) for split in _splits(place)):
        return OF_ANOTHER
    return OF_SYSTEM if _is_of_system(place) else None


def _is_of_python(place: str) -> bool:
    """Return whether a path is below the library of a Python, and not only of a ``--prefix``."""
    match = _LIBRARY.fullmatch(place)
    python = os.path.join(match[1] or "/", "bin", "python3") if match else ""
    return os.path.exists(python)


def _splits(place: str) -> Iterator[tuple[str, str]]:
    """Yield each folder above a path, with the name of what is in it on the way."""
    above, name = os.path.split(place)
    while name:
        yield above, name
        above, name = os.path.split(above)


def _is_of_environment(folder: str, name: str) -> bool:
    """Return whether a folder is another environment's; people keep projects in theirs, too."""
    return name in _OF_ENVIRONMENT and any(
        os.path.exists(os.path.join(folder, mark)) for mark in _MARKS
    )


def _is_of_system(place: str) -> bool:
    if any(_is_in(place, top) for top in _PEOPLE):
        return bool(loader.is_packaged(place))
    return any(_is_in(place, top) for top in _SYSTEM)


def _is_in(place: str, top: str) -> bool:
    return place == top or place.startswith(top + "/")
