"""Path configuration files: what each line of a ``.pth`` adds to the import path.

Source: https://docs.python.org/3/library/site.html
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH112, PTH118, PTH120, PTH123

from __future__ import annotations

import os
import re
from typing import Mapping, NamedTuple

from snapenv_probe import import_path

_IMPORTS = ("import ", "import\t")
_IMPORT = re.compile(r"import[ \t]+([\w.]+)")
# What does nothing but put one place, named in quotes, on the import path.
_ADDS = re.compile(
    r"""import[ \t]+[\w., ]+;\s*
    (?:sys\.path\.(?:append|insert)\((?:\s*-?\d+\s*,)?|site\.addsitedir\()
    \s*[rR]?(?P<quote>["'])(?P<place>[^"'\\]+)(?P=quote)\s*\)[\s;]*""",
    re.VERBOSE,
)
_QUOTED = re.compile(r"""(?<![\w"'])(?P<quote>["'])(?P<place>/[^"'\\]*)(?P=quote)""")


class Line(NamedTuple):
    """One line that does something; at most one of the two is set."""

    place: str | None  # a folder or archive that is there, resolved
    module: str | None  # that is imported first


def lines(file: str) -> list[Line]:
    """Read a ``.pth`` file; what is no text, or leads to nothing, does nothing."""
    read = (_line(line, os.path.dirname(file)) for line in _read(file).splitlines())
    return [line for line in read if line.place or line.module]


def places(file: str) -> set[str]:
    """Return the places that a ``.pth`` file leads to or its code names in quotes, resolved."""
    quoted = (_QUOTED.findall(line) for line in _read(file).splitlines())
    named = {os.path.realpath(path) for quotes in quoted for _, path in quotes}
    return named.union(line.place for line in lines(file) if line.place)


def without(file: str, moved: Mapping[str, str | None]) -> str | None:
    """Return a ``.pth`` file without the lines that only lead to one of some places, resolved.

    Where such a place stands in quotes in other code, it becomes the one that it moved to, from
    site-packages; ``site`` runs a line where ``sitedir`` is the folder of the file. None is for a
    file that then does nothing more.
    """
    kept = [line for line in _read(file).splitlines() if _leads_to(line, file) not in moved]
    text = "".join(f"{_QUOTED.sub(lambda quote: _moved(quote, moved), line)}\n" for line in kept)
    return None if all(line.startswith("#") or not line.strip() for line in kept) else text


def _leads_to(line: str, file: str) -> str:
    """Return the place that is all a line leads to; empty where it does more, or nothing."""
    adds = _ADDS.fullmatch(line)
    return (
        os.path.realpath(adds["place"]) if adds else _line(line, os.path.dirname(file)).place or ""
    )


def _moved(quote: re.Match[str], moved: Mapping[str, str | None]) -> str:
    path = moved.get(os.path.realpath(quote["place"]))
    return f"(sitedir + {'/' + path!r})" if path else quote[0]


def names_folders(file: str) -> bool:
    """Return whether a ``.pth`` file has a line for a folder, also for one that is not there."""
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
        match = _IMPORT.match(text)
        return Line(None, match[1] if match else None)
    if text.startswith("#") or not text.strip() or "\0" in text:
        return Line(None, None)
    path = os.path.join(folder, text.rstrip())
    is_place = os.path.isdir(path) or import_path.archive(path)
    return Line(os.path.realpath(path) if is_place else None, None)
