"""What an archive holds: an image, loaded and named, or a snapshot, as a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.content import size_bytes
from snapenv.errors import UsageError
from snapenv.model.outcome import Outcome
from snapenv.model.results import ArchiveResult
from snapenv.steps.load_archive import Loading, load_archive
from snapenv.steps.snapshots import read_archive, save_folder
from snapenv.steps.source import Archive, SnapshotFolder
from snapenv.steps.unpack import unpacked

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Services


class Import(Loading, frozen=True, kw_only=True):
    """What a user may ask of an import."""

    output: Path | None = None  # where a snapshot alone is written


def import_archive(request: Import, services: Services) -> Outcome[ArchiveResult]:
    """Check an archive whole; load its image and name it, or write its snapshot to a folder."""
    with unpacked(Archive(request.file), services) as source:
        if isinstance(source, SnapshotFolder):
            return _import_snapshot(request, source, services)
    return _import_image(request, services)


def _import_snapshot(
    request: Import, source: SnapshotFolder, services: Services
) -> Outcome[ArchiveResult]:
    """Write a snapshot that was unpacked; nothing of an engine is needed.

    Raises:
        PlaceTakenError: Something stands there already.
        WriteError: The folder cannot be written.
    """
    snapshot, folder = save_folder(source, request.output, services)
    return Outcome(
        command="import",
        result=ArchiveResult(
            path=str(request.file),
            snapshot=snapshot.digest,
            size_bytes=sum(map(size_bytes, snapshot.files.values())),
            folder=str(folder),
        ),
        lines=(f"{request.file} is now in {folder}", f"snapshot {snapshot.digest}"),
    )


def _import_image(request: Import, services: Services) -> Outcome[ArchiveResult]:
    archived, _ = read_archive(request.file, services)
    if request.output:
        raise UsageError(
            f"{request.file} holds an image, which the engine stores",
            hint="Leave out --output.",
        )
    image, ref = load_archive(request, archived, services)
    return Outcome(
        command="import",
        result=ArchiveResult(
            path=str(request.file),
            image=ref.tagged,
            digest=image.id,
            config=archived.config_digest,
            snapshot=archived.snapshot,
            delta=bool(archived.absent),
            size_bytes=image.size_bytes,
        ),
        lines=(f"{request.file} is here as {ref.tagged}", f"image {image.id}"),
    )
