"""The files of a distribution that has no RECORD.

These are the first that there are of: what setuptools' ``installed-files.txt`` lists, what conda
lists, and all of an ``.egg`` folder. Else they are what lies below the names in ``top_level.txt``,
or below a name that is the distribution's own, and that no other distribution lists. Whatever is
not found so is a file of no distribution, and travels as such. Metadata of an ``.egg-info`` counts
as if it were a ``.dist-info``, as in the wheel that is made of it.
Source: https://setuptools.pypa.io/en/latest/deprecated/python_eggs.html
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH113, PTH114, PTH118

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Iterable, Iterator

from snapenv_probe import conda, entry_scripts, import_path, record_file
from snapenv_probe.record_file import Entry

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution

# What setuptools keeps for itself in an .egg-info.
_OF_EGG_ALONE = frozenset(
    [
        *("SOURCES.txt", "installed-files.txt", "dependency_links.txt", "native_libs.txt"),
        *("not-zip-safe", "zip-safe", "eager_resources.txt"),
    ]
)
_MACHINE_CODE = re.compile(r"\.(?:so|pyd|dylib)(?:\.\d+)*$")


def complete(everything: list[Distribution]) -> list[Distribution]:
    """Give each distribution of the environment's own that has no RECORD its files."""
    if all(package.entries is not None for package in everything):
        return everything
    owned = {entry.file for package in everything for entry in package.entries or ()}
    done = []
    for package in everything:
        entries = package.entries
        if entries is None and _is_own(package.folder):
            entries = list({entry.path: entry for entry in _entries(package, owned)}.values())
            owned.update(entry.file for entry in entries)
        done.append(package._replace(entries=entries))
    return done


def is_egg(package: Distribution) -> bool:
    """Return whether a distribution is a folder of its own that holds its metadata too."""
    return str(package.folder).endswith(".egg")


def has_machine_code(entries: Iterable[Entry]) -> bool:
    """Return whether an extension module or a library is among some files."""
    return any(_MACHINE_CODE.search(entry.path) for entry in entries)


def metadata(package: Distribution) -> Iterator[Entry]:
    """Name the files of a distribution's metadata as a .dist-info has them."""
    base = os.path.join(package.folder, package.info)
    if package.info.endswith(".dist-info"):
        for name, file in _below(base):
            yield Entry(f"{package.info}/{name}", file, "")
        return
    info = f"{package.name.replace('-', '_')}-{package.version}.dist-info"
    if os.path.isfile(base):  # of distutils
        yield Entry(f"{info}/METADATA", base, "")
    for name, file in _below(base):
        if name not in _OF_EGG_ALONE:
            yield Entry(f"{info}/{'METADATA' if name == 'PKG-INFO' else name}", file, "")


def metadata_files(package: Distribution) -> list[str]:
    """Return every file of its .egg-info or .dist-info, absolute."""
    return [file for _, file in _below(os.path.join(package.folder, package.info))]


def _is_own(folder: str) -> bool:
    is_installed = folder.endswith(("-packages", ".egg"))
    return is_installed and not (
        import_path.is_of_system(folder) or import_path.is_of_image(folder)
    )


def _entries(package: Distribution, owned: set[str]) -> Iterator[Entry]:
    """Yield its metadata, its scripts and its modules; of two for one path the last counts."""
    base = os.path.join(package.folder, package.info)
    listed = _listed(package, base)
    files = _unrecorded_files(package, owned) if listed is None else listed
    for file in files:
        if not file.startswith(base + os.sep) and file != base:
            yield Entry(os.path.relpath(file, package.folder), file, "")
    yield from metadata(package)
    folder = os.path.join(import_path.root_of(package.folder), "bin")
    for name in sorted(entry_scripts.named(package)):
        if os.path.isfile(os.path.join(folder, name)):
            yield Entry(f"../../../bin/{name}", os.path.join(folder, name), "")


def _listed(package: Distribution, base: str) -> Iterable[str] | None:
    """Return the files that an installer has listed; None where none has."""
    listed = (package.read("installed-files.txt") or "").splitlines()
    if listed:
        return [os.path.normpath(os.path.join(base, name)) for name in listed if name.strip()]
    by_conda: frozenset[str] | None = conda.record_with((base, *metadata_files(package)))
    return by_conda


def _unrecorded_files(package: Distribution, owned: set[str]) -> Iterator[str]:
    """Look for the modules of a distribution; links are left to those who carry untracked files."""
    is_whole = is_egg(package)
    tops = None if is_whole else _tops(package)
    for name in import_path.names(package.folder):
        place = os.path.join(package.folder, name)
        stem = name.split(".", maxsplit=1)[0]
        is_own = stem in (tops or ()) and not name.endswith("-info")
        if is_whole or is_own:
            files = [place] if os.path.isfile(place) else [file for _, file in _below(place)]
            yield from (file for file in files if file not in owned and not os.path.islink(file))


def _tops(package: Distribution) -> set[str]:
    listed = set((package.read("top_level.txt") or "").replace("/", " ").split())
    stems = {name.split(".", maxsplit=1)[0] for name in import_path.names(package.folder)}
    return listed or {
        stem for stem in stems if re.sub(r"[-_.]+", "-", stem).lower() == package.name
    }


def _below(top: str) -> Iterator[tuple[str, str]]:
    """Yield every file below a folder that Python did not compile, by its path from there."""
    for folder, inner, names in os.walk(top):
        inner.sort()
        for name in sorted(names):
            file = os.path.join(folder, name)
            if not record_file.is_compiled(file):
                yield os.path.relpath(file, top), file
