"""The files of a training: its checkpoints, and the copies of them that are kept.

ultralytics writes ``last.pt`` in place, so that a kill can leave it cut off, and a link to it
would be cut off too. Copies lie in ``snapenv/`` beside ``weights/``, under names that ultralytics'
own search for ``last*.pt`` does not find.
"""

from __future__ import annotations

import os
import shutil
import time
import zipfile
from typing import TYPE_CHECKING, Callable

if TYPE_CHECKING:
    from pathlib import Path

_KEPT = 2  # copies; one may be of several hundred MB
_POLL_S = 0.25
_SAVING_S = 120.0  # from an epoch's row to its checkpoint, at most


def own_folder(save_dir: Path) -> Path:
    """Return the folder of snapenv's own files in a training's folder, made if it is not there."""
    folder = save_dir / "snapenv"
    folder.mkdir(exist_ok=True)
    return folder


def list_checkpoints(save_dir: Path) -> list[Path]:
    """Return what a training may go on from: ``last.pt``, then copies and ``epochN.pt`` by age."""
    weights, last = save_dir / "weights", save_dir / "weights" / "last.pt"
    others = (*_kept(save_dir), *weights.glob("epoch*.pt"))
    newest_first = sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)
    return [path for path in (last, *newest_first) if path.is_file()]


def damage(path: Path) -> str | None:
    """Say in a few words why a file of ``torch.save`` is not whole; None where it is.

    Such a file is a zip archive. Source: https://docs.pytorch.org/docs/stable/notes/serialization.html
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        return "it is empty" if _size(path) == 0 else f"it is damaged or cut off ({error})"
    return f"it is damaged at {damaged}" if damaged else None


def keep_copy(save_dir: Path) -> Path | None:
    """Copy ``last.pt`` if it is whole; the copy is named by when the checkpoint was written."""
    last = save_dir / "weights" / "last.pt"
    if not last.is_file() or damage(last):
        return None
    status = last.stat()
    moment = time.strftime("%Y%m%dT%H%M%S", time.gmtime(status.st_mtime))
    copy = own_folder(save_dir) / f"kept-{moment}.{status.st_mtime_ns // 1000 % 1000000:06}.pt"
    if _size(copy) != status.st_size:
        replace(copy, lambda path: shutil.copy2(last, path))
    return copy


def keep_newest(save_dir: Path) -> None:
    """Remove all copies but the newest."""
    for path in sorted(_kept(save_dir))[:-_KEPT]:
        path.unlink()


def remove_own(save_dir: Path) -> None:
    """Remove all copies, and the checkpoint that was made of one."""
    for path in (*_kept(save_dir), own_folder(save_dir) / "resume.pt"):
        if path.exists():
            path.unlink()


def wait_for_next(save_dir: Path) -> Path:
    """Wait until ``last.pt`` has been written anew, and return a copy of it."""
    last = save_dir / "weights" / "last.pt"
    before = current = _written(last)
    while True:
        time.sleep(_POLL_S)
        current, earlier = _written(last), current
        if current == earlier != before:  # nobody writes to it just now
            copy = keep_copy(save_dir)
            if copy:
                return copy


def keep_saved(save_dir: Path, patience_s: float = _SAVING_S) -> Path | None:
    """Return a copy of the checkpoint of the last epoch that is done; None where there is none.

    ultralytics appends an epoch's row to ``results.csv`` before it saves the checkpoint.
    """
    last, rows = save_dir / "weights" / "last.pt", save_dir / "results.csv"
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        written = _written(last)
        time.sleep(_POLL_S)
        saved = (
            written is not None
            and written == _written(last)
            and written >= (_written(rows) or written)
        )
        copy = keep_copy(save_dir) if saved else None
        if copy:
            return copy
    return keep_copy(save_dir)


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let a file be written under another name, and take its place when it is whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        if temporary.exists():
            temporary.unlink()


def _kept(save_dir: Path) -> list[Path]:
    return list((save_dir / "snapenv").glob("kept-*.pt"))


def _written(path: Path) -> tuple[int, int] | None:
    """Return when a file was written and its size; None where it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _size(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None
