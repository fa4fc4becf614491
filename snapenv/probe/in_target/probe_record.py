"""RECORD: which files a distribution put where, and what they were.

Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH111, PTH113, PTH112, PTH117, PTH118, PTH123

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import re
import sys
from types import MappingProxyType
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
_CLEAN = re.compile(r"(?:[^./][^/]*)(?:/[^./][^/]*)*")  # nothing that normpath would change
_OTHER_HASHES = ("sha384=", "sha512=")
_KERNEL = ("/proc/", "/sys/", "/dev/")  # reading what lies there may never end


class Entry(NamedTuple):
    """One line of RECORD."""

    path: str  # relative to the folder that is imported from
    file: str  # absolute
    hash: str  # "sha256=…", or empty


def parse(text: str, folder: str) -> list[Entry]:
    """Read RECORD; a path that is named twice counts once."""
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    rows = csv.reader(io.StringIO(text.replace("\0", ""), newline=""))
    entries = (_entry(row, folder) for row in rows if row and not row[0].endswith("/"))
    return list({one.path: one for one in entries if not one.file.startswith(_KERNEL)}.values())


def _entry(row: list[str], folder: str) -> Entry:
    if _CLEAN.fullmatch(row[0]):
        return Entry(row[0], folder + "/" + row[0], row[1] if len(row) > 1 else "")
    file = os.path.normpath(os.path.join(folder, row[0]))
    return Entry(_name(row[0], file, folder), file, row[1] if len(row) > 1 else "")


def _name(path: str, file: str, folder: str) -> str:
    """Name a file without the place of the environment, where it lies in there."""
    if not os.path.isabs(path):
        return os.path.normpath(path)
    is_own = file.startswith(os.path.realpath(sys.prefix) + os.sep)
    return os.path.relpath(file, folder) if is_own else file


def is_counted(entry: Entry, info: str) -> bool:
    """Say whether a file is of the distribution itself; ``info`` is the .dist-info's name."""
    folder, _, name = entry.path.rpartition("/")
    return not (is_compiled(entry.file) or (folder == info and name in OF_INSTALLER))


def is_script(entry: Entry) -> bool:
    """Say whether a file is one that an installer puts into bin."""
    return _SCRIPT.fullmatch(entry.path) is not None


def is_compiled(file: str) -> bool:
    """Say whether Python made a file from another, which lies there too."""
    if "__pycache__" in file and "__pycache__" in file.split("/"):
        return True
    if not file.endswith(_COMPILED):
        return False
    is_alone = file.endswith(".pyc") and not os.path.isfile(file[:-1]) and os.path.isfile(file)
    return not is_alone


def files(
    entries: Iterable[Entry],
    hashed: Mapping[str, Hashed],
    *,
    scripts: Mapping[str, bool] = MappingProxyType({}),
) -> dict[str, object]:
    """Sum up files as snapenv's ``Files`` describes it.

    ``scripts`` says by path whether those were edited whose hash is not that of their bytes.
    """
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
        "edited": [
            shown(entry.path)
            for entry in present
            if scripts.get(entry.path, _is_edited(entry, hashed))
        ],
        "missing": [shown(entry.path) for entry in listed if _is_missing(entry, hashed)],
    }


def _is_missing(entry: Entry, hashed: Mapping[str, Hashed]) -> bool:
    """Say whether nothing readable is there; some wheels list their folders too."""
    return entry.file not in hashed and not os.path.isdir(entry.file)


def _is_edited(entry: Entry, hashed: Mapping[str, Hashed]) -> bool:
    if entry.hash.startswith("sha256="):
        return _encoded(bytes.fromhex(hashed[entry.file].sha256)) != _expected(entry)
    if not entry.hash.startswith(_OTHER_HASHES):
        return False
    try:
        with open(entry.file, "rb") as file:
            return is_other(entry, file.read())
    except OSError:
        return True


def is_other(entry: Entry, content: bytes) -> bool:
    """Say whether a file's content is not what RECORD says; what names no hash may be anything."""
    if not entry.hash.startswith(("sha256=", *_OTHER_HASHES)):
        return False
    return _encoded(hashlib.new(entry.hash.partition("=")[0], content).digest()) != _expected(entry)


def _expected(entry: Entry) -> str:
    return entry.hash.partition("=")[2].rstrip("=")


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_plain(path: str) -> bool:
    """Say whether a path can be written in one line of UTF-8."""
    return path.isprintable()


def shown(path: str) -> str:
    """Make a path printable, with a home folder as ``~``."""
    own = re.escape(os.path.expanduser("~").strip("/"))
    homes = rf"(?:/|(?:\.\./)+)(?:{own}|home/[^/]+|Users/[^/]+)/"
    return printable(re.sub(rf"^{homes}", "~/", path + "/")[:-1])


def printable(text: str) -> str:
    r"""Write bytes that are no UTF-8 as ``\xff``, and what cannot be printed as Python does."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # how Python holds a byte that is no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()
