"""A folder that is filled in its own place, such as a venv, and is there whole or not at all.

What cannot be moved to its place when it is whole has a mark in it until then. The mark is a lock
file: held, another command is at it; not held, the command that made it was killed, and the next
one begins anew. Where the mark cannot be removed it is empty, and the folder counts as whole.
"""

from __future__ import annotations

import contextlib
import errno
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.durable import sync_disk_of
from snapenv.errors import PlaceTakenError, WriteError
from snapenv.ownership.claim import busy, describe_self
from snapenv.ownership.leftovers import remove
from snapenv.ownership.lock_file import HeldError, LockFile
from snapenv.ownership.staging import make_parents

if TYPE_CHECKING:
    from collections.abc import Iterator

UNFINISHED = ".snapenv-unfinished"


@dataclass(slots=True)
class NewFolder:
    """A folder that this process alone fills."""

    path: Path
    whole: bool = False  # what was wanted stands: it stays also where what comes next fails


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[NewFolder]:
    """Hold a folder that is not there yet, is empty, or was left half-made, until the block ends.

    Unless it was made ``whole`` in the block, what was made is removed again. An interruption
    removes it in any case.

    Raises:
        PlaceBusyError: Another process fills it.
        PlaceTakenError: Something else stands there.
        WriteError: It cannot be written.
    """
    with contextlib.ExitStack() as undo:
        folder = NewFolder(path)
        for parent in _make(path):
            undo.callback(_remove_empty, parent)
        mark = _take(path)
        undo.callback(mark.remove)
        undo.callback(_empty, path)
        _write(mark, path)
        _empty(path)
        try:
            yield folder
        except KeyboardInterrupt:
            raise
        except BaseException:
            if folder.whole:
                _finish(path, mark, undo)
            raise
        if folder.whole:
            _finish(path, mark, undo)


def _write(mark: LockFile, path: Path) -> None:
    try:
        mark.write(describe_self(), lasting=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _finish(path: Path, mark: LockFile, undo: contextlib.ExitStack) -> None:
    """Take the mark away when the disk has all that is in a folder."""
    try:
        sync_disk_of(path)
        mark.write("", lasting=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    undo.pop_all()
    mark.remove()


def _make(path: Path) -> tuple[Path, ...]:
    """Make a folder and those above it; return those that were not there, the topmost first."""
    try:
        missing = make_parents(path / UNFINISHED)
    except (FileExistsError, NotADirectoryError) as error:
        raise _taken(path) from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    if not path.is_dir():
        raise _taken(path)
    return missing


def _take(path: Path) -> LockFile:
    """Take the lock of a folder that is empty but for it, or half-made.

    Raises:
        PlaceBusyError: Another process has it.
        PlaceTakenError: The folder is whole, or somebody else's.
        WriteError: It cannot be written.
    """
    half_made = (path / UNFINISHED).exists()
    if not half_made and _names(path):
        raise _taken(path)
    try:
        mark = LockFile.take(path / UNFINISHED)
    except HeldError as error:
        raise busy(str(path), error.text) from error
    except OSError as error:
        raise _cannot_write(path, error) from error
    if not mark.read() and _names(path):
        mark.remove()
        raise _taken(path)
    return mark


def _names(path: Path) -> list[Path]:
    try:
        return [entry for entry in path.iterdir() if entry.name != UNFINISHED]
    except OSError as error:
        raise _cannot_write(path, error) from error


def _empty(path: Path) -> None:
    """Remove all that is in a folder but its mark."""
    for entry in _names(path):
        remove(entry)


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.rmdir()


def _taken(path: Path) -> PlaceTakenError:
    return PlaceTakenError(
        f"{path} exists and is no empty folder",
        hint="Name another folder, or remove this one.",
    )


def _cannot_write(path: Path, error: OSError) -> WriteError:
    why = "Not a directory" if error.errno == errno.ENOTDIR else error.strerror
    return WriteError(
        f"cannot write {path}: {why}",
        hint="Name another folder, or see who may write to this one.",
    )
