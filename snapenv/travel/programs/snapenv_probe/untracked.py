"""Files in the environment's own site-packages, and around those of a venv, that nobody put there.

What leads out of the environment is not among them: ``outside`` names it.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH110, PTH114, PTH118, PTH119, PTH120

from __future__ import annotations

import hashlib
import os
import re
import socket
from typing import TYPE_CHECKING, Iterator, Mapping, NamedTuple

from snapenv_probe import (
    conda,
    entry_scripts,
    file_tree,
    import_path,
    placeholders,
    reachable,
    record_file,
    tools,
    unrecorded,
)

if TYPE_CHECKING:
    from snapenv_probe.distribution import Distribution
    from snapenv_probe.file_tree import Tree
    from snapenv_probe.hashing import Hashed
    from snapenv_probe.reachable import Reach

_LOCK = re.compile(r".+@.+\.\d+(?::\d+)?")  # user@host.process:boot
UNWRITABLE = "its name has a control character, or is no UTF-8"


class UntrackedFile(NamedTuple):
    """One file or link that belongs to nobody."""

    path: str  # relative to its site-packages, as in RECORD: "../../../bin/x"
    file: str  # absolute
    link: str | None  # where a link leads that stays inside, relative to its own folder
    is_folder: bool = False
    text: str | None = None  # what it holds as it travels, where that is not what lies there

    @property
    def is_file(self) -> bool:
        """True where what lies there travels as it is."""
        return self.link is None and self.text is None and not self.is_folder


def find(
    tree: Tree,
    everything: list[Distribution],
    reach: Reach,
    relinked: frozenset[str] = frozenset(),
) -> list[UntrackedFile]:
    """List all of them by path, as import finds them; also those that cannot be carried.

    What is reached outside is among them, where it will lie; and empty folders that can be
    imported, as namespaces. ``relinked`` are links that stand where conda put something else.
    """
    first = _inside(tree, everything, reach, relinked)
    for entry in reach.files:
        first.setdefault(entry.path, UntrackedFile(entry.path, entry.file, None))
    site = reachable.site_folder()
    for name, text in reach.texts.items():
        if text is not None:
            first[name] = UntrackedFile(name, os.path.join(site, name), None, text=text)
    return [first[path] for path in sorted(first)]


def _inside(
    tree: Tree, everything: list[Distribution], reach: Reach, relinked: frozenset[str]
) -> dict[str, UntrackedFile]:
    owned = conda.files().difference(relinked).union(reach.links, *map(_owned, everything))
    first: dict[str, UntrackedFile] = {}
    for folder, files in tree.folders.items():
        for file in files.keys() - owned:
            path = file[len(folder) + 1 :] or "."
            is_wiring = path in reach.texts or file.endswith(".egg-link")
            if not (
                is_wiring
                or record_file.is_compiled(file)
                or _is_lock(file)
                or tools.is_of_tool(file, path)
            ):
                first.setdefault(path, UntrackedFile(path, file, _link(file, folder)))
        first.update(
            (namespace.path, namespace)
            for namespace in _namespaces(folder, tree)
            if namespace.path not in first
        )
    scripts = set().union(*map(entry_scripts.claimed, everything))
    for file in tree.around.keys() - owned:
        is_claimed = entry_scripts.is_in_bin(file) and os.path.basename(file) in scripts
        path = file_tree.from_site(file)
        if not (is_claimed or tools.is_of_tool(file, path)):
            first[path] = UntrackedFile(path, file, _link(file, import_path.prefix()))
    return first


def _namespaces(folder: str, tree: Tree) -> Iterator[UntrackedFile]:
    for file in tree.empty:
        path = file[len(folder) + 1 :]
        if file.startswith(folder + os.sep) and all(map(str.isidentifier, path.split("/"))):
            yield UntrackedFile(path, file, None, is_folder=True)


def facts(files: list[UntrackedFile], hashed: Mapping[str, Hashed]) -> list[dict[str, object]]:
    """Describe them as snapenv's ``LooseFile``, without what cannot be carried."""
    return [
        {
            "path": file.path,
            "sha256": None if file.link or file.is_folder else _sha256(file, hashed),
            "link": file.link,
            "folder": file.is_folder,
            "executable": None if file.link or file.is_folder else _is_executable(file, hashed),
            "placeholders": _has_placeholders(file),
        }
        for file in files
        if why_not(file, hashed) is None
    ]


def why_not(entry: UntrackedFile, hashed: Mapping[str, Hashed]) -> str | None:
    """Say why a file cannot be carried; None where it can."""
    if not record_file.is_plain(entry.path + (entry.link or "")):
        return UNWRITABLE
    if not entry.is_file or entry.file in hashed:
        return None
    if not os.path.islink(entry.file):
        return "no file that can be read"
    leads_to: str = record_file.shown(os.path.realpath(entry.file))
    return leads_to


def _sha256(entry: UntrackedFile, hashed: Mapping[str, Hashed]) -> str:
    """Hash a file as it travels: with the environment taken out of it."""
    content = _content(entry)
    if content is None:
        return str(hashed[entry.file].sha256)
    return hashlib.sha256(content).hexdigest()


def _content(entry: UntrackedFile) -> bytes | None:
    """Return what travels of a file where that may not be what lies there."""
    is_script = entry_scripts.is_in_bin(entry.file)
    is_known = placeholders.is_known(entry.path)
    content: bytes | None = None
    if entry.text is not None:
        content = entry.text.encode("utf-8", "surrogateescape")
    elif is_script or is_known:
        content = entry_scripts.read(entry.file)
    if content is not None and is_script and content.startswith(b"#!"):
        content = entry_scripts.without_environment(content)
    return placeholders.take_out(content) if content is not None and is_known else content


def _has_placeholders(entry: UntrackedFile) -> bool:
    if entry.link or entry.is_folder or not placeholders.is_known(entry.path):
        return False
    return placeholders.MARK in (_content(entry) or b"")


def _is_executable(entry: UntrackedFile, hashed: Mapping[str, Hashed]) -> bool:
    return entry.is_file and bool(hashed[entry.file].is_executable)


def _owned(package: Distribution) -> set[str]:
    info = os.path.join(package.folder, package.info)
    return {
        info,
        *(os.path.join(info, name) for name in record_file.OF_INSTALLER),
        *(entry.file for entry in package.entries or ()),
        *(() if package.info.endswith(".dist-info") else unrecorded.metadata_files(package)),
    }


def _is_lock(file: str) -> bool:
    """Return whether a file is a link that leads nowhere, and says who works on another file where.

    Editors and browsers make such links: ``.#core.py -> alice@workstation.42:1700000000``.
    """
    if not os.path.islink(file) or os.path.exists(file):
        return False
    target = os.path.basename(os.readlink(file))
    return bool(_LOCK.fullmatch(target)) or socket.gethostname() in target


def _link(file: str, folder: str) -> str | None:
    """Say where a link leads, relative to its own folder; None where it leaves ``folder``."""
    if not os.path.islink(file):
        return None
    above = os.path.realpath(os.path.dirname(file))
    target = os.path.normpath(os.path.join(above, os.readlink(file)))
    ends = os.path.realpath(file)
    is_inside = all(import_path.is_below(place, folder) for place in (target, ends))
    return os.path.relpath(target, above) if is_inside else None
