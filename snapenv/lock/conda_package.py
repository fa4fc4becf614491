"""Rebuild the archive of an installed conda package, where no channel has it any more.

Its files are those of the prefix, with the prefix taken out of them again: each has the hash that
the package had, or there is no archive. They are stored, not compressed: what zstd gives differs
between its versions, and a snapshot's digest must not depend on them.

Sources: https://docs.conda.io/projects/conda/en/stable/user-guide/concepts/packages.html,
https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html and RFC 8878.
"""

from __future__ import annotations

import configparser
import io
import json
import re
import tarfile
import tempfile
import zipfile
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

from msgspec import Struct

from snapenv.content import read_chunks, sha256_of, size_bytes
from snapenv.errors import LockError
from snapenv.model.carried import Content
from snapenv.model.conda import CondaArchive
from snapenv.model.snapshot import VENDOR

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.conda import CondaPackage

_DATE = (1980, 1, 1, 0, 0, 0)  # the first that a zip can hold
_MADE = frozenset(
    ["pyc_file", "unix_python_entry_point", "windows_python_entry_point_script"]
)  # by whoever installs it, of what the package says
_THROUGH_SHELL = re.compile(
    rb"\A#!/bin/sh\n'''exec' \"([^\"\n]+)\"([^\n]*?) \"\$0\" \"\$@\" #'''\n"
)
_SITE = re.compile(r"lib/python[0-9.]+t?/(site-packages/.+)")


class PrefixFile(Struct, frozen=True, kw_only=True):
    """A file or a soft link of a prefix."""

    content: Content = b""
    link: str | None = None
    executable: bool = False


class _Member(Struct, frozen=True, kw_only=True):
    """A file or a soft link of a package, by its path there, and what ``paths.json`` says of it."""

    path: str
    content: Content = b""
    link: str | None = None
    executable: bool = False
    entry: Mapping[str, Any]


def build_conda_package(
    package: CondaPackage,
    paths: tuple[Mapping[str, Any], ...],
    files: Mapping[str, PrefixFile],
    *,
    prefix: str,
    into: Path,
) -> CondaArchive:
    """Write a package as a ``.conda`` into a folder; the same input gives the same bytes.

    ``paths`` is ``paths_data.paths`` of its record in ``conda-meta``, ``files`` holds what these
    name, and ``prefix`` is the folder that it was installed into.

    Raises:
        LockError: A file is not as the package had it, or is gone; it is named.
        SnapshotDamagedError: A file of ``files`` cannot be read.
    """
    members = [
        _member(package, entry, files, prefix)
        for entry in sorted(paths, key=lambda entry: str(entry["_path"]))
        if entry.get("path_type") not in _MADE
    ]
    stem = f"{package.name}-{package.version}-{package.build}"
    info = {
        "index.json": _index(package),
        "paths.json": {"paths": [member.entry for member in members], "paths_version": 1},
        **({"link.json": _link(paths, members)} if package.noarch == "python" else {}),
    }
    described = [
        _Member(path=f"info/{name}", content=json.dumps(value, indent=2).encode(), entry={})
        for name, value in info.items()
    ]
    place = into / f"{stem}.conda"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(
            zipfile.ZipInfo("metadata.json", _DATE), json.dumps({"conda_pkg_format_version": 2})
        )
        for kind, held in (("pkg", members), ("info", described)):
            entry = zipfile.ZipInfo(f"{kind}-{stem}.tar.zst", _DATE)
            with tempfile.TemporaryFile(dir=into) as tar:
                _write_tar(tar, held)
                with archive.open(entry, "w", force_zip64=True) as file:
                    _write_frame(file, tar)
    return CondaArchive(
        file_name=place.name,
        file=f"{VENDOR}/{place.name}",
        sha256=sha256_of(place).hexdigest(),
        size_bytes=size_bytes(place),
    )


def _member(
    package: CondaPackage, entry: Mapping[str, Any], files: Mapping[str, PrefixFile], prefix: str
) -> _Member:
    path = str(entry["_path"])
    file = files.get(path)
    if file is None:
        raise _not_rebuilt(package, f"{path} is gone")
    within = _path_in_package(path) if package.noarch == "python" else path
    if file.link is not None:
        return _Member(
            path=within, link=file.link, entry={"_path": within, "path_type": "softlink"}
        )
    placeholder = entry.get("prefix_placeholder")
    content = file.content
    if placeholder:
        whole = b"".join(read_chunks(content))
        put_back = _put_back_binary if entry.get("file_mode") == "binary" else _put_back_text
        content = put_back(whole, prefix.encode(), placeholder.encode())
    digest = sha256_of(content).hexdigest()
    if digest != entry.get("sha256"):
        raise _not_rebuilt(package, f"{path} is not as it was installed")
    shown = {"_path": within, "path_type": "hardlink", "sha256": digest}
    mode = {name: entry[name] for name in ("file_mode", "prefix_placeholder") if placeholder}
    return _Member(
        path=within,
        content=content,
        executable=file.executable,
        entry={**shown, "size_in_bytes": size_bytes(content), **mode},
    )


