"""A folder listed with all below it, by several processes at once.

Asking for the status of each file is most of what a look takes that finds nothing changed, and
the folders of a site-packages have nothing to do with each other. Each process takes the next
folder from a pipe until there is none, and marshals what it has listed: whoever only compares that
with what was listed before has no need to read it. More than half of all files may be those of
torch: so the folders of a large folder are taken each by itself, and large ones first.
"""

# Paths are plain strings: tens of thousands of them, and Path is several times slower.

from __future__ import annotations

import contextlib
import marshal
import os

from snapenv_probe import file_status, machine

TYPE_CHECKING = False  # as in file_tree
if TYPE_CHECKING:
    from typing import Any, Dict, Iterable, List, Tuple

    from snapenv_probe.file_status import Status

    # A folder, absolute; what is in it, each name followed by its status; whether folders are in
    # it; and the folder's own status where it could not be read.
    Listing = Tuple[str, List[Any], bool, "Status | None"]
    Listed = Dict[str, bytes]  # by a folder, what was listed of it and of all below it

_NONE: Status = (0, 0, 0, 0, 0, 0)  # of what has a path too long to be asked for
_LONG = 900  # characters, so that with a name at its end a path is one that a system call takes
_EQUAL = 2  # the last form of ``marshal`` in which equal values are equal bytes
_PROCESSES = 4  # more of them wait for each other in the kernel
_FEW = 32  # folders that are listed before another process has started
_MANY = 8192  # folders whose numbers a pipe takes
_LARGE = 32  # folders in one that no process takes whole
_NUMBER_BYTES = 4


def walk(top: str) -> Listed:
    """List a folder and all below it; links are files here, wherever they lead.

    The first are ``top`` and large folders in it without what is below them, then each folder that
    is left with all that is below.
    """
    listed, links = _divide(top)
    large_first = sorted(links, key=lambda folder: -links[folder])
    rest = _share(large_first) if _FEW <= len(links) <= _MANY else _deep(links)
    return {**listed, **{folder: rest[folder] for folder in links}}


def _divide(top: str) -> tuple[Listed, dict[str, int]]:
    """List a folder and large ones in it alone; return also how many names each other one has.

    What is large is told by its folders themselves, since Python's own have names, too.
    """
    listed: Listed = {}
    links: dict[str, int] = {}
    queue = [top]
    while queue:
        folder = queue.pop()
        own, inner = _list(folder)
        if folder != top and len(inner) < _LARGE:
            continue
        listed[folder] = _packed([own])
        links.pop(folder, None)
        for each in inner:
            links[each] = _links(each)
            if links[each] > _LARGE:
                queue.append(each)
    return listed, links


def _links(folder: str) -> int:
    """Return how many names lead to a folder: on most file systems each folder in it has one.

    Others tell of one name, and there folders are taken as they come.
    """
    try:
        return os.stat(folder, follow_symlinks=False).st_nlink  # noqa: PTH116
    except (OSError, ValueError):
        return 1


def read(listed: Listed) -> list[Listing]:
    """Return what was listed, a folder at a time."""
    return [listing for packed in listed.values() for listing in marshal.loads(packed)]  # noqa: S302 - our own


def _deep(folders: Iterable[str]) -> Listed:
    return {folder: _packed(_below(folder)) for folder in folders}


def _below(top: str) -> list[Listing]:
    listings: list[Listing] = []
    queue = [top]
    while queue:
        listing, folders = _list(queue.pop())
        listings.append(listing)
        queue += folders
    return listings


def _packed(listings: list[Listing]) -> bytes:
    return marshal.dumps(listings, _EQUAL)


def _share(folders: list[str]) -> Listed:
    """List folders in this process and in others; what one of them leaves out is listed here."""
    queue, numbers = os.pipe()
    os.write(numbers, b"".join(_number(index) for index in range(len(folders))))
    os.close(numbers)
    others = [_start(folders, queue) for _ in range(min(machine.cpu_count(), _PROCESSES) - 1)]
    listed = _take(folders, queue)
    os.close(queue)
    for other in filter(None, others):
        listed.update(_finish(*other))
    return {**listed, **_deep(folder for folder in folders if folder not in listed)}


def _number(index: int) -> bytes:
    return index.to_bytes(_NUMBER_BYTES, "little")


def _take(folders: list[str], queue: int) -> Listed:
    """List one folder after the other, as long as there is one that no process has taken."""
    listed = {}
    while number := os.read(queue, _NUMBER_BYTES):
        folder = folders[int.from_bytes(number, "little")]
        listed[folder] = _packed(_below(folder))
    return listed


def _start(folders: list[str], queue: int) -> tuple[int, int] | None:
    """Start a process that takes folders, and return it with the pipe that it answers by."""
    answer, write = os.pipe()
    try:
        process = os.fork()
    except OSError:  # no more processes are allowed
        os.close(answer)
        os.close(write)
        return None
    if not process:
        with contextlib.suppress(BaseException), os.fdopen(write, "wb") as stream:
            stream.write(marshal.dumps(_take(folders, queue), _EQUAL))
        os._exit(0)
    os.close(write)
    return process, answer


def _finish(process: int, answer: int) -> Listed:
    with os.fdopen(answer, "rb") as stream:
        packed = stream.read()
    os.waitpid(process, 0)
    try:
        listed: Listed = marshal.loads(packed)  # noqa: S302 - of a process of our own
    except (EOFError, ValueError, TypeError):  # it was killed
        return {}
    return listed


def _list(folder: str) -> tuple[Listing, list[str]]:
    """List one folder, and return the folders in it."""
    entries: list[Any] = []
    try:
        folders = read_folder(folder, entries)
    except OSError:
        return (folder, entries, False, file_status.ask(folder, follow=False) or _NONE), []
    return (folder, entries, bool(folders), None), folders


def read_folder(folder: str, files: list[Any]) -> list[str]:
    """Add the files of one folder, each name followed by its status, and return the folders in it.

    What Python compiles by itself is left out.

    Raises:
        OSError: It cannot be read.
    """
    if len(folder) > _LONG:  # with whole paths, which are refused where nothing could be opened
        with os.scandir(folder) as entries:
            return _sort(folder, entries, files)
    above = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with os.scandir(above) as entries:  # what it names is asked for from there: a sixth faster
            return _sort(folder, entries, files)
    finally:
        os.close(above)


def _sort(folder: str, entries: Iterable[os.DirEntry[str]], files: list[Any]) -> list[str]:
    """Sort the entries of a folder; this is done for each of tens of thousands of files."""
    inner: list[str] = []
    of = file_status.of
    for entry in entries:
        if not entry.is_dir(follow_symlinks=False):
            files += (entry.name, of(entry.stat(follow_symlinks=False)))
        elif entry.name != "__pycache__":
            inner.append(folder + "/" + entry.name)
    return inner
