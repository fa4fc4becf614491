"""Path configuration files: what each line of a ``.pth`` adds to the import path.

Source: https://docs.python.org/3/library/site.html
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH112, PTH118, PTH120, PTH123

from __future__ import annotations

import os
import re
from typing import NamedTuple

_IMPORTS = ("import ", "import\t")
_IMPORT = re.compile(r"import[ \t]+([\w.]+)")


class Line(NamedTuple):
    """One line that does something; at most one of the two is set."""

    folder: str | None  # that is there, resolved
    module: str | None  # that is imported first


def lines(file: str) -> list[Line]:
    """Read a ``.pth`` file; what is no text, or leads to nothing, does nothing."""
    read = (_line(line, os.path.dirname(file)) for line in _read(file).splitlines())
    return [line for line in read if line.folder or line.module]


def names_folders(file: str) -> bool:
    """Say whether a ``.pth`` file has a line for a folder, also for one that is not there."""
    return not all(map(_is_of_no_folder, _read(file).splitlines()))


def _is_of_no_folder(line: str) -> bool:
    return line.startswith(("#", *_IMPORTS)) or not line.strip()


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8-sig", errors="surrogateescape") as stream:
            return stream.read()
    except OSError:
        return ""


def _line(text: str, folder: str) -> Line:
    if text.startswith(_IMPORTS):
        found = _IMPORT.match(text)
        return Line(None, found[1] if found else None)
    if text.startswith("#") or not text.strip() or "\0" in text:
        return Line(None, None)
    path = os.path.join(folder, text.rstrip())
    return Line(os.path.realpath(path) if os.path.isdir(path) else None, None)
