"""Rebuild the wheel of an installed distribution from its files; else the files of the overlay.

The files are stored, not deflated: the bytes that deflate gives differ between builds of zlib,
and a snapshot's digest must not depend on the Python that wrote it.
Sources: binary-distribution-format, recording-installed-packages and entry-points, all below
https://packaging.python.org/en/latest/specifications/
"""

from __future__ import annotations

import base64
import configparser
import csv
import io
import re
import zipfile
from pathlib import PurePosixPath
from posixpath import dirname
from typing import IO, TYPE_CHECKING

from msgspec import Struct
from packaging.utils import canonicalize_name, is_normalized_name
from packaging.version import InvalidVersion, Version

from snapenv.content import read_chunks, sha256_of, size_bytes
from snapenv.errors import LockError, WriteError
from snapenv.lock.paths import refuse_unsafe
from snapenv.lock.tags import Platform, compressed, tags_of
from snapenv.model.carried import CarriedFile

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from snapenv.model.carried import Content
    from snapenv.model.python import Distribution

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
_UNIX = 3
# What an installer writes about itself, and what signs a RECORD that is no more.
_OF_INSTALLER = frozenset(
    [
        *("INSTALLER", "REQUESTED", "RECORD", "RECORD.jws", "RECORD.p7s"),
        *("direct_url.json", "uv_cache.json", "uv_build.json"),
    ]
)
_OF_EGG_ALONE = frozenset(["SOURCES.txt", "installed-files.txt", "not-zip-safe", "zip-safe"])
_COMPILED = re.compile(r"\.(?:so|abi3\.so|pyd|dylib)(?:\.\d+)*$")
_VERSION_1 = re.compile(rb"(?im)^Wheel-Version: *1\.\d+[ \t\r]*$")
_INFO = re.compile(r"[^/]+\.(?:dist-info|egg-info)")
_POINT = re.compile(r"\s*[\w.]+\s*:\s*[\w.]+\s*(?:\[.*\])?\s*")
_SECTIONS = ("console_scripts", "gui_scripts")
_SCRIPT = """#!python
import sys
from {module} import {first}
if __name__ == '__main__':
    sys.exit({attribute}())
"""
_ROOTS = {"site": "site", "scripts": "prefix/bin", "data": "prefix"}
_ABOVE = {"site/": "", "prefix/": "../../../"}  # from site-packages
_INSTALLER = b"snapenv\n"


class NoWheelError(LockError):
    """A distribution is of a form that no wheel has, although its files could travel."""


class _Layout(Struct, frozen=True, kw_only=True):
    """Where the files of one wheel go; ``prefix`` is ``NAME-VERSION`` as the archive spells it."""

    prefix: str
    installed_info: str  # the folder, or of distutils the file, that it has where it is installed
    generated: frozenset[str]  # scripts that an installer makes from the entry points
    lib: str  # "purelib" or "platlib"

    @property
    def info(self) -> str:
        return f"{self.prefix}.dist-info"


def make_wheel(
    distribution: Distribution,
    files: Mapping[str, CarriedFile],
    platform: Platform,
    *,
    into: Path,
) -> tuple[str, Content]:
    """Return a wheel's file name and content; the same files in any order give the same bytes.

    ``files`` are named ``site/PATH`` (below site-packages, the .dist-info among them),
    ``scripts/FILE`` and ``data/PATH`` (below the prefix). The tags of its name are those of its
    WHEEL file where they fit the platform, else such as do. Scripts that an installer generates
    from entry points are left out. A wheel with a large file is written to the folder ``into``.

    Raises:
        NoWheelError: An installer would refuse it, or bring it back other than it was.
        LockError: There is no metadata, or a path leads out or is no UTF-8.
        WriteError: There is no space for a large one.
    """
    name, members, info = _planned(distribution, files, platform)
    if all(isinstance(file.content, bytes) for file in files.values()):
        packed = io.BytesIO()
        _archive(members, info, packed)
        return name, packed.getvalue()
    place = into / name
    try:
        with place.open("x+b") as wheel:
            _archive(members, info, wheel)
    except OSError as error:
        raise WriteError(
            f"cannot write {place}: {error.strerror}", hint="Free some space, or set TMPDIR."
        ) from error
    return name, place


