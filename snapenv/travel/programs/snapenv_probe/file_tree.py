"""The environment's own folders, walked once: every file in there with its status.

Of a venv that is not only its site-packages, but what lies around them in bin, etc, include, lib
and share too. A project's own folder may be a venv, so that no other folder is looked into.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH110, PTH112, PTH114, PTH118, PTH123

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import sys

from snapenv_probe import import_path, listing
from snapenv_probe.file_status import MODE

TYPE_CHECKING = False  # as mypy knows it: typing takes long to import, and nothing here needs it
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterable, Iterator

    from snapenv_probe.file_status import Status
    from snapenv_probe.listing import Listed, Listing

    Statuses = Dict[str, Status]  # by path, absolute; of a link its own

# What conda, mamba and pixi keep in a prefix for themselves: records, caches, other environments.
_OF_CONDA = frozenset(
    [
        *("conda-meta", "pkgs", "envs", "conda-bld", "locks", ".condarc", "CACHEDIR.TAG"),
        ".snapenv-unfinished",  # while a restore makes it
        *(".pixi", ".mamba", ".nonadmin", ".messages", "_conda"),
    ]
)
_AROUND = ("bin", "etc", "include", "lib", "share")
# Folders that every venv has; what tools put into the others is known by what it holds.
_OF_TOOLS = re.compile(
    r"(?:include|lib)/(?:python|pypy)[0-9.]*t?(?:/(?:site|dist)-packages)?", re.IGNORECASE
)
_INTERPRETER = re.compile(r"bin/(?:python|pypy)[0-9.]*w?t?", re.IGNORECASE)
_HEADERS = re.compile(r"include/(?:python|pypy)[0-9.]*t?")
_WHEEL = re.compile(r"share/python-wheels/[^/]+\.whl")  # of Debian's ensurepip
_LIBRARY = re.compile(r"lib/(?:python|pypy)[0-9.]*t?")


class Tree:
    """What was there when the look began, without what Python compiles by itself.

    ``listed`` are the folders of each site-packages, which is all that a look needs that finds
    nothing changed. ``around`` are the files of a venv beside its site-packages and what every
    venv has, and those of a prefix of conda beside what conda keeps for itself.
    """

    def __init__(self, listed: dict[str, Listed], around: Statuses) -> None:
        """Take what was walked."""
        self.listed, self.around = listed, around

    @functools.cached_property
    def folders(self) -> dict[str, Statuses]:
        """Return the files by site-packages; a folder that cannot be read is in there too."""
        return {site: dict(_files(listings)) for site, listings in self._listings.items()}

    @property
    def empty(self) -> list[str]:
        """Return the folders that hold nothing, not even a folder."""
        return [
            folder
            for listings in self._listings.values()
            for folder, entries, has_folders, unread in listings
            if not (entries or has_folders or unread)
        ]

    @functools.cached_property
    def _listings(self) -> dict[str, list[Listing]]:
        return {site: listing.read(listed) for site, listed in self.listed.items()}

    def statuses(self) -> Statuses:
        """Return the files of all of them."""
        both = (*self.folders.values(), self.around)
        return {path: status for files in both for path, status in files.items()}


def walk(folders: list[str], root: str | None = None) -> Tree:
    """List everything below some folders; links are files here, wherever they lead.

    ``root`` is the folder of a venv, or of a prefix of conda, whose own files are listed too.
    """
    listed = {folder: listing.walk(folder) for folder in folders}
    return Tree(listed, _around(root) if root else {})


def root() -> str | None:
    """Return the folder of the venv or of conda's prefix that this runs in; None outside of one."""
    return import_path.prefix() if sys.prefix != sys.base_prefix else import_path.conda()


def from_site(file: str) -> str:
    """Name a file of the venv as RECORD does, from site-packages: ``../../../bin/x``."""
    site = os.path.join(import_path.prefix(), "lib", "python3", "site-packages")
    return os.path.relpath(file, site)


def is_around(place: str, root: str) -> bool:
    """Return whether what is in a folder of the environment at ``root`` lies around."""
    below = os.path.relpath(place, root).split("/")
    if import_path.conda():
        return import_path.is_below(place, root) and below[0] not in _OF_CONDA
    ways = (os.path.join(root, *below[:count]) for count in range(1, len(below) + 1))
    return below[0] in _AROUND and not any(_is_of_tools(way, len(root) + 1) for way in ways)


def _is_of_tools(folder: str, start: int) -> bool:
    """Return whether every venv has a folder; beside its site-packages may lie a person's."""
    is_library = _LIBRARY.fullmatch(folder[start:]) and not os.path.exists(f"{folder}/os.py")
    if _HEADERS.fullmatch(folder[start:]):
        return os.path.exists(f"{folder}/Python.h")
    return not is_library and bool(_OF_TOOLS.fullmatch(folder[start:]))


def _around(root: str) -> Statuses:
    start = len(root) + 1
    if import_path.conda():
        left_out = {*import_path.own_folders(), *(f"{root}/{name}" for name in _OF_CONDA)}
        files = _files(_below([root], left_out.__contains__))
        return {file: status for file, status in files if file not in left_out}
    places = (os.path.join(root, name) for name in _AROUND)
    tops = [place for place in places if os.path.isdir(place) and not os.path.islink(place)]
    files = _files(_below(tops, lambda folder: _is_of_tools(folder, start)))
    return {file: status for file, status in files if not _is_of_python(file, status, start)}


def _below(queue: list[str], is_left_out: Callable[[str], bool]) -> list[Listing]:
    listings: list[Listing] = []
    while queue:
        folder: str = queue.pop()
        entries: list[Any] = []
        listings.append((folder, entries, False, None))
        with contextlib.suppress(OSError):
            inner = listing.read_folder(folder, entries)
            queue += [below for below in inner if not is_left_out(below)]
    return listings


def _is_of_python(file: str, status: Status, start: int) -> bool:
    """Return whether a file leads to the interpreter or is one; a script of that name is not."""
    name = file[start:]
    if stat.S_ISLNK(status[MODE]):
        return bool(_INTERPRETER.fullmatch(name) or _OF_TOOLS.fullmatch(name))
    return bool(_WHEEL.fullmatch(name) or (_INTERPRETER.fullmatch(name) and not _is_script(file)))


def _is_script(file: str) -> bool:
    try:
        with open(file, "rb") as stream:
            return stream.read(2) == b"#!"
    except OSError:
        return False


def _files(listings: Iterable[Listing]) -> Iterator[tuple[str, Status]]:
    """Yield the path and status of each file, and of each folder that could not be read."""
    for folder, entries, _, unread in listings:
        above = folder + "/"
        for name, status in zip(entries[::2], entries[1::2]):
            yield above + name, status
        if unread:
            yield folder, unread
