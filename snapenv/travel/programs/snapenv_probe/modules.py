"""What a folder of the import path offers to be imported, at any depth.

A regular package, or a folder that holds modules itself, counts whole. Of a namespace without
modules of its own only what has some counts: such a folder may hold anything else, too.
Source: https://docs.python.org/3/reference/import.html#namespace-packages
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH110, PTH112, PTH113, PTH114, PTH118, PTH119, PTH202

from __future__ import annotations

import importlib.machinery
import itertools
import os
from typing import Collection, Iterable, Iterator

from snapenv_probe import editable, import_path
from snapenv_probe.record_file import Entry

LIMIT_FOLDERS = 20_000
LIMIT_FILES = 50_000
LIMIT_BYTES = 4 << 30
_TOO_MUCH = ": too much to travel"
_MODULE = (".py", ".pyc", *importlib.machinery.EXTENSION_SUFFIXES)


class CannotTravel(Exception):  # noqa: N818 - it says what it is
    """What a place holds has to stay there; the text says why, in a few words."""


def offered(root: str, owned: Collection[str] = ()) -> list[Entry]:
    """List what can be imported from a folder, and nobody owns, by its path in there.

    Raises:
        CannotTravel: It is more than a snapshot should hold.
    """
    entries = checked(entry for entry in _offered(root, "", [0]) if entry.file not in owned)
    return entries if any(_is_module(entry.path) for entry in entries) else []


def checked(entries: Iterable[Entry]) -> list[Entry]:
    """Return files if they may travel.

    Raises:
        CannotTravel: They are too many, or too large together.
    """
    files = list(itertools.islice(entries, LIMIT_FILES + 1))
    if len(files) > LIMIT_FILES:
        raise CannotTravel(f"more than {LIMIT_FILES} files{_TOO_MUCH}")
    size_bytes = sum(os.path.getsize(entry.file) for entry in files)
    if size_bytes > LIMIT_BYTES:
        raise CannotTravel(f"{size_bytes / (1 << 30):.1f} GiB{_TOO_MUCH}")
    return files


def has_module(place: str) -> bool:
    """Return whether there is any module below a folder."""
    return any(_is_module(entry.path) for entry in editable.below("", place))


def _offered(folder: str, path: str, read_count: list[int]) -> Iterator[Entry]:
    """Go through a folder that is no package, but may hold some."""
    read_count[0] += 1
    if read_count[0] > LIMIT_FOLDERS:
        raise CannotTravel(f"more than {LIMIT_FOLDERS} folders{_TOO_MUCH}")
    for name in import_path.names(folder):
        place = os.path.join(folder, name)
        inner = f"{path}/{name}" if path else name
        if not os.path.isdir(place):
            if _is_module(name) and os.path.isfile(place):
                yield Entry(inner, place, "")
        elif _may_be_package(name, place):
            is_whole = any(map(_is_module, import_path.names(place)))
            yield from (
                editable.below(inner, place) if is_whole else _offered(place, inner, read_count)
            )


def _is_module(name: str) -> bool:
    stem = os.path.basename(name).split(".", maxsplit=1)[0]
    return name.endswith(_MODULE) and stem.isidentifier()


def _may_be_package(name: str, place: str) -> bool:
    is_name = name.isidentifier() and name not in editable.NEVER
    is_circle = os.path.islink(place) and f"{place}/".startswith(os.path.realpath(place) + os.sep)
    return is_name and not is_circle and not os.path.exists(os.path.join(place, "pyvenv.cfg"))
