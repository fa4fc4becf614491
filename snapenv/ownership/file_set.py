"""Several files in a folder of the user's: all of them are written, or none."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.durable import sync_paths
from snapenv.errors import PlaceTakenError
from snapenv.ownership.leftovers import note_file, note_path, note_whole, remove
from snapenv.ownership.staging import cannot_write, make_parents

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
        try:
            staged = {
                name: _stage(folder / name, content, undo, executable=name in executable)
                for name, content in files.items()
            }
            sync_paths(staged.values())
            for name, temporary in staged.items():
                _replace(temporary, folder / name, files[name], undo, always)
            sync_paths({(folder / name).parent for name in staged})
            note_whole(folder)
        except OSError as error:
            raise cannot_write(Path(error.filename or folder), error) from error
        undo.pop_all()


def _stage(path: Path, content: bytes, undo: contextlib.ExitStack, *, executable: bool) -> Path:
    """Write a file beside its place, under a name that nothing else has."""
    for parent in make_parents(path):
        undo.callback(_remove_empty, parent)
    temporary = _beside(path)
    note_path(temporary)
    undo.callback(remove, temporary)
    temporary.write_bytes(content)
    if executable:
        temporary.chmod(temporary.stat().st_mode | 0o111)
    return temporary


def _replace(
    temporary: Path,
    path: Path,
    content: bytes,
    undo: contextlib.ExitStack,
    always: contextlib.ExitStack,
) -> None:
    """Move a file to its place; undone, what was there before is there again."""
    before = _beside(path) if path.exists() else None
    if before:
        note_path(before)
        always.callback(remove, before)
        shutil.copy2(path, before)
        sync_paths([before])
        undo.callback(before.replace, path)
    else:
        undo.callback(remove, path)
    note_file(path, hashlib.sha256(content).hexdigest(), before=before)
    temporary.replace(path)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name[:40]}-{uuid.uuid4().hex[:12]}")


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
