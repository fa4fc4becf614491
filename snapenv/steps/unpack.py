"""A snapshot that lies alone in a file or a registry, unpacked for as long as it is needed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from snapenv.archive.snapshot import holds_snapshot, lay_out, unpack_snapshot_archive
from snapenv.errors import NotFoundError, RegistryError, SnapshotDamagedError, WriteError
from snapenv.lock.fetch import Part, temporary_folder
from snapenv.lock.store import read_digest
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.steps.source import Archive, RegistryImage, SnapshotFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from snapenv.model.artifact import RemoteSnapshot
    from snapenv.ports import Services
    from snapenv.steps.source import Source


@contextlib.contextmanager
def unpacked(
    source: Source, services: Services, *, packages: bool = True, required: bool = False
) -> Iterator[Source]:
    """Yield a source; of a snapshot alone, a folder that is gone after the block.

    Without ``packages``, the files of ``vendor/`` are left out: enough to read its lock. A name
    that its registry does not tell of may be an image that the engine reaches, unless a snapshot is
    ``required``, or no engine answers.

    Raises:
        ArchiveError: A file is damaged, or is none.
        NotFoundError: The registry has no such name.
        RegistryError: The registry does not answer, refuses, or serves other bytes.
        SnapshotDamagedError: It is not the snapshot that it says.
        SnapshotVersionError: A newer snapenv wrote it.
        WriteError: The disk is full, or the user's cache cannot be written.
    """
    with contextlib.ExitStack() as held:
        match source:
            case Archive(path) if holds_snapshot(path):
                scratch = held.enter_context(temporary_folder(services))
                annotations = _unpack_file(source, scratch, services, packages=packages)
            case RegistryImage() if remote := _find(source, services, required=required):
                scratch = held.enter_context(temporary_folder(services))
                _download(remote, scratch, services, packages=packages)
                annotations = remote.annotations
            case _:
                yield source
                return
        yield _checked(scratch / "snapshot", annotations, str(source), whole=packages)


def _unpack_file(
    source: Archive, scratch: Path, services: Services, *, packages: bool
) -> Mapping[str, str]:
    with writing(scratch), services.progress.task(f"Checking {source}") as task:
        manifest = unpack_snapshot_archive(source.path, scratch, task, packages=packages)
    return manifest.annotations


def _find(source: RegistryImage, services: Services, *, required: bool) -> RemoteSnapshot | None:
    with services.progress.task(f"Asking for {source}"):
        try:
            return services.registry.find_snapshot(source.ref)
        except (NotFoundError, RegistryError):
            if required or source.engine_error:
                raise
            return None


def _download(remote: RemoteSnapshot, scratch: Path, services: Services, *, packages: bool) -> None:
    """Fetch the layers of a snapshot, and make its folder of them."""
    layers = remote.layers if packages else remote.layers[:1]
    blobs = {layer.digest: layer for layer in layers}
    total, done = sum(layer.size for layer in blobs.values()), 0
    with writing(scratch), services.progress.task(f"Pulling {remote.ref}") as task:
        for digest, layer in blobs.items():
            part = Part(task=task, before=done, total=total)
            into = scratch / digest.removeprefix("sha256:")
            services.registry.fetch(remote.ref, layer, into, part)
            done += layer.size
        lay_out(layers, scratch, where=str(remote.ref))


def _checked(
    folder: Path, annotations: Mapping[str, str], name: str, *, whole: bool
) -> SnapshotFolder:
    """Return a folder that was unpacked, whose digest is the one that its manifest names."""
    expected, actual = annotations.get(SNAPSHOT_LABEL), read_digest(folder)
    if actual is None or expected != actual:
        raise SnapshotDamagedError(
            f"{name} says it holds snapshot {expected}, and holds {actual or 'none'}",
            hint="Do not trust it; get it again from where it came from.",
        )
    return SnapshotFolder(folder, name, whole)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Say what it is that cannot be written, in a folder of the user's cache.

    Raises:
        WriteError: Something cannot be.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"cannot write {error.filename or folder}: {error.strerror}",
            hint="Free some space, or set XDG_CACHE_HOME to another place.",
        ) from error
