"""Fetch wheels to this machine, with its own credentials, and hand them on without these."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.conda_lock import write_conda_lock
from snapenv.errors import WriteError
from snapenv.kept import KeptFiles
from snapenv.model.carried import Content
from snapenv.model.snapshot import CONDA_LOCK_FILE, PYLOCK_FILE, STAGED, Lock
from snapenv.model.wheels import IndexWheel, Pinned
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
            services.wheels.fetch(wheel, path, Part(task=task, before=done, total=total))
            if kept:
                kept.keep(wheel.sha256, path)
        done += path.stat().st_size
        files[wheel.filename] = path
    return files


class Staged(Struct, frozen=True, kw_only=True):
    """Files beside a snapshot's own, while it is built; none where all can be had by anyone.

    The lock has the places of what is staged; so has each tool whose wheel is.
    """

    lock: Lock
    files: Mapping[str, Content] = field(default_factory=dict)


def stage_private_wheels(snapshot: Snapshot, into: Path, services: Services) -> Staged:
    """Fetch the wheels, and conda's packages, that lie where this machine has a credential.

    They are kept in the user's cache folder: uv and py-rattler, which are handed files, would not
    keep them.

    Raises:
        PackageIndexError: One cannot be had, or is not what its hash says.
    """
    lock = snapshot.lock
    wanted = [wheel for wheel in fetched_wheels(lock) if services.wheels.is_private(wheel)]
    if not wanted:
        return Staged(lock=lock)
    with services.progress.task("Fetching what needs a credential") as task:
        kept = KeptFiles(services.kept("wheels"))
        fetched = fetch_wheels(wanted, into, services, task, kept=kept)
    lock = with_places(lock, {wheel.url: f"{STAGED}/{wheel.filename}" for wheel in wanted})
    pylock = write_pylock(
        lock.packages,
        machine=lock.hardware.system.machine,
        python=lock.environment.interpreter.minor,
        folder=STAGED,
    )
    return Staged(
        lock=lock,
        files={
            f"{STAGED}/{PYLOCK_FILE}": pylock,
            **({f"{STAGED}/{CONDA_LOCK_FILE}": write_conda_lock(lock.conda)} if lock.conda else {}),
            **{f"{STAGED}/{name}": path for name, path in fetched.items()},
        },
    )


def fetched_wheels(lock: Lock) -> Iterator[IndexWheel]:
    """Yield all that is fetched to make an environment: of pip, of conda, and the tools for it."""
    for locked in lock.packages.values():
        if isinstance(locked, Pinned) and locked.file is None:
            yield locked.wheel
    conda = lock.conda
    for package, archive in conda.each() if conda else ():
        if archive.url and archive.sha256 and archive.file is None:
            yield IndexWheel(
                name=package.name,
                version=package.version,
                url=archive.url,
                sha256=archive.sha256,
                size_bytes=archive.size_bytes,
            )
    for name, tool in (("uv", lock.installer), ("py-rattler", lock.conda_installer)):
        if tool and tool.file is None:
            yield IndexWheel(name=name, version=tool.version, url=tool.url, sha256=tool.sha256)


def with_places(lock: Lock, places: Mapping[str, str]) -> Lock:
    """Return a lock in which what is named lies at ``places``, by its address."""

    def placed(tool: Installer) -> Installer:
        return replace(tool, file=places.get(tool.url, tool.file))

    packages = {
        name: (
            replace(locked, file=places.get(locked.wheel.url, locked.file))
            if isinstance(locked, Pinned)
            else locked
        )
        for name, locked in lock.packages.items()
    }
    archives = {
        name: replace(archive, file=places.get(archive.url or "", archive.file))
        for name, archive in (lock.conda.archives if lock.conda else {}).items()
    }
    return replace(
        lock,
        installer=placed(lock.installer),
        conda_installer=lock.conda_installer and placed(lock.conda_installer),
        packages=packages,
        conda=lock.conda and replace(lock.conda, archives=archives),
    )


class Part(Struct, frozen=True, kw_only=True):
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
