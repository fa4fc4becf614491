"""Prove which wheel of an index was installed: its own RECORD lists the installed files' hashes.

Source: https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import re
from posixpath import normpath
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from snapenv.model.python import Distribution
    from snapenv.model.wheels import IndexWheel, WheelRecord

_NOTHING: Mapping[str, str] = MappingProxyType({})
_AT_ONCE = 16  # questions to an index
_DATA = re.compile(r"(?P<owner>[^/]+)\.data/(?P<scheme>[a-z]+)/(?P<path>.+)", re.DOTALL)
_PLACES = {"purelib": "", "platlib": "", "scripts": "../../../bin/", "data": "../../../"}
# What an installer writes about itself, or leaves out.
_OF_INSTALLER = re.compile(
    r"[^/]+\.dist-info/(?:INSTALLER|REQUESTED|RECORD(?:\.jws|\.p7s)?"
    r"|direct_url\.json|uv_cache\.json|uv_build\.json)"
)


def prove(
    pins: Sequence[Distribution],
    offers: Mapping[str, Sequence[IndexWheel]],
    *,
    record: Callable[[IndexWheel], WheelRecord],
    python: str,
) -> Mapping[str, IndexWheel | None]:
    """Return of each pin the one offered wheel that was installed, by name; None where none was.

    Its size is known then, and which of its files may be run.

    ``record`` gives a wheel's own RECORD, and is asked for many at once.
    """

    def proven(pin: Distribution) -> IndexWheel | None:
        for wheel in offers.get(pin.name, ()):
            own = record(wheel)
            for cut in ({}, own.cut_scripts) if own.cut_scripts else ({},):
                if is_proof(own.text, pin, python, cut=cut):
                    return _proven(replace(wheel, size_bytes=own.size_bytes), own, cut, python)
        return None

    from concurrent.futures import ThreadPoolExecutor  # what is proved already needs none

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        wheels = list(threads.map(proven, pins))
    return {pin.name: wheel for pin, wheel in zip(pins, wheels, strict=True)}


def _proven(wheel: IndexWheel, own: WheelRecord, cut: Mapping[str, str], python: str) -> IndexWheel:
    """Tell of a wheel that was installed what else an installer makes of it."""
    return replace(
        wheel,
        executable=installed_executables(own, name=wheel.name, python=python),
        cut_scripts=tuple(sorted(_installed(path, wheel.name, python) for path in cut)),
    )


def is_proof(
    record: str, pin: Distribution, python: str, *, cut: Mapping[str, str] = _NOTHING
) -> bool:
    """Return whether a wheel with this RECORD, installed for ``python``, gives the pin's files.

    Files that were edited or deleted since count as the installed RECORD has them, and those
    of ``cut`` with the hashes that they have there.
    """
    files = pin.files
    if files is None or ((files.edited or files.missing) and files.recorded is None):
        return False
    expected = files.recorded or files.sha256
    return installed_digest(record, name=pin.name, python=python, cut=cut) == expected


def installed_digest(
    record: str, *, name: str, python: str, cut: Mapping[str, str] = _NOTHING
) -> str | None:
    """Return what ``Files.sha256`` would be once a wheel is installed, from its RECORD.

    None where a file has no sha256 in it.
    """
    rows = {
        path: cut.get(path, hashed)
        for path, hashed in _rows(record)
        if not _OF_INSTALLER.fullmatch(path)
    }
    folders = {path.rpartition("/")[0] for path in rows}
    lines = {}
    for path, hashed in rows.items():
        if _is_compiled(path, rows) or (not hashed and path in folders):
            continue
        sha256 = _hex(hashed)
        if sha256 is None:
            return None
        lines[_installed(path, name, python)] = sha256
    text = "".join(f"{path}\0{sha256}\n" for path, sha256 in sorted(lines.items()))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def installed_executables(record: WheelRecord, *, name: str, python: str) -> tuple[str, ...]:
    """Return the files of a wheel that may be run once it is installed, sorted.

    Scripts may always: an installer sees to that.
    """
    rows = {path for path, _ in _rows(record.text) if not _OF_INSTALLER.fullmatch(path)}
    executable = {path for path in map(normpath, record.executable) if path in rows}
    executable.update(filter(_is_script, rows))
    counted = (path for path in executable if not _is_compiled(path, rows))
    return tuple(sorted(_installed(path, name, python) for path in counted))


def _is_script(path: str) -> bool:
    match = _DATA.fullmatch(path)
    return match is not None and match["scheme"] == "scripts"


def _rows(record: str) -> Iterator[tuple[str, str]]:
    """Yield path and hash of each file; a path that is named twice counts as the last says."""
    csv.field_size_limit(max(len(record), csv.field_size_limit()))
    for row in csv.reader(io.StringIO(record.replace("\0", ""), newline="")):
        if row and not row[0].endswith("/"):
            yield normpath(row[0]), row[1] if len(row) > 1 else ""


def _is_compiled(path: str, rows: Iterable[str]) -> bool:
    """Return whether Python makes a file anew from another, which lies there too."""
    if "__pycache__" in path.split("/") or path.endswith(".pyo"):
        return True
    return path.endswith(".pyc") and path[:-1] in rows


def _hex(hashed: str) -> str | None:
    algorithm, _, encoded = hashed.partition("=")
    try:
        digest = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except (binascii.Error, ValueError):
        return None
    is_sha256 = algorithm == "sha256" and len(digest) == hashlib.sha256().digest_size
    return digest.hex() if is_sha256 else None


def _installed(path: str, name: str, python: str) -> str:
    """Say where a file of a wheel lies once it is installed, from site-packages."""
    match = _DATA.fullmatch(path)
    if not match:
        return path
    if match["scheme"] == "headers":
        return f"../../../include/site/python{python}/{name}/{match['path']}"
    return _from_site(_PLACES.get(match["scheme"], "") + match["path"], python)


def _from_site(path: str, python: str) -> str:
    """Shorten what leads out of site-packages and back into it."""
    return normpath(path).removeprefix(f"../../../lib/python{python}/site-packages/")
