"""A snapshot that lies alone in a file, unpacked for as long as it is needed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from snapenv.archive.snapshot import holds_snapshot, unpack_snapshot_archive
from snapenv.errors import SnapshotDamagedError, WriteError
from snapenv.lock.fetch import temporary_folder
from snapenv.lock.store import read_digest
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.steps.source import Archive, SnapshotFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.oci import Manifest
    from snapenv.ports import Services
    from snapenv.steps.source import Source


@contextlib.contextmanager
def unpacked(source: Source, services: Services, *, packages: bool = True) -> Iterator[Source]:
    """Yield a source; of a snapshot alone in a file, a folder that is gone after the block.

    Without ``packages``, the files of ``vendor/`` are left out: enough to read its lock.

    Raises:
        ArchiveError: A file is damaged, or is none.
        SnapshotDamagedError: It is not the snapshot that it says.
        SnapshotVersionError: A newer snapenv wrote it.
        WriteError: The disk is full, or the user's cache cannot be written.
    """
    if not (isinstance(source, Archive) and holds_snapshot(source.path)):
        yield source
        return
    with temporary_folder(services) as scratch:
        with _writing(scratch), services.progress.task(f"Checking {source}") as task:
            manifest = unpack_snapshot_archive(source.path, scratch, task, packages=packages)
        yield _checked(scratch / "snapshot", manifest, str(source))


def _checked(folder: Path, manifest: Manifest, name: str) -> SnapshotFolder:
    """Return a folder that was unpacked, whose digest is the one that its manifest names."""
    expected, actual = manifest.annotations.get(SNAPSHOT_LABEL), read_digest(folder)
    if actual is None or expected != actual:
        raise SnapshotDamagedError(
            f"{name} says it holds snapshot {expected}, and holds {actual or 'none'}",
            hint="Do not trust it; get it again from where it came from.",
        )
    return SnapshotFolder(folder, name)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"cannot write {error.filename or folder}: {error.strerror}",
            hint="Free some space, or set XDG_CACHE_HOME to another place.",
        ) from error
