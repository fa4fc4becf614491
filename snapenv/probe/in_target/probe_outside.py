"""What leads out of the environment and cannot be carried, each in a few printable words."""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH208, PTH118, PTH119

from __future__ import annotations

import importlib.machinery
import os
import sysconfig
from typing import TYPE_CHECKING, Iterator, Mapping

import probe_origins
import probe_path
import probe_pth
import probe_record
import probe_sources
import probe_unowned

if TYPE_CHECKING:
    from probe_distributions import Distribution
    from probe_hashing import Hashed
    from probe_unowned import Loose

LIMIT = 200  # past it nobody reads on
_MODULE = (".py", ".pyc", *importlib.machinery.EXTENSION_SUFFIXES)


def find(
    everything: list[Distribution],
    visible: list[Distribution],
    loose: list[Loose],
    hashed: Mapping[str, Hashed],
) -> list[str]:
    """Name it all, each once, sorted, at most ``LIMIT``."""
    roots = probe_sources.roots(visible)
    leads = list(_pth_lines(roots))
    told = {
        *_loose(loose, hashed),
        *(f"{probe_record.shown(name)}: {probe_record.shown(folder)}" for name, folder in leads),
        *_imported(everything, visible, roots.union(folder for _, folder in leads)),
        *(words for found in visible if _is_carried(found) for words in _installed(found)),
    }
    return sorted(told)[:LIMIT]


def _loose(loose: list[Loose], hashed: Mapping[str, Hashed]) -> Iterator[str]:
    for one in loose:
        why = probe_unowned.why_not(one, hashed)
        if why:
            yield f"{probe_record.shown(one.path)}: {why}"


def _pth_lines(roots: set[str]) -> Iterator[tuple[str, str]]:
    """Give each ``.pth`` and the folder it leads to, neither inside nor an editable's sources."""
    inside = probe_path.own_folders()
    for folder in inside:
        for name in _names(folder):
            lines = probe_pth.lines(os.path.join(folder, name)) if name.endswith(".pth") else []
            for line in lines:
                if line.folder and line.folder not in roots and not _is_in(line.folder, inside):
                    yield name, line.folder


def _imported(
    everything: list[Distribution], visible: list[Distribution], told: set[str]
) -> Iterator[str]:
    """Name each other folder of the import path outside that holds modules which nobody owns."""
    owned = {entry.file for found in everything for entry in found.entries or ()}
    owned.update(entry.file for one in visible if one.sources for entry in one.sources.entries)
    listed = [os.path.realpath(one) for one in os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    for folder in probe_path.folders():
        if folder not in told and not is_known(folder) and _has_modules(folder, owned):
            way = "PYTHONPATH" if folder in listed else "sys.path"
            yield f"{way}: {probe_record.shown(folder)}"


def is_known(folder: str) -> bool:
    """Say whether a folder is Python's own, or looked at elsewhere."""
    library = [os.path.realpath(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib")]
    dynload = [os.path.join(one, "lib-dynload") for one in library]
    return (
        folder in (*library, *dynload)
        or _is_in(folder, probe_path.own_folders())
        or (probe_path.is_site(folder) and probe_path.is_of_system(folder))
        or probe_path.is_of_image(folder)
    )


def _has_modules(folder: str, owned: set[str]) -> bool:
    places = [os.path.join(folder, name) for name in _names(folder)]
    inner = [
        os.path.join(place, name) for place in places if _is_name(place) for name in _names(place)
    ]
    return any(
        place.endswith(_MODULE) and place not in owned and os.path.isfile(place)
        for place in (*places, *inner)
    )


def _is_name(place: str) -> bool:
    name = os.path.basename(place)
    return name.isidentifier() and name != "__pycache__"


def _is_carried(found: Distribution) -> bool:
    return probe_origins.of(found)["origin"] not in ("base", "conda", "system")


def _installed(found: Distribution) -> Iterator[str]:
    """Name what a distribution installed that has no place in an environment."""
    if found.sources and not found.sources.is_found:
        yield f"{found.name}: it is installed editable in a way that is not known"
    for entry in found.counted():
        if not probe_record.is_plain(entry.path):
            yield f"{found.name}: {probe_record.shown(entry.path)}: {probe_unowned.UNWRITABLE}"
    inside = (probe_path.root_of(found.folder) + os.sep, found.folder + os.sep)
    for entry in found.entries or ():
        if not entry.file.startswith(inside) and os.path.isfile(entry.file):
            yield f"{found.name}: {probe_record.shown(entry.file)}"


def _is_in(folder: str, folders: list[str]) -> bool:
    return any(folder == one or probe_path.is_below(folder, one) for one in folders)


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
