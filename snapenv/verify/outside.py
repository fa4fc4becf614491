"""Compare an image with its lock and its base as its engine has it.

A probe runs on the image's own Python, which may say anything. Nothing of the image is run for
this: the files of its environment are hashed here, and summed up by the rules of ``Files``, and
its layers are compared with those of the base that it names. Pure: values in, a check out.

What is not compared: the packages of its base and those of conda, what a placeholder stands in,
Python itself with its library, the operating system, and bytecode.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct, field
from packaging.utils import canonicalize_name

from snapenv.model.outcome import Check
from snapenv.model.snapshot import IMAGE_PREFIX
from snapenv.sizes import counted

if TYPE_CHECKING:
    from snapenv.model.outcome import Severity
    from snapenv.model.python import Distribution, Environment

Found = Iterable[tuple[str, Iterator[bytes] | None]]
"""What lies below a folder, by its path from there: the bytes of a plain file, else None."""

_SITE = re.compile(r"lib/(?:python|pypy)[0-9.]+t?/site-packages/")
_INFO = re.compile(r"([^/]+)-([^/-]+)\.dist-info/(?:RECORD|WHEEL|entry_points\.txt)")
_SCRIPT = re.compile(r"(?:\.\./)+bin/[^/]+")
_TEXT_BYTES = 256 << 20  # of all files that are read, and not only hashed
_PYTHON = re.compile(r"(?:python|pypy)[0-9.]*w?t?")
_POINT = re.compile(r"([\w.-]+)\s*=\s*([\w.]+)\s*:\s*([\w.]+)\s*(?:\[.*\])?")
_VERSION = re.compile(r"(?<=^pip)[0-9.]+$|(?<=^easy_install)-[0-9.]+$")
_OF_INSTALLER = frozenset(
    {
        *("INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "RECORD.p7s", "direct_url.json"),
        *("uv_cache.json", "uv_build.json"),
    }
)
_OF_UV = ("_virtualenv.py", "_virtualenv.pth")  # whose content depends on uv's version
_RUN = (".py", ".pth", ".so", ".pyc")  # what Python may run of what no package has
_ELF = b"\x7fELF"
_MADE = b"\nGenerator: snapenv\n"
_ELSEWHERE = ("base", "conda", "system")  # origins of what lies outside of the folder
_NAMED = 3


class _Seen(Struct, frozen=True):
    """What lies in the environment's folder; paths are from there."""

    sums: dict[str, str] = field(default_factory=dict)  # of plain files, sha256 in hex
    texts: dict[str, bytes] = field(default_factory=dict)  # of those that are read
    others: set[str] = field(default_factory=set)  # links, and all else that is no plain file


class _Line(Struct, frozen=True):
    """A file that a RECORD names."""

    path: str  # from site-packages
    place: str  # from the environment's folder
    sha256: str  # that RECORD says, in hex; or empty


def compare_outside(found: Found, expected: Environment, *, prefix: str = IMAGE_PREFIX) -> Check:
    """Return the check of whether the files below an environment's folder are as locked.

    ``prefix`` is where that folder lies for a program that runs in it.
    """
    seen = _read(found)
    site = next((match[0] for path in seen.sums if (match := _SITE.match(path))), "")
    infos: dict[str, str] = {  # which version it is, its METADATA says, which is summed up
        canonicalize_name(match[1]): path.rpartition("/")[0]
        for path in seen.texts
        if path.startswith(site) and (match := _INFO.fullmatch(path.removeprefix(site)))
    }
    records = {key: _lines(seen, site, info) for key, info in infos.items()}
    compared = [package for package in expected.distributions if _is_compared(package)]
    odd = [
        *(package.name for package in compared if _differs(package, seen, records, infos, prefix)),
        *sorted(_unknown(seen, site, expected, records.values())),
    ]
    files = sum(package.files.count for package in compared if package.files)
    named = ", ".join(odd[:_NAMED]) + (f" and {len(odd) - _NAMED} more" if odd[_NAMED:] else "")
    return Check(
        id="outside",
        ok=not odd,
        expected="the files that its engine holds are as locked",
        actual=f"{counted(files, 'file')} of {counted(len(compared), 'package')}, read from outside"
        if not odd
        else f"not as locked, read from outside: {named}",
        fix="Do not run this image. Where its own Python found no difference, it was made to lie."
        if odd
        else None,
        part="image",
    )


def compare_base(layers: Sequence[str], base: Sequence[str], name: str) -> Check:
    """Return the check of whether a base's layers lie below an image's own, all by diff id."""
    ok = bool(base) and tuple(layers[: len(base)]) == tuple(base)
    return _base_check(
        name,
        ok=ok,
        actual=counted(len(base), "layer") if ok else "others",
        fix=None if ok else f"Do not run this image: it was not built on {name}.",
    )


def base_unknown(name: str, why: str) -> Check:
    """Return the check of a base that cannot be had: it says neither yes nor no."""
    fix = "Ask whoever has built it, or verify it where the registry of its base can be reached."
    return _base_check(name, ok=False, actual=f"not checked: {why}", fix=fix, severity="warning")


def _base_check(
    name: str, *, ok: bool, actual: str, fix: str | None, severity: Severity = "error"
) -> Check:
    return Check(
        id="base",
        ok=ok,
        expected=f"the layers of {name} below its own",
        actual=actual,
        fix=fix,
        part="image",
        severity=severity,
    )


def _is_compared(package: Distribution) -> bool:
    files = package.files
    return files is not None and not files.placeholders and package.origin not in _ELSEWHERE