def _planned(
    distribution: Distribution, files: Mapping[str, CarriedFile], platform: Platform
) -> tuple[str, Mapping[str, CarriedFile], str]:
    """Return a wheel's file name, its members, and the name of its .dist-info."""
    refuse_unsafe(distribution.name, files)
    if not is_normalized_name(distribution.name):
        raise _cannot(distribution, "it has no name that a wheel can have")
    layout = _layout(distribution, files)
    members = _members(distribution, files, layout)
    wheel_file = f"{layout.info}/WHEEL"
    if wheel_file not in members:
        tag = platform.made_tag(compiled=_is_compiled(members))
        members[wheel_file] = CarriedFile(content=_made_wheel_file(tag), executable=False)
    written = members[wheel_file].text
    if not _VERSION_1.search(written):
        raise _cannot(distribution, f"{wheel_file} is not of version 1")
    tags = tags_of(written)
    fitting = compressed(tags) if any(map(platform.fits, tags)) else None
    named = fitting or platform.made_tag(compiled=_is_compiled(members))
    name = distribution.name.replace("-", "_")
    version = _version(distribution, members[f"{layout.info}/METADATA"].text)
    return f"{name}-{version}-{named}.whl", members, layout.info


def _layout(distribution: Distribution, files: Mapping[str, CarriedFile]) -> _Layout:
    info = _installed_info(distribution, files)
    version = _version(distribution, _metadata(distribution, files, info))
    stem, _, kind = info.rpartition(".")
    is_kept = kind == "dist-info"
    if is_kept and not _is_of(stem, distribution.name):
        raise _cannot(distribution, f"its metadata lies in {info}, which is not named after it")
    entry_points = files.get(f"site/{info}/entry_points.txt")
    if entry_points and not is_installable(entry_points.text):
        raise _cannot(distribution, "its entry_points.txt is not one that an installer takes")
    wheel = files.get(f"site/{info}/WHEEL")
    is_pure = wheel is None or re.search(rb"(?im)^Root-Is-Purelib: *true", wheel.text)
    return _Layout(
        prefix=stem if is_kept else f"{distribution.name.replace('-', '_')}-{version}",
        installed_info=info,
        generated=frozenset(scripts_of(entry_points.text)) if entry_points else frozenset(),
        lib="purelib" if is_pure else "platlib",
    )


def _is_of(stem: str, name: str) -> bool:
    """Return whether a .dist-info is named after its distribution, however it is spelled.

    Its version may be another than that of the metadata: installers take the metadata's.
    """
    name_in_stem, _, version = stem.partition("-")
    return canonicalize_name(name_in_stem) == name and bool(version)


def _installed_info(distribution: Distribution, files: Mapping[str, CarriedFile]) -> str:
    """Find the .dist-info, else the .egg-info, whose metadata names the distribution."""
    tops = sorted({path.split("/")[1] for path in files if path.startswith("site/")})
    for info in sorted(filter(_INFO.fullmatch, tops), key=lambda top: top.endswith(".egg-info")):
        metadata = _metadata_file(files, info)
        if metadata and canonicalize_name(_header(metadata, "Name")) == distribution.name:
            return info
    raise _no_metadata(distribution)


def _metadata_file(files: Mapping[str, CarriedFile], info: str) -> bytes | None:
    for name in ("/METADATA", "/PKG-INFO", ""):
        file = files.get(f"site/{info}{name}")
        if file:
            return file.text
    return None


def _metadata(distribution: Distribution, files: Mapping[str, CarriedFile], info: str) -> bytes:
    content = _metadata_file(files, info)
    if content is None:
        raise _no_metadata(distribution)
    return content


