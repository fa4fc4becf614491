"""A new file or folder that is there whole or not at all: made beside its place, then moved."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import uuid
from typing import TYPE_CHECKING

from snapenv.durable import sync_handle, sync_paths, sync_tree
from snapenv.errors import PlaceTakenError, WriteError
from snapenv.ownership.leftovers import note_empty, note_path, remove
from snapenv.places import can_name, entered, named, pinned, refuse_odd

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
def staged(path: Path, *, folder: int | None = None) -> Iterator[Path]:
    """Make an empty file or folder, yield a name for it, and move it to ``path`` at the end.

    The name leads to what was made for as long as the block lasts, whatever others who may write
    beside it put in its place. ``folder`` is the mode of one, of which the umask takes away.

    Raises:
        PlaceTakenError: Something stands there already.
        WriteError: It cannot be written; nothing is left behind.
    """
    refuse_taken(path)
    hidden = f".{path.name[:_SHOWN]}-{uuid.uuid4().hex[:12]}"
    try:
        make_parents(path)
        with pinned(path.parent) as above:
            note_path(path.with_name(hidden))
            temporary, place = above / hidden, above / path.name
            try:
                with _made(temporary, folder) as handle:
                    yield named(handle) if can_name() else temporary
                    refuse_taken(path)
                    sync_tree(temporary)
                    _refuse_other(handle, temporary)
                    _move(temporary, place, is_folder=folder is not None)
            finally:
                remove(temporary)
            _sync_name(path, place)
    except OSError as error:
        raise cannot_write(path, error) from error


@contextlib.contextmanager
def _made(place: Path, folder: int | None) -> Iterator[int]:
    """Make a folder of a mode, or a file of its user alone, and hold it open."""
    if folder is not None:
        place.mkdir(mode=folder)
        handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    else:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        handle = os.open(place, flags, 0o600)
    try:
        yield handle
    finally:
        os.close(handle)


def _refuse_other(handle: int, place: Path) -> None:
    """Check that a name still leads to what was made.

    Raises:
        OSError: It does not.
    """
    if not os.path.samestat(os.fstat(handle), place.lstat()):
        raise OSError(errno.ESTALE, "somebody else has moved it meanwhile", str(place))


def _move(temporary: Path, path: Path, *, is_folder: bool) -> None:
    """Move to a free place: a file replaces nothing, and a folder only an empty one."""
    if not is_folder:
        try:
            path.hardlink_to(temporary)
        except FileExistsError:
            refuse_taken(path)
        except OSError:  # a file system without links
            pass
        else:
            return
    temporary.rename(path)


def _sync_name(path: Path, place: Path) -> None:
    """See that a power cut does not take a name again; where that fails, it is taken away."""
    try:
        sync_paths([path.parent])
    except OSError:
        remove(place)
        raise


def make_parents(path: Path) -> tuple[Path, ...]:
    """Make the folders to hold a path; return those that were not there, the topmost first.

    Where the process is killed, the next one removes those that are empty.

    Raises:
        OSError: They cannot be made.
    """
    missing = [folder for folder in path.absolute().parents if not folder.exists()][::-1]
    if missing:
        with contextlib.ExitStack() as held:
            above = held.enter_context(pinned(missing[0].parent))
            for folder in missing:
                note_empty(folder)
                (above / folder.name).mkdir(exist_ok=True)
                above = held.enter_context(entered(above / folder.name))
    return tuple(missing)


def replace_file(
    path: Path, content: bytes, *, mode: int = 0o600, lasting: bool = True, masked: bool = True
) -> None:
    """Write a file whole or not at all, in the place of the one that may be there.

    ``mode`` is what the user's umask may take from, where it is ``masked``. What is not
    ``lasting`` may be cut off by a power cut: its reader sees that, and makes it anew.

    Raises:
        OSError: It cannot be written, or what is there is no plain file; nothing is left behind.
    """
    hidden = f".{path.name[:_SHOWN]}.{os.urandom(16).hex()}"
    with pinned(path.parent) as above:
        refuse_odd(above / path.name)
        note_path(path.with_name(hidden), lasting=lasting)
        temporary = above / hidden
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(handle, "wb") as file:
                if not masked:
                    os.fchmod(file.fileno(), mode)
                file.write(content)
                if lasting:
                    file.flush()
                    sync_handle(file.fileno())
            temporary.replace(above / path.name)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def cannot_write(path: Path, error: OSError) -> WriteError:
    """Say why something cannot be written."""
    return WriteError(
        f"cannot write {path}: {error.strerror}",
        hint="Free some space or choose another place with -o; nothing was left behind.",
    )
