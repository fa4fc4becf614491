"""Fetch wheels to this machine, with its own credentials, and hand them on without these."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.errors import WriteError
from snapenv.kept import KeptFiles
from snapenv.model.carried import Content
from snapenv.model.snapshot import PYLOCK_FILE, STAGED
from snapenv.model.wheels import IndexWheel, Locked, Pinned
from snapenv.ownership.leftovers import scratch_folder
from snapenv.ports import Task
from snapenv.pylock import write_pylock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from snapenv.model.snapshot import Installer, Snapshot
    from snapenv.ports import Services


@contextlib.contextmanager
def temporary_folder(services: Services) -> Iterator[Path]:
    """Yield a folder for what is fetched, which is gone afterwards.

    It lies in the user's cache folder: what is fetched may not fit where temporary files lie.

    Raises:
        WriteError: The disk is full or the place cannot be written.
    """
    place = services.kept("fetched")
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
    services: Services,
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
            services.wheels.fetch(wheel, path, _Part(task=task, before=done, total=total))
            if kept:
                kept.keep(wheel.sha256, path)
        done += path.stat().st_size
        files[wheel.filename] = path
    return files


class Staged(Struct, frozen=True, kw_only=True):
    """Files beside a snapshot's own, while it is built; none where all can be had by anyone."""

    packages: Mapping[str, Locked]  # of the lock, with the places of what is staged
    files: Mapping[str, Content] = field(default_factory=dict)
    uv: str | None = None  # the wheel of uv among them


def stage_private_wheels(snapshot: Snapshot, into: Path, services: Services) -> Staged:
    """Fetch the wheels that lie where this machine has a credential, checked by their hashes.

    They are kept in the user's cache folder: uv, which is handed files, would not keep them.

    Raises:
        PackageIndexError: One cannot be had, or is not what its hash says.
    """
    lock = snapshot.lock
    uv = _wheel_of(lock.installer)
    private = {
        name: locked
        for name, locked in lock.packages.items()
        if isinstance(locked, Pinned)
        and locked.file is None
        and services.wheels.is_private(locked.wheel)
    }
    with_uv = lock.installer.file is None and services.wheels.is_private(uv)
    if not private and not with_uv:
        return Staged(packages=lock.packages)
    with services.progress.task("Fetching what needs a credential") as task:
        wheels = [locked.wheel for locked in private.values()]
        wanted, kept = [*wheels, *([uv] if with_uv else [])], KeptFiles(services.kept("wheels"))
        fetched = fetch_wheels(wanted, into, services, task, kept=kept)
    packages = {
        **lock.packages,
        **{
            name: replace(locked, file=f"{STAGED}/{locked.wheel.filename}")
            for name, locked in private.items()
        },
    }
    pylock = write_pylock(
        packages,
        machine=lock.hardware.system.machine,
        python=lock.environment.interpreter.minor,
        folder=STAGED,
    )
    return Staged(
        packages=packages,
        files={
            f"{STAGED}/{PYLOCK_FILE}": pylock,
            **{f"{STAGED}/{name}": path for name, path in fetched.items()},
        },
        uv=f"{STAGED}/{uv.filename}" if with_uv else None,
    )


def _wheel_of(uv: Installer) -> IndexWheel:
    return IndexWheel(name="uv", version=uv.version, url=uv.url, sha256=uv.sha256)


class _Part(Struct, frozen=True, kw_only=True):
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
