"""The snapshot that a source holds: in a folder, in an archive, or in an image."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.archive.reader import check_archive
from snapenv.errors import ArchiveError, NotFoundError, SnapshotDamagedError
from snapenv.lock.store import parse_snapshot, read_snapshot, write_snapshot
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL, SNAPSHOTS
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.steps.source import Archive, LocalImage, RegistryImage, SnapshotFolder
from snapenv.steps.unpack import unpacked

if TYPE_CHECKING:
    from snapenv.archive.layout import Archived
    from snapenv.model.image import Image, ImageRef
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.source import Source


def read_source(source: Source, services: Services) -> Snapshot:
    """Read and check the snapshot of a source; an image that is not here is pulled.

    Raises:
        ArchiveError: It is a damaged archive, or a file that is none.
        NotFoundError: An image holds none, or is nowhere.
        RegistryError: The image is not here, and its registry does not answer.
        SnapshotDamagedError: A file is missing, or is not what SHA256SUMS says.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    match source:
        case SnapshotFolder():
            return read_folder(source)
        case LocalImage(ref, image):
            return read_image(image, ref, services)
        case Archive() | RegistryImage():
            pass
    with unpacked(source, services, packages=False) as opened:
        if isinstance(opened, SnapshotFolder):
            return read_folder(opened)
    if isinstance(source, Archive):
        return read_archive(source.path, services)[1]
    return read_image(fetch_image(source.ref, services), source.ref, services)


def read_folder(folder: SnapshotFolder) -> Snapshot:
    """Read and check a snapshot folder; of one that is not whole, the files of its lock alone."""
    snapshot = read_snapshot(folder.path, where=folder.name, carried=folder.whole)
    if folder.whole:
        return snapshot
    small = {name: file for name, file in snapshot.files.items() if isinstance(file, bytes)}
    return replace(snapshot, files=small)


def save_folder(
    source: SnapshotFolder, output: Path | None, services: Services
) -> tuple[Snapshot, Path]:
    """Write a snapshot that was unpacked to a new folder, its tag's among ``snapshots`` by default.

    Raises:
        PlaceBusyError: Another command writes there.
        PlaceTakenError: Something stands there already.
        WriteError: The folder cannot be written.
    """
    snapshot = read_folder(source)
    folder = output or Path(SNAPSHOTS, snapshot.lock.tag)
    refuse_unwritable(folder)
    with claim_path(services.kept("locks"), folder):
        write_snapshot(snapshot, folder, scratch=source.path)
    return snapshot, folder


def read_archive(file: Path, services: Services) -> tuple[Archived, Snapshot]:
    """Check an image's archive whole, and return what it holds with its snapshot.

    Raises:
        ArchiveError: It is damaged, or is none.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    with services.progress.task(f"Checking {file}") as task:
        archived = check_archive(file, task)
    try:
        snapshot = parse_snapshot(archived.files, where=f"{file}:snapshot", in_image=True)
    except SnapshotDamagedError as error:
        raise not_an_export(file, error.message) from error
    if snapshot.digest != archived.snapshot:
        raise not_an_export(file, f"its image is of snapshot {archived.snapshot or 'none'}")
    if snapshot.lock.tag != archived.tag:
        raise not_an_export(file, f"it names {archived.tag}, and holds {snapshot.lock.tag}")
    return archived, snapshot


def not_an_export(file: Path, why: str) -> ArchiveError:
    """Return the error that a file is not what an export writes."""
    return ArchiveError(
        f"{file} is not what snapenv export writes: {why}",
        hint="Do not trust it; get it again from where it was exported.",
    )


def fetch_image(ref: ImageRef, services: Services) -> Image:
    """Return the image that is here already, else the registry's.

    Raises:
        NotFoundError: The registry has no such name.
        RegistryError: The registry does not answer, refuses, or the transfer broke.
    """
    here = services.engine.find(str(ref))
    if here:
        return here
    with services.progress.task(f"Pulling {ref}") as task:
        return services.engine.pull(ref, task)


def read_image(image: Image, ref: ImageRef, services: Services) -> Snapshot:
    """Read and check the snapshot that an image holds; its files are kept by the image's id.

    Raises:
        NotFoundError: It holds none.
        SnapshotDamagedError: It is damaged, or not the one that the image's label names.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    made, known = services.made(), ("snapshot of an image", image.id, *image.diff_ids)
    name = sha256("\n".join(known).encode()).hexdigest()
    kept = made.find_value(name, dict[str, bytes])
    try:
        contents = kept or services.engine.read_folder(image, IMAGE_SNAPSHOT)
    except NotFoundError as error:
        raise no_snapshot(ref) from error
    snapshot = parse_snapshot(contents, where=f"{ref}:{IMAGE_SNAPSHOT}", in_image=True)
    if image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise SnapshotDamagedError(
            f"{ref} says it holds snapshot {image.labels.get(SNAPSHOT_LABEL)}, "
            f"and holds {snapshot.digest}",
            hint="Build it again from the snapshot folder.",
        )
    if not kept:
        made.keep_value(name, contents)
    return snapshot


def no_snapshot(ref: ImageRef) -> NotFoundError:
    """Return the error that an image is not one of snapenv's."""
    return NotFoundError(
        f"{ref} holds no snapshot: it was not built by snapenv",
        hint="Name an image that snapenv build made.",
    )