def _version(distribution: Distribution, metadata: bytes) -> Version:
    spelled = _header(metadata, "Version")
    try:
        return Version(spelled)
    except InvalidVersion as error:
        raise _cannot(
            distribution, f"{spelled!r} is not a version that a wheel can have"
        ) from error


def _header(metadata: bytes, name: str) -> str:
    headers = re.split(rb"\r?\n\r?\n", metadata, maxsplit=1)[0].decode(errors="replace")
    line = re.search(rf"^{name}:[ \t]*(\S+)[ \t\r]*$", headers, re.MULTILINE | re.IGNORECASE)
    return line[1] if line else ""


def _members(
    distribution: Distribution, files: Mapping[str, CarriedFile], layout: _Layout
) -> dict[str, CarriedFile]:
    """Return the files by their place in the wheel, without RECORD."""
    members: dict[str, CarriedFile] = {}
    for path, file in files.items():
        place = _place(path, layout)
        if place is None:
            continue
        if place in members:
            raise _cannot(distribution, f"two of its files would be {place}")
        members[place] = file
    _refuse_files_as_folders(distribution, members)
    return members


def _refuse_files_as_folders(distribution: Distribution, members: Collection[str]) -> None:
    folders = {str(parent) for path in members for parent in PurePosixPath(path).parents}
    for path in sorted(folders.intersection(members)):
        raise _cannot(distribution, f"{path} would be a file and a folder")


def _place(path: str, layout: _Layout) -> str | None:
    """Say where a file goes in the wheel; None where an installer makes it anew."""
    root, _, rest = path.partition("/")
    if root == "scripts":
        return None if rest in layout.generated else f"{layout.prefix}.data/scripts/{rest}"
    if root == "data":
        return f"{layout.prefix}.data/data/{rest}"
    top, _, below = rest.partition("/")
    if top == layout.installed_info:
        return _place_of_info(below, layout)
    # An installer takes any .data folder at the top for its own, and wants one .dist-info.
    if top.endswith((".data", ".dist-info")):
        return f"{layout.prefix}.data/{layout.lib}/{rest}"
    return rest


def _place_of_info(name: str, layout: _Layout) -> str | None:
    if name in _OF_INSTALLER:
        return None
    if layout.installed_info.endswith(".egg-info"):
        if name in _OF_EGG_ALONE:
            return None
        name = "METADATA" if name in ("PKG-INFO", "") else name
    return f"{layout.info}/{name}"


def _is_compiled(members: Iterable[str]) -> bool:
    return any(map(_COMPILED.search, members))


def _made_wheel_file(tag: str) -> bytes:
    pure = str(tag.endswith("-any")).lower()
    return (
        f"Wheel-Version: 1.0\nGenerator: snapenv\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
    ).encode()


def _archive(members: Mapping[str, CarriedFile], info: str, into: IO[bytes]) -> None:
    """Zip the members in order, the .dist-info last and RECORD at its end."""
    ordered = sorted(members, key=lambda path: (path.startswith(f"{info}/"), path))
    content = _record(((path, members[path].content) for path in ordered), f"{info}/RECORD")
    record = CarriedFile(content=content, executable=False)
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for path in ordered:
            _store(archive, path, members[path])
        _store(archive, f"{info}/RECORD", record)


def _store(archive: zipfile.ZipFile, path: str, file: CarriedFile) -> None:
    """Write a member, a piece at a time; of one that is large, its size must be known before."""
    entry = zipfile.ZipInfo(path, _DATE)
    entry.create_system = _UNIX
    entry.external_attr = (0o100755 if file.executable else 0o100644) << 16
    entry.file_size = size_bytes(file.content)
    with archive.open(entry, "w") as member:
        for chunk in read_chunks(file.content):
            member.write(chunk)


