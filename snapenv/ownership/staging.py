"""A new file or folder that is there whole or not at all: made beside its place, then moved."""

from __future__ import annotations

import contextlib
import os
import tempfile
import uuid
from typing import TYPE_CHECKING

from snapenv.durable import sync_handle, sync_paths, sync_tree
from snapenv.errors import PlaceTakenError, WriteError
from snapenv.ownership.leftovers import note_empty, note_path, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHOWN = 40  # characters of a name in its temporary one, which may have 255 bytes


def refuse_taken(path: Path) -> None:
    """Check that nothing stands where something new is to be written.

    Raises:
        PlaceTakenError: Something stands there already.
    """
    if os.path.lexists(path):
        raise PlaceTakenError(
            f"{path} exists already", hint="Give another place with -o, or remove this one."
        )


def refuse_unwritable(path: Path) -> None:
    """Check that something new can be written there, before anything long is done for it.

    Raises:
        PlaceTakenError: Something stands there already.
        WriteError: It cannot be written.
    """
    refuse_taken(path)
    try:
        with contextlib.suppress(FileNotFoundError):
            path.lstat()  # a name that is too long, a file in the place of a folder
        above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        with tempfile.TemporaryFile(dir=above):
            pass
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path``; what the block makes under it is moved to its place at the end.

    Raises:
        PlaceTakenError: Something stands there already.
        WriteError: It cannot be written; nothing is left behind.
    """
    refuse_taken(path)
    temporary = path.with_name(f".{path.name[:_SHOWN]}-{uuid.uuid4().hex[:12]}")
    try:
        make_parents(path)
        note_path(temporary)
        try:
            yield temporary
            refuse_taken(path)
            sync_tree(temporary)
            _move(temporary, path)
        finally:
            remove(temporary)
        _sync_name(path)
    except OSError as error:
        raise cannot_write(path, error) from error


def _move(temporary: Path, path: Path) -> None:
    """Move to a free place: a file replaces nothing, and a folder only an empty one."""
    if not temporary.is_dir():
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            refuse_taken(path)
        except OSError:  # a file system without links
            pass
        else:
            return
    temporary.rename(path)


def _sync_name(path: Path) -> None:
    """See that a power cut does not take a name again; where that fails, it is taken away."""
    try:
        sync_paths([path.parent])
    except OSError:
        remove(path)
        raise


def make_parents(path: Path) -> tuple[Path, ...]:
    """Make the folders to hold a path; return those that were not there, the topmost first.

    Where the process is killed, the next one removes those that are empty.

    Raises:
        OSError: They cannot be made.
    """
    missing = [folder for folder in path.absolute().parents if not folder.exists()][::-1]
    for folder in missing:
        note_empty(folder)
        folder.mkdir(exist_ok=True)
    return tuple(missing)


def replace_file(path: Path, content: bytes, *, mode: int = 0o600, lasting: bool = True) -> None:
    """Write a file whole or not at all, in the place of the one that may be there.

    ``mode`` is what the user's umask may take from. What is not ``lasting`` may be cut off by a
    power cut: its reader sees that, and makes it anew.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name[:40]}.{os.urandom(16).hex()}")
    note_path(temporary, lasting=lasting)
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if lasting:
                file.flush()
                sync_handle(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Say why something cannot be written."""
    return WriteError(
        f"cannot write {path}: {error.strerror}",
        hint="Free some space or choose another place with -o; nothing was left behind.",
    )
