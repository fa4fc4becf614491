"""RECORD: which files a distribution put where, and what they were.

Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH111, PTH112, PTH117, PTH118, PTH123

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import sys
from typing import TYPE_CHECKING, Iterable, Mapping, NamedTuple

if TYPE_CHECKING:
    from probe_hashing import Hashed

# Written by the installer about itself, so different between pip and uv.
OF_INSTALLER = frozenset(
    [
        "INSTALLER",
        "REQUESTED",
        "RECORD",
        "RECORD.jws",
        "RECORD.p7s",
        "direct_url.json",
        "uv_cache.json",
        "uv_build.json",
    ]
)
_SCRIPT = re.compile(r"(?:\.\./)+(?:bin|Scripts)/[^/]+")  # its first line names the environment
_COMPILED = (".pyc", ".pyo")


class Entry(NamedTuple):
    """One line of RECORD."""

    path: str  # relative to the folder that is imported from
    file: str  # absolute
    hash: str  # "sha256=…", or empty


def parse(text: str, folder: str) -> list[Entry]:
    """Read RECORD; a path that is named twice counts once."""
    rows = csv.reader(io.StringIO(text.replace("\0", ""), newline=""))
    entries = (_entry(row, folder) for row in rows if row and not row[0].endswith("/"))
    return list({entry.path: entry for entry in entries}.values())


def _entry(row: list[str], folder: str) -> Entry:
    file = os.path.normpath(os.path.join(folder, row[0]))
    return Entry(_name(row[0], file, folder), file, row[1] if len(row) > 1 else "")


def _name(path: str, file: str, folder: str) -> str:
    """Name a file without the place of the environment, where it lies in there."""
    if not os.path.isabs(path):
        return os.path.normpath(path)
    is_own = file.startswith(os.path.realpath(sys.prefix) + os.sep)
    return os.path.relpath(file, folder) if is_own else file


def is_digested(entry: Entry, info: str) -> bool:
    """Say whether a file is the same whoever installs it; ``info`` is the .dist-info's name."""
    folder, _, name = entry.path.rpartition("/")
    return not (
        is_compiled(entry.path)
        or _SCRIPT.fullmatch(entry.path)
        or (folder == info and name in OF_INSTALLER)
    )


def is_compiled(path: str) -> bool:
    """Say whether Python made this file from another."""
    return path.endswith(_COMPILED) or "__pycache__" in path.split("/")


def files(entries: Iterable[Entry], hashed: Mapping[str, Hashed]) -> dict[str, object]:
    """Sum up files as snapenv's ``Files`` describes it."""
    listed = sorted(entries)
    present = [entry for entry in listed if entry.file in hashed]
    digest = hashlib.sha256()
    for entry in present:
        line = f"{entry.path}\0{hashed[entry.file].sha256}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return {
        "count": len(present),
        "size_bytes": sum(hashed[entry.file].size_bytes for entry in present),
        "sha256": digest.hexdigest(),
        "edited": [shown(entry.path) for entry in present if _is_edited(entry, hashed)],
        "missing": [shown(entry.path) for entry in listed if _is_missing(entry, hashed)],
    }


def _is_missing(entry: Entry, hashed: Mapping[str, Hashed]) -> bool:
    """Say whether nothing readable is there; some wheels list their folders too."""
    return entry.file not in hashed and not os.path.isdir(entry.file)


def _is_edited(entry: Entry, hashed: Mapping[str, Hashed]) -> bool:
    algorithm, _, expected = entry.hash.partition("=")
    if algorithm == "sha256":
        digest = bytes.fromhex(hashed[entry.file].sha256)
    elif algorithm in ("sha384", "sha512"):
        with open(entry.file, "rb") as file:
            digest = hashlib.new(algorithm, file.read()).digest()
    else:
        return False
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != expected.rstrip("=")


def shown(path: str) -> str:
    r"""Make a path printable: bytes that are no UTF-8 as ``\xff``, a home folder as ``~``."""
    own = re.escape(os.path.expanduser("~").strip("/"))
    homes = rf"(?:/|(?:\.\./)+)(?:{own}|home/[^/]+|Users/[^/]+)/"
    printable = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return re.sub(rf"^{homes}", "~/", printable)