def _record(files: Iterable[tuple[str, Content | None]], own: str) -> bytes:
    """Write a RECORD at the path ``own``; what is None is listed without a hash."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path, content in files:
        if content is None:
            rows.writerow((path, "", ""))
            continue
        digest = base64.urlsafe_b64encode(sha256_of(content).digest()).rstrip(b"=").decode()
        rows.writerow((path, f"sha256={digest}", size_bytes(content)))
    rows.writerow((own, "", ""))
    return text.getvalue().encode()


def _cannot(distribution: Distribution, why: str) -> NoWheelError:
    return NoWheelError(
        f"no wheel can be made of {distribution.name} {distribution.version}: {why}",
        hint="Reinstall the package, then capture again.",
    )


def _no_metadata(distribution: Distribution) -> LockError:
    return LockError(
        f"no wheel can be made of {distribution.name} {distribution.version}: "
        "its metadata is missing",
        hint="Reinstall the package, then capture again.",
    )


def is_installable(entry_points: bytes) -> bool:
    """Return whether installers take a text: uv refuses a wheel with one that is in any way odd."""
    points = _read_points(entry_points, strict=True)
    return points is not None and all(_POINT.fullmatch(p) and "/" not in name for name, p in points)


def scripts_of(entry_points: bytes) -> Mapping[str, bytes]:
    """Return the scripts that an installer makes, by name; of what is no entry points, none."""
    points = _read_points(entry_points, strict=False) or []
    scripts = {}
    for name, point in points:
        if _POINT.fullmatch(point) and "/" not in name:
            target = point.partition("[")[0]  # module:attribute, without extras
            module, _, attribute = (part.strip() for part in target.partition(":"))
            first = attribute.partition(".")[0]
            script = _SCRIPT.format(module=module, first=first, attribute=attribute)
            scripts[name] = script.encode()
    return scripts


def _read_points(entry_points: bytes, *, strict: bool) -> list[tuple[str, str]] | None:
    """Return names and points of the sections of scripts; None where it is no such text."""
    parser = configparser.RawConfigParser(delimiters=("=",), strict=strict)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(entry_points.decode())
    except (configparser.Error, UnicodeDecodeError):
        return None
    return [pair for section in _SECTIONS if section in parser for pair in parser.items(section)]


def as_files(
    files: Mapping[str, CarriedFile], *, untracked: Collection[str] = ()
) -> Mapping[str, CarriedFile]:
    """Return the files of a distribution by their places: ``site/PATH`` and ``prefix/PATH``.

    ``files`` are named as for ``make_wheel``. Beside them stand the scripts of its entry points,
    and in its .dist-info a RECORD of all. What is ``untracked``, by such places, belongs to no
    distribution and is brought back apart.
    """
    placed = {}
    for path, file in files.items():
        root, _, rest = path.partition("/")
        placed[f"{_ROOTS[root]}/{rest}"] = file
    points = next(
        (file for path, file in files.items() if path.endswith(".dist-info/entry_points.txt")), None
    )
    for name, script in scripts_of(points.text if points else b"").items():
        if f"prefix/bin/{name}" not in untracked:
            placed.setdefault(f"prefix/bin/{name}", CarriedFile(content=script, executable=True))
    info = next((dirname(path) for path in placed if path.endswith(".dist-info/METADATA")), None)
    if info is None:
        return placed
    placed[f"{info}/INSTALLER"] = CarriedFile(content=_INSTALLER, executable=False)
    listed = (
        (_from_site(place), None if place.startswith("prefix/bin/") else file.content)
        for place, file in sorted(placed.items())  # an installer writes the first line of scripts
    )
    record = _record(listed, _from_site(f"{info}/RECORD"))
    return {**placed, f"{info}/RECORD": CarriedFile(content=record, executable=False)}


def _from_site(place: str) -> str:
    root = place[: place.index("/") + 1]
    return _ABOVE[root] + place.removeprefix(root)
