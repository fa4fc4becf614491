"""The environment's own folders, walked once: every file in there with its status.

Of a venv that is not only its site-packages, but what lies around them in bin, etc, include, lib
and share too. A project's own folder may be a venv, so that no other folder is looked into.
"""

# mypy: disable-error-code="import-not-found"
# Paths are plain strings: tens of thousands of them, and Path is several times slower.
# ruff: noqa: PTH110, PTH112, PTH114, PTH118, PTH123

from __future__ import annotations

import contextlib
import functools
import os
import re
import stat
import sys

import probe_path
import probe_status
from probe_status import MODE

TYPE_CHECKING = False  # as mypy knows it: typing takes long to import, and nothing here needs it
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, Iterator, List, Tuple

    from probe_status import Status

    Statuses = Dict[str, Status]  # by path, absolute; of a link its own
    # A folder, absolute; what is in it, each name followed by its status; and the folder's own
    # status where it could not be read.
    Listing = Tuple[str, List[Any], "Status | None"]

_NONE: Status = (0, 0, 0, 0, 0, 0)  # of what has a path too long to be asked for
_LONG = 900  # characters, so that with a name at its end a path is one that a system call takes
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

    ``listed`` are the folders of each site-packages as they were read, which is all that a look
    needs that finds nothing changed. ``around`` are the files of a venv beside its site-packages
    and what every venv has; ``empty`` are the folders that hold nothing, not even a folder.
    """

    def __init__(
        self, listed: dict[str, list[Listing]], around: Statuses, empty: tuple[str, ...]
    ) -> None:
        """Take what was walked."""
        self.listed, self.around, self.empty = listed, around, empty

    @functools.cached_property
    def folders(self) -> dict[str, Statuses]:
        """Give the files by site-packages; a folder that cannot be read is in there too."""
        return {site: dict(_files(listings)) for site, listings in self.listed.items()}

    def statuses(self) -> Statuses:
        """Give the files of all of them."""
        both = (*self.folders.values(), self.around)
        return {path: one for files in both for path, one in files.items()}


def walk(folders: list[str], root: str | None = None) -> Tree:
    """List everything below some folders; links are files here, wherever they lead.

    ``root`` is the folder of a venv whose own files are listed too.
    """
    empty: list[str] = []
    listed = {folder: _walk(folder, empty) for folder in folders}
    return Tree(listed, _around(root) if root else {}, tuple(empty))


def venv() -> str | None:
    """Give the folder of the venv that this runs in, resolved; None outside of one."""
    return probe_path.prefix() if sys.prefix != sys.base_prefix else None


def from_site(file: str) -> str:
    """Name a file of the venv as RECORD does, from site-packages: ``../../../bin/x``."""
    site = os.path.join(probe_path.prefix(), "lib", "python3", "site-packages")
    return os.path.relpath(file, site)


def is_around(place: str, root: str) -> bool:
    """Say whether what is in a folder of the venv at ``root`` is among what lies around."""
    below = os.path.relpath(place, root).split("/")
    ways = (os.path.join(root, *below[:count]) for count in range(1, len(below) + 1))
    return below[0] in _AROUND and not any(_is_of_tools(way, len(root) + 1) for way in ways)


def _is_of_tools(folder: str, start: int) -> bool:
    """Say whether a folder is what every venv has; beside its site-packages may lie a person's."""
    is_library = _LIBRARY.fullmatch(folder[start:]) and not os.path.exists(f"{folder}/os.py")
    if _HEADERS.fullmatch(folder[start:]):
        return os.path.exists(f"{folder}/Python.h")
    return not is_library and bool(_OF_TOOLS.fullmatch(folder[start:]))


def _around(root: str) -> Statuses:
    listings: list[Listing] = []
    places = (os.path.join(root, name) for name in _AROUND)
    queue = [place for place in places if os.path.isdir(place) and not os.path.islink(place)]
    start = len(root) + 1
    while queue:
        folder: str = queue.pop()
        found: list[Any] = []
        listings.append((folder, found, None))
        with contextlib.suppress(OSError):
            inner = _read(folder, found)
            queue += [below for below in inner if not _is_of_tools(below, start)]
    return {file: one for file, one in _files(listings) if not _is_of_python(file, one, start)}


def _is_of_python(file: str, status: Status, start: int) -> bool:
    """Say whether a file leads to the interpreter or is one; a script of its name is a person's."""
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
    """Give the path and status of each file, and of each folder that could not be read."""
    for folder, found, unread in listings:
        above = folder + "/"
        for name, status in zip(found[::2], found[1::2]):
            yield above + name, status
        if unread:
            yield folder, unread


def _walk(top: str, empty: list[str]) -> list[Listing]:
    """List a folder and all below it, and add those that hold nothing to ``empty``."""
    listings: list[Listing] = []
    queue = [top]
    while queue:
        folder = queue.pop()
        found: list[Any] = []
        unread = None
        try:
            folders = _read(folder, found)
            queue += folders
            if not folders and not found:
                empty.append(folder)
        except OSError:
            unread = probe_status.ask(folder, follow=False) or _NONE
        listings.append((folder, found, unread))
    return listings


def _read(folder: str, found: list[Any]) -> list[str]:
    """Add the files of one folder, each name followed by its status, and give the folders in it.

    Raises:
        OSError: It cannot be read.
    """
    if len(folder) > _LONG:  # with whole paths, which are refused where nothing could be opened
        with os.scandir(folder) as entries:
            return _sort(folder, entries, found)
    above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(above) as entries:  # what it names is asked for from there: a sixth faster
            return _sort(folder, entries, found)
    finally:
        os.close(above)


def _sort(folder: str, entries: Iterable[os.DirEntry[str]], found: list[Any]) -> list[str]:
    """Sort the entries of a folder; this is done for each of tens of thousands of files."""
    inner: list[str] = []
    of = probe_status.of
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            found += (entry.name, of(entry.stat(follow_symlinks=False)))
        elif entry.name != "__pycache__":
            inner.append(folder + "/" + entry.name)
    return inner
