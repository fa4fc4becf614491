"""What leads out of the environment and cannot be carried, each in a few printable words."""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Iterator, Mapping

import probe_foreign
import probe_origins
import probe_path
import probe_record
import probe_sources
import probe_unowned

if TYPE_CHECKING:
    from probe_distributions import Distribution
    from probe_hashing import Hashed
    from probe_reach import Reach
    from probe_unowned import Loose

LIMIT = 200  # past it nobody reads on


def find(
    visible: list[Distribution], reach: Reach, loose: list[Loose], hashed: Mapping[str, Hashed]
) -> list[str]:
    """Name it all, each once, sorted, at most ``LIMIT``."""
    told = {
        *_loose(loose, hashed),
        *reach.told,
        *(words for found in visible if _is_carried(found) for words in _installed(found)),
    }
    return sorted(told)[:LIMIT]


def _loose(loose: list[Loose], hashed: Mapping[str, Hashed]) -> Iterator[str]:
    for one in loose:
        why = probe_unowned.why_not(one, hashed)
        if why:
            yield f"{probe_record.shown(one.path)}: {why}"


def _is_carried(found: Distribution) -> bool:
    return probe_origins.of(found)["origin"] not in ("base", "conda", "system")


def _installed(found: Distribution) -> Iterator[str]:
    """Name what a distribution installed that has no place in an environment."""
    if found.sources and not found.sources.is_found:
        yield f"{found.name}: it is installed editable in a way that is not known"
    for link in filter(probe_sources.is_linked_folder, found.entries or ()):
        target = os.path.realpath(link.file)
        why = probe_foreign.why_not(target)
        if why:
            yield f"{found.name}: {probe_record.shown(target)} ({why})"
    for entry in found.counted():
        if not probe_record.is_plain(entry.path):
            yield f"{found.name}: {probe_record.shown(entry.path)}: {probe_unowned.UNWRITABLE}"
    inside = (probe_path.root_of(found.folder) + os.sep, found.folder + os.sep)
    for entry in found.entries or ():
        if not entry.file.startswith(inside) and os.path.isfile(entry.file):
            yield f"{found.name}: {probe_record.shown(entry.file)}"
