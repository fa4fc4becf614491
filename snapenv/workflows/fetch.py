"""Fetch wheels of indexes to this machine, with its own credentials."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snapenv.errors import WriteError
from snapenv.ownership.leftovers import scratch_folder
from snapenv.ports import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from snapenv.kept import KeptFiles
    from snapenv.model.wheels import IndexWheel
    from snapenv.ports import Outside


@contextlib.contextmanager
def temporary_folder(outside: Outside) -> Iterator[Path]:
    """Give a folder for what is fetched, which is gone afterwards.

    It lies in the user's cache folder: what is fetched may not fit where temporary files lie.

    Raises:
        WriteError: The disk is full or the place cannot be written.
    """
    place = outside.kept("fetched")
    try:
        if place:
            place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(
            f"cannot write {place}: {error.strerror}",
            hint="Free some space, or set XDG_CACHE_HOME to another place.",
        ) from error
    with scratch_folder(within=place) as folder:
        yield folder


def fetch_wheels(
    wheels: Sequence[IndexWheel],
    into: Path,
    outside: Outside,
    task: Task,
    *,
    kept: KeptFiles | None = None,
) -> Mapping[str, Path]:
    """Download wheels, one after the other, into a folder; return them by their file names.

    One that is in ``kept`` is not downloaded, and the others are put there.

    Raises:
        PackageIndexError: One cannot be had, or is not what its hash says.
        WriteError: The disk is full or the folder cannot be written.
    """
    total = _total(wheels)
    done, files = 0, {}
    for number, wheel in enumerate(wheels, start=1):
        task.note(f"{wheel.filename}, {number} of {len(wheels)}")
        path = into / wheel.filename
        if not (kept and kept.find(wheel.sha256, path)):
            outside.wheels.fetch(wheel, path, _Part(task=task, before=done, total=total))
            if kept:
                kept.keep(wheel.sha256, path)
        done += path.stat().st_size
        files[wheel.filename] = path
    return files


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A task that counts as a part of another one."""

    task: Task
    before: int  # bytes that others had done
    total: int | None

    def note(self, text: str) -> None:
        self.task.note(text)

    def count(self, done: int, total: int | None) -> None:
        del total
        self.task.count(self.before + done, self.total)


def _total(wheels: Sequence[IndexWheel]) -> int | None:
    sizes = [wheel.size_bytes for wheel in wheels]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None
