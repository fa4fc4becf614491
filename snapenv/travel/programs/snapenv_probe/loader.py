"""Where the loader finds a library of the operating system, and which apt package owns it.

Nothing is run: the loader's cache and dpkg's lists are read. Sources:
https://sourceware.org/git/?p=glibc.git;a=blob;f=sysdeps/generic/dl-cache.h and dpkg's dpkg(5).
"""

# Paths are plain strings, as in the lists that are read.
# ruff: noqa: PTH118, PTH123, PTH208

from __future__ import annotations

import os
import struct
from typing import Iterable, Iterator, Mapping

from snapenv_probe import elf_file

_CACHE = "/etc/ld.so.cache"
_CACHE_MAGIC = b"glibc-ld.so.cache1.1"
_CACHE_HEADER = struct.Struct("<20sII20x")  # magic, count of entries, size of the texts
_CACHE_ENTRY = struct.Struct("<iIIIQ")  # flags, soname, path (both from the magic on), …
_LISTS = "/var/lib/dpkg/info"


def looked_at(sonames: Mapping[str, Iterable[str]], files: Mapping[str, str]) -> list[str]:
    """Name the files and folders on which it hangs what is found, and who owns it."""
    return [
        *(_CACHE, _LISTS, *files.values()),
        *(path for places in _places(sonames).values() for path in places),
    ]


def _places(sonames: Mapping[str, Iterable[str]]) -> dict[str, list[str]]:
    """Return for each the paths to look at, in the loader's order."""
    cached = _cached()
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return {
        soname: [
            *(os.path.join(folder, soname) for folder in [*runpaths, *folders] if folder),
            *cached.get(soname, ()),
            *(os.path.join(folder, soname) for folder in _standard_folders()),
        ]
        for soname, runpaths in sonames.items()
    }


def find(sonames: Mapping[str, Iterable[str]], machine: int) -> dict[str, str]:
    """Find libraries as the loader would; ``sonames`` gives for each the RUNPATHs that apply.

    Only what is built for the same processor counts; what is not found is left out.
    """
    files: dict[str, str] = {}
    for soname, places in _places(sonames).items():
        path = next((path for path in places if elf_file.machine(path) == machine), None)
        if path:
            files[soname] = path
    return files


def owners(paths: Iterable[str]) -> dict[str, str]:
    """Return the package that owns each path, where dpkg's lists name it."""
    names = {name.encode(): path for path in paths for name in _spellings(path)}
    packages: dict[str, str] = {}
    for package, content in _lists():
        if b".so" in content:
            for line in names.keys() & set(content.split(b"\n")):
                packages.setdefault(names[line], package)
    return packages


def is_packaged(path: str) -> bool:
    """Return whether dpkg's lists name a file or folder."""
    line = b"\n" + os.fsencode(path) + b"\n"
    return any(line in b"\n" + content for _, content in _lists())


def _standard_folders() -> list[str]:
    machine = os.uname().machine
    multiarch = ["%s/%s-linux-gnu" % (top, machine) for top in ("/lib", "/usr/lib")]  # noqa: UP031
    return [*multiarch, "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"]


def _cached() -> dict[str, list[str]]:
    """Read the loader's cache; empty where there is none, as on musl."""
    try:
        with open(_CACHE, "rb") as file:
            content = file.read()
        return _parse_cache(content)
    except (OSError, ValueError, struct.error):
        return {}


def _parse_cache(content: bytes) -> dict[str, list[str]]:
    content = content[content.index(_CACHE_MAGIC) :]  # an older form may stand before it
    _, count, _ = _CACHE_HEADER.unpack_from(content)
    files: dict[str, list[str]] = {}
    for index in range(count):
        at = _CACHE_HEADER.size + index * _CACHE_ENTRY.size
        _, soname, path, _, _ = _CACHE_ENTRY.unpack_from(content, at)
        files.setdefault(_text(content, soname), []).append(_text(content, path))
    return files


def _text(content: bytes, offset: int) -> str:
    return os.fsdecode(content[offset : content.index(b"\0", offset)])


def _spellings(path: str) -> set[str]:
    """Return the names that a package may list a file by: /lib may be a link to /usr/lib."""
    folder, name = os.path.split(path)
    spelled = {path, os.path.join(os.path.realpath(folder), name), os.path.realpath(path)}
    return {
        name
        for spelling in spelled
        for name in (
            spelling,
            spelling[len("/usr") :] if spelling.startswith("/usr/lib") else "/usr" + spelling,
        )
    }


def _lists() -> Iterator[tuple[str, bytes]]:
    """Yield each package's name with its list of files; ``libgl1:amd64.list`` is of libgl1."""
    if not os.path.isdir(_LISTS):  # noqa: PTH112
        return
    for name in sorted(os.listdir(_LISTS)):
        if name.endswith(".list"):
            with open(os.path.join(_LISTS, name), "rb") as file:
                yield name[: -len(".list")].partition(":")[0], file.read()