def _path_in_package(path: str) -> str:
    """Return where a package for any Python has what is installed at a path of the prefix.

    Source: https://docs.conda.io/projects/conda-build/en/stable/resources/package-spec.html
    """
    match = _SITE.fullmatch(path)
    if match:
        return match[1]
    return path.replace("bin/", "python-scripts/", 1) if path.startswith("bin/") else path


def _put_back_text(content: bytes, prefix: bytes, placeholder: bytes) -> bytes:
    """Put a placeholder back where a text names the prefix.

    A first line that no kernel could have read there was sent through the shell.
    """
    direct = _THROUGH_SHELL.sub(rb"#!\1\2\n", content, count=1)
    return direct.replace(prefix, placeholder)


def _put_back_binary(content: bytes, prefix: bytes, placeholder: bytes) -> bytes:
    """Put a placeholder back where a prefix, which is no longer, stands in strings that end with 0.

    Whoever installed it filled each string up with 0 to the length that it had.
    """
    longer = len(placeholder) - len(prefix)

    def put_back(match: re.Match[bytes]) -> bytes:
        text, zeros = match[1], match[2]
        more = longer * text.count(prefix)
        return text.replace(prefix, placeholder) + zeros[: max(len(zeros) - more, 0)]

    return re.sub(rb"([^\0]*?" + re.escape(prefix) + rb"[^\0]*)(\0*)", put_back, content)


def _index(package: CondaPackage) -> dict[str, Any]:
    known = {
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.build_number,
        "subdir": package.subdir,
        "noarch": package.noarch,
        "depends": list(package.depends),
        "constrains": list(package.constrains),
        "license": package.license,
        "timestamp": package.timestamp_ms,
        "python_site_packages_path": package.python_site_packages_path,
    }
    return {name: value for name, value in known.items() if value is not None}


def _link(paths: tuple[Mapping[str, Any], ...], members: list[_Member]) -> dict[str, Any]:
    """Say which programs an installer writes for a package for any Python."""
    written = {
        str(entry["_path"]).removeprefix("bin/")
        for entry in paths
        if entry.get("path_type") == "unix_python_entry_point"
    }
    points = [
        f"{name} = {target}"
        for member in members
        if member.path.endswith(".dist-info/entry_points.txt")
        for name, target in _console_scripts(b"".join(read_chunks(member.content)))
        if name in written
    ]
    return {"noarch": {"type": "python", "entry_points": points}, "package_metadata_version": 1}


def _console_scripts(text: bytes) -> Iterator[tuple[str, str]]:
    parser = configparser.ConfigParser(delimiters=("=",), interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(text.decode(errors="replace"))
    if parser.has_section("console_scripts"):
        yield from parser.items("console_scripts")


def _write_tar(into: IO[bytes], members: list[_Member]) -> None:
    with tarfile.open(fileobj=into, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for member in members:
            entry = tarfile.TarInfo(member.path)
            entry.mode = 0o755 if member.executable else 0o644
            if member.link is not None:
                entry.type, entry.linkname = tarfile.SYMTYPE, member.link
                tar.addfile(entry)
                continue
            entry.size = size_bytes(member.content)
            if isinstance(member.content, bytes):
                tar.addfile(entry, io.BytesIO(member.content))
            else:
                with member.content.open("rb") as file:
                    tar.addfile(entry, file)
    into.seek(0)


_BLOCK_BYTES = 128 << 10  # the most that one may hold
_FRAME = b"\x28\xb5\x2f\xfd" + b"\x00" + b"\x38"  # no options, and a window of 128 KiB


def _write_frame(into: IO[bytes], content: IO[bytes]) -> None:
    """Write a zstd frame of blocks that are as they are."""
    into.write(_FRAME)
    block = content.read(_BLOCK_BYTES)
    while block:
        following = content.read(_BLOCK_BYTES)
        into.write(((len(block) << 3) | (not following)).to_bytes(3, "little"))
        into.write(block)
        block = following


def _not_rebuilt(package: CondaPackage, why: str) -> LockError:
    return LockError(
        f"conda's package {package.described} is in no channel, and cannot be rebuilt: {why}",
        hint=f"Install it again (conda install --force-reinstall {package.name}), "
        "or remove it, and capture again.",
    )
