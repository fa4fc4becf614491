"""Several files in a folder of the user's: all of them are written, or none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.durable import sync_paths
from snapenv.errors import PlaceTakenError
from snapenv.ownership.leftovers import note_file, note_path, note_whole, remove
from snapenv.ownership.staging import cannot_write, make_parents
from snapenv.places import open_plain, pinned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def refuse_existing(folder: Path, names: Sequence[str], *, force: bool) -> tuple[str, ...]:
    """Return those of ``names`` that are files of ``folder`` already and will be replaced.

    Raises:
        PlaceTakenError: A file is there and ``force`` is off, or what is there is no file.
    """
    taken = tuple(name for name in names if os.path.lexists(folder / name))
    odd = [name for name in taken if not (folder / name).is_file()]
    if odd:
        raise PlaceTakenError(
            f"{folder / odd[0]} is not a file", hint="Give another folder with --output."
        )
    if taken and not force:
        more = f", and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise PlaceTakenError(
            f"{folder / taken[0]} exists already{more}",
            hint="Replace it with --force, or give another folder with --output.",
        )
    return taken


def write_files(folder: Path, files: Mapping[str, bytes], *, executable: Sequence[str]) -> None:
    """Write files by their names below ``folder``, which may not be there yet.

    Files that are there are replaced. Where one cannot be written, all stands as it stood before;
    where the process is killed meanwhile, it does so when the next one begins.

    Raises:
        WriteError: A file cannot be written.
    """
    with contextlib.ExitStack() as always, contextlib.ExitStack() as undo:
        writing, staged = folder, dict[str, Path]()
        try:
            for name, content in files.items():
                writing, is_program = folder / name, name in executable
                staged[name] = _stage(writing, content, undo, always, executable=is_program)
            sync_paths(staged.values())
            for name, temporary in staged.items():
                writing = folder / name
                _replace(temporary, folder / name, files[name], undo, always)
            sync_paths({(folder / name).parent for name in staged})
            note_whole(folder)
        except OSError as error:
            raise cannot_write(writing, error) from error
        undo.pop_all()


def _stage(
    path: Path,
    content: bytes,
    undo: contextlib.ExitStack,
    always: contextlib.ExitStack,
    *,
    executable: bool,
) -> Path:
    """Write a file beside its place, under a name that nothing else has; hold the folder."""
    for parent in make_parents(path):
        undo.callback(_remove_empty, parent)
    above = always.enter_context(pinned(path.parent))
    hidden = _hidden(path)
    note_path(path.with_name(hidden))
    temporary = above / hidden
    undo.callback(remove, temporary)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        if executable:
            os.fchmod(file.fileno(), os.fstat(file.fileno()).st_mode | 0o111)
    return temporary


def _replace(
    temporary: Path,
    path: Path,
    content: bytes,
    undo: contextlib.ExitStack,
    always: contextlib.ExitStack,
) -> None:
    """Move a file to its place; undone, what was there before is there again."""
    place, hidden = temporary.with_name(path.name), None
    if place.exists():
        hidden = _hidden(path)
        before = place.with_name(hidden)
        note_path(path.with_name(hidden))
        always.callback(remove, before)
        _copy(place, before)
        sync_paths([before])
        undo.callback(before.replace, place)
    else:
        undo.callback(remove, place)
    digest = hashlib.sha256(content).hexdigest()
    note_file(path, digest, before=path.with_name(hidden) if hidden else None)
    temporary.replace(place)


def _copy(source: Path, to: Path) -> None:
    """Copy a plain file with its mode and times to a free place."""
    with open_plain(source) as file:
        status = os.fstat(file.fileno())
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(to, flags, 0o600), "wb") as copy:
            shutil.copyfileobj(file, copy)
            copy.flush()
            os.fchmod(copy.fileno(), stat.S_IMODE(status.st_mode))
            os.utime(copy.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _hidden(path: Path) -> str:
    return f".{path.name[:40]}-{uuid.uuid4().hex[:12]}"


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