def _read(found: Found) -> _Seen:
    seen, left = _Seen(), _TEXT_BYTES
    for path, chunks in found:
        if chunks is None:
            seen.others.add(path)
            continue
        digest, text = hashlib.sha256(), bytearray()
        is_text = path.startswith("bin/") or _INFO.search(path) is not None
        for chunk in chunks:
            digest.update(chunk)
            is_program = path.startswith("bin/") and not text and not chunk.startswith(b"#!")
            if is_text and len(text) + len(chunk) <= left:
                text += chunk[: len(_ELF)] if is_program else chunk
            is_text = is_text and not is_program
        seen.sums[path] = digest.hexdigest()
        if text:
            seen.texts[path] = bytes(text)
            left -= len(text)
    return seen


def _lines(seen: _Seen, site: str, info: str) -> tuple[_Line, ...]:
    text = seen.texts.get(f"{info}/RECORD", b"").decode(errors="surrogateescape")
    csv.field_size_limit(max(len(text), csv.field_size_limit()))
    lines = {}
    for row in csv.reader(io.StringIO(text.replace("\0", ""), newline="")):
        if row and row[0] and not row[0].endswith("/"):
            path = posixpath.normpath(row[0])
            place = posixpath.normpath(posixpath.join(site, path))
            lines[path] = _Line(path, place, _sha256(row[1] if row[1:] else ""))
    return tuple(lines.values())


def _sha256(named: str) -> str:
    algorithm, _, encoded = named.partition("=")
    try:
        digest = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    except ValueError:
        return ""
    return digest.hex() if algorithm == "sha256" else ""


def _differs(
    package: Distribution,
    seen: _Seen,
    records: Mapping[str, tuple[_Line, ...]],
    infos: Mapping[str, str],
    prefix: str,
) -> bool:
    """Return whether a package's files do not sum up to what its lock says."""
    key = canonicalize_name(package.name)
    if package.files is None or key not in records:
        return package.files is not None
    info, sums = infos[key], dict[str, str]()
    points = _points(seen.texts.get(f"{info}/entry_points.txt", b""))
    name = info.rpartition("/")[2]
    for line in records[key]:
        if _is_counted(line, name, seen, info):
            sha256 = _counts_as(line, points, seen, prefix)
            if sha256:
                sums[line.path] = sha256
    lines = "".join(f"{path}\0{sums[path]}\n" for path in sorted(sums))
    actual = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    return actual != package.files.sha256


def _is_counted(line: _Line, info: str, seen: _Seen, place: str) -> bool:
    folder, _, name = line.path.rpartition("/")
    if "__pycache__" in line.path.split("/") or (folder == info and name in _OF_INSTALLER):
        return False
    if line.path.endswith((".pyc", ".pyo")) and line.place[:-1] in seen.sums:
        return False
    is_made = line.path == f"{info}/WHEEL" and _MADE in seen.texts.get(f"{place}/WHEEL", b"")
    return not is_made


def _counts_as(line: _Line, points: frozenset[str], seen: _Seen, prefix: str) -> str | None:
    """Return what a file's hash counts as; None where it is missing, or an installer makes it."""
    raw, text = seen.sums.get(line.place), seen.texts.get(line.place, b"")
    if raw is None or not _SCRIPT.fullmatch(line.path) or not text.startswith(b"#!"):
        return raw
    name = posixpath.basename(line.path)
    is_made = name in points or _VERSION.sub("", name) in points
    if is_made and raw == line.sha256:
        return None
    return hashlib.sha256(_without_prefix(text, prefix)).hexdigest()


def _without_prefix(text: bytes, prefix: str) -> bytes:
    """Write the first line as a wheel has it where it names the environment's own interpreter."""
    first, newline, rest = text.partition(b"\n")
    program, space, options = first[2:].partition(b" -")
    folder, _, name = program.decode(errors="replace").strip().strip("'\"").rpartition("/")
    if folder != f"{prefix}/bin" or not _PYTHON.fullmatch(name):
        return text
    return b"#!python" + space + options + newline + rest


def _points(text: bytes) -> frozenset[str]:
    """Return the scripts that an installer makes of entry points, by name."""
    names, section = set(), ""
    for line in map(str.strip, text.decode(errors="replace").splitlines()):
        section = line if line.startswith("[") else section
        point = _POINT.fullmatch(line)
        if point and section in {"[console_scripts]", "[gui_scripts]"}:
            names.add(point[1])
    return frozenset(names)


def _unknown(
    seen: _Seen, site: str, expected: Environment, records: Iterable[tuple[_Line, ...]]
) -> Iterator[str]:
    """Name what Python runs or imports, and neither a package nor the lock names."""
    listed = {line.place for lines in records for line in lines}
    untracked = {
        posixpath.normpath(posixpath.join(site, file.path)): file for file in expected.untracked
    }
    for place, sha256 in seen.sums.items():
        if not place.startswith(site) or place in listed or not place.endswith(_RUN):
            continue
        path, file = place.removeprefix(site), untracked.get(place)
        is_left_out = path in _OF_UV or "/__pycache__/" in f"/{path}"
        is_other = file is not None and not file.placeholders and file.sha256 != sha256
        if is_other or (file is None and not is_left_out):
            yield path
    for place in seen.others & listed:
        yield place.removeprefix(site)
    if not seen.texts.get("bin/python", _ELF).startswith(_ELF):
        yield "bin/python is no program"
