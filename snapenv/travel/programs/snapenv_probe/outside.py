"""What leads out of the environment and cannot be carried, each in a few printable words."""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator, Mapping

from snapenv_probe import editable, foreign_folders, import_path, origins, record_file, untracked

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.hashing import Hashed
    from snapenv_probe.reachable import Reach
    from snapenv_probe.untracked import UntrackedFile

LIMIT = 200  # past it nobody reads on


def find(
    visible: list[Distribution],
    reach: Reach,
    files: list[UntrackedFile],
    hashed: Mapping[str, Hashed],
) -> list[str]:
    """Name it all, each once, sorted, at most ``LIMIT``."""
    words_of = {
        *_untracked(files, hashed),
        *reach.told,
        *(words for package in visible if _is_carried(package) for words in _installed(package)),
    }
    return sorted(words_of)[:LIMIT]


def _untracked(files: list[UntrackedFile], hashed: Mapping[str, Hashed]) -> Iterator[str]:
    for file in files:
        why = untracked.why_not(file, hashed)
        if why:
            yield f"{record_file.shown(file.path)}: {why}"


def _is_carried(package: Distribution) -> bool:
    return origins.of(package)["origin"] not in ("base", "conda", "system")


def _installed(package: Distribution) -> Iterator[str]:
    """Name what a distribution installed that has no place in an environment."""
    if package.sources and not package.sources.is_found:
        yield f"{package.name}: it is installed editable in a way that is not known"
    for link in filter(editable.is_linked_folder, package.entries or ()):
        target = os.path.realpath(link.file)
        why = foreign_folders.why_not(target)
        if why:
            yield f"{package.name}: {record_file.shown(target)} ({why})"
    for entry in package.counted():
        if not record_file.is_plain(entry.path):
            yield f"{package.name}: {record_file.shown(entry.path)}: {untracked.UNWRITABLE}"
    inside = (import_path.root_of(package.folder) + os.sep, package.folder + os.sep)
    for entry in package.entries or ():
        if not entry.file.startswith(inside) and os.path.isfile(entry.file):
            yield f"{package.name}: {record_file.shown(entry.file)}"
