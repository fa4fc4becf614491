"""RECORD: which files a distribution put where, and what they were.

Source: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
"""

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
    from snapenv_probe.hashing import Hashed

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
# Control characters, line separators, and how Python holds a byte that is no UTF-8.
_UNWRITABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_COMPILED = (".pyc", ".pyo")
_NOT_CLEAN = ("", ".", "/")  # how a path may start that normpath would change
_OTHER_HASHES = ("sha384=", "sha512=")
_SHA256_BYTES = 32
_KERNEL = ("/proc/", "/sys/", "/dev/")  # reading what lies there may never end


class Entry(NamedTuple):
    """One line of RECORD."""

    path: str  # relative to the folder that is imported from
    file: str  # absolute
    hash: str  # "sha256=…", or empty


def parse(text: str, folder: str) -> list[Entry]:
    """Read RECORD; a path that is named twice counts once."""
    entries = (_entry(row, folder) for row in _rows(text.replace("\0", "")) if row)
    return list({entry.path: entry for entry in entries if entry}.values())


def _rows(text: str) -> Iterable[list[str]]:
    """Split into lines and fields; without a quote in it, in a fifth of the time of ``csv``."""
    if '"' in text:
        csv.field_size_limit(max(len(text), csv.field_size_limit()))
        return csv.reader(io.StringIO(text, newline=""))
    lines = text.replace("\r", "\n").split("\n")
    return [line.split(",") for line in lines if line]


def _entry(row: list[str], folder: str) -> Entry | None:
    """Return the file that a row names; None for a folder, and for a file of the kernel."""
    path, digest = row[0], row[1] if len(row) > 1 else ""
    if path[:1] in _NOT_CLEAN or "/." in path or "//" in path or path[-1] == "/":
        if path.endswith("/"):
            return None
        file = os.path.normpath(os.path.join(folder, path))
        is_of_kernel = file.startswith(_KERNEL)
        return None if is_of_kernel else Entry(_name(path, file, folder), file, digest)
    return Entry(path, f"{folder}/{path}", digest)


def _name(path: str, file: str, folder: str) -> str:
    """Name a file without the place of the environment, where it lies in there."""
    if not os.path.isabs(path):
        return os.path.normpath(path)
    is_own = file.startswith(os.path.realpath(sys.prefix) + os.sep)
    return os.path.relpath(file, folder) if is_own else file


def is_counted(entry: Entry, info: str) -> bool:
    """Return whether a file is of the distribution itself; ``info`` is the .dist-info's name."""
    folder, _, name = entry.path.rpartition("/")
    return not (is_compiled(entry.file) or (folder == info and name in OF_INSTALLER))


def is_script(entry: Entry) -> bool:
    """Return whether a file is one that an installer puts into bin."""
    return _SCRIPT.fullmatch(entry.path) is not None


def is_compiled(file: str) -> bool:
    """Return whether Python made a file from another, which lies there too."""
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
    made: frozenset[str] = frozenset(),
) -> dict[str, object]:
    """Sum up files as snapenv's ``Files`` describes it.

    ``scripts`` says by path whether those were edited whose hash is not that of their bytes.
    ``made`` are the paths that an installer makes and no wheel has: no part of ``recorded``.
    """
    listed = sorted(entries)
    present = [entry for entry in listed if entry.file in hashed]
    edited = [entry for entry in present if scripts.get(entry.path, is_edited(entry, hashed))]
    missing = [entry for entry in listed if _is_missing(entry, hashed)]
    sums = {entry.path: hashed[entry.file].sha256 for entry in present}
    return {
        "count": len(present),
        "size_bytes": sum(hashed[entry.file].size_bytes for entry in present),
        "sha256": digest(sums),
        "edited": [named(entry.path) for entry in edited],
        "missing": [named(entry.path) for entry in missing],
        "recorded": _recorded(sums, [*edited, *missing], made),
        "executable": _executable([(entry, hashed[entry.file].is_executable) for entry in present]),
    }


def _executable(files: list[tuple[Entry, bool]]) -> list[str] | None:
    """Name those that may be run; None where all may, as on a file system without such a bit."""
    paths = [named(entry.path) for entry, is_executable in files if is_executable]
    return None if paths and len(paths) == len(files) else paths


def _recorded(sums: Mapping[str, str], changed: list[Entry], made: frozenset[str]) -> str | None:
    """Digest the files as if what was changed were as RECORD says; None where nothing was.

    None too where RECORD names no SHA-256 of it. Of a wheel's own script RECORD may name the hash
    with the first line as the installer wrote it: the digest is then none that a wheel gives.
    """
    digests = {entry.path: _sha256(entry) for entry in changed if entry.path not in made}
    if not changed or None in digests.values():
        return None
    kept = {path: sha256 for path, sha256 in sums.items() if path not in made}
    return digest({**kept, **digests})


def digest(sums: Mapping[str, str | None] | Mapping[str, str]) -> str:
    """Hash the lines of ``Files.sha256``; ``sums`` are hashes in hex by path."""
    lines = "".join(f"{path}\0{sums[path]}\n" for path in sorted(sums))
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def _sha256(entry: Entry) -> str | None:
    """Return in hex the SHA-256 that RECORD names."""
    algorithm, _, encoded = entry.hash.partition("=")
    try:
        digest = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:  # also of base64
        return None
    return digest.hex() if algorithm == "sha256" and len(digest) == _SHA256_BYTES else None


def _is_missing(entry: Entry, hashed: Mapping[str, Hashed]) -> bool:
    """Return whether nothing readable is there; some wheels list their folders too."""
    return entry.file not in hashed and not os.path.isdir(entry.file)


def is_edited(entry: Entry, hashed: Mapping[str, Hashed]) -> bool:
    """Return whether a file that was hashed is not what RECORD says."""
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
    """Return whether a file's content is not what RECORD says; without a hash anything may be."""
    if not entry.hash.startswith(("sha256=", *_OTHER_HASHES)):
        return False
    return _encoded(hashlib.new(entry.hash.partition("=")[0], content).digest()) != _expected(entry)


def _expected(entry: Entry) -> str:
    return entry.hash.partition("=")[2].rstrip("=")


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_plain(path: str) -> bool:
    """Return whether a path can be written in one line of UTF-8."""
    return not _UNWRITABLE.search(path)


def named(path: str) -> str:
    """Return a path as it is, less what cannot be written, with a home folder as ``~``."""
    return _UNWRITABLE.sub(lambda sign: _printable(sign[0]), _without_home(path))


def shown(path: str) -> str:
    """Make a path printable, with a home folder as ``~``."""
    return printable(_without_home(path))


def _without_home(path: str) -> str:
    own = re.escape(os.path.expanduser("~").strip("/"))
    homes = rf"(?:/|(?:\.\./)+)(?:{own}|home/[^/]+|Users/[^/]+)/"
    return re.sub(rf"^{homes}", "~/", path + "/")[:-1]


def printable(text: str) -> str:
    r"""Write bytes that are no UTF-8 as ``\xff``, and what cannot be printed as Python does."""
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # how Python holds a byte that is no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char if char.isprintable() else char.encode("unicode_escape").decode()
