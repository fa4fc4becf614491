"""An image with its snapshot as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.archive.writer import Export as Contents
from snapenv.archive.writer import Written, write_archive
from snapenv.errors import BaseError
from snapenv.lock.store import read_snapshot
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results import ArchiveResult
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.sizes import size
from snapenv.steps.load_archive import find_base
from snapenv.steps.snapshots import fetch_image, read_image
from snapenv.steps.source import Archive, SnapshotFolder, resolve_source

if TYPE_CHECKING:
    from snapenv.model.image import Image
    from snapenv.ports import Services


class Export(Struct, frozen=True, kw_only=True):
    """What a user may ask of an export."""

    ref: str  # a tag of the convention, an image reference, or a snapshot folder
    output: Path
    repository: str
    delta: bool = False


def export_image(request: Export, services: Services) -> Outcome[ArchiveResult]:
    """Write an image with its snapshot to one file.

    Raises:
        PlaceBusyError: Another command writes it.
        PlaceTakenError: Something stands there already.
        WriteError: The place cannot be written.
    """
    refuse_unwritable(request.output)
    with claim_path(services.kept("locks"), request.output):
        return _export(request, services)


def _export(request: Export, services: Services) -> Outcome[ArchiveResult]:
    ref = _image_ref(request, services)
    services.engine.check()
    image = fetch_image(ref, services)
    snapshot = read_image(image, ref, services)
    contents = Contents(
        image=image,
        tag=snapshot.lock.tag,
        snapshot=snapshot.digest,
        files={name: snapshot.text(name) for name in snapshot.files},
        left_out=_layers_of_base(image, ref, services) if request.delta else frozenset(),
    )
    with services.progress.task(f"Exporting {ref}") as task:
        written = write_archive(request.output, contents, services.engine.save(image), task)
    return _exported(request, ref, image, contents, written)


def _image_ref(request: Export, services: Services) -> ImageRef:
    source = resolve_source(request.ref, repository=request.repository, services=services)
    if isinstance(source, SnapshotFolder | Archive):
        return ImageRef(repository=request.repository, tag=read_snapshot(source.path).lock.tag)
    return source.ref


def _layers_of_base(image: Image, ref: ImageRef, services: Services) -> frozenset[str]:
    """Return the layers that an image has of its base.

    Raises:
        BaseError: Its base is not known, or not here.
    """
    name, digest = image.labels.get(BASE_NAME_LABEL), image.labels.get(BASE_DIGEST_LABEL)
    base = find_base(name, digest, services) if name and digest else None
    if base is None or image.diff_ids[: len(base.diff_ids)] != base.diff_ids:
        raise BaseError(
            f"the base image of {ref} is not here: {name or 'none'}@{digest or 'of no digest'}",
            hint="Pull it first, or leave out --delta.",
        )
    return frozenset(base.diff_ids)


def _exported(
    request: Export, ref: ImageRef, image: Image, contents: Contents, written: Written
) -> Outcome[ArchiveResult]:
    path = request.output
    left_out = " without its base image" if contents.left_out else ""
    return Outcome(
        command="export",
        result=ArchiveResult(
            path=str(path),
            image=str(ref),
            digest=image.id,
            config=written.config_digest,
            snapshot=contents.snapshot,
            delta=bool(contents.left_out),
            size_bytes=written.size_bytes,
        ),
        lines=(f"{ref}{left_out} is in {path}, {size(written.size_bytes)}",),
    )
