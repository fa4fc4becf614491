"""An image with its snapshot, or a snapshot alone, as one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.archive.snapshot import pack_snapshot, write_snapshot_archive
from snapenv.archive.writer import Export as Contents
from snapenv.archive.writer import Written, write_archive
from snapenv.errors import BaseError, UsageError
from snapenv.lock.fetch import temporary_folder
from snapenv.model.outcome import Outcome
from snapenv.model.results import ArchiveResult
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL, Vendor
from snapenv.ownership.claim import claim_path
from snapenv.ownership.staging import refuse_unwritable
from snapenv.secrets.refuse import refuse_leaking_texts
from snapenv.sizes import size
from snapenv.steps.load_archive import find_base
from snapenv.steps.snapshots import fetch_image, read_folder, read_image
from snapenv.steps.source import Archive, SnapshotFolder, resolve_source
from snapenv.steps.unpack import unpacked
from snapenv.steps.vendoring import vendor_all

if TYPE_CHECKING:
    from snapenv.model.image import Image, ImageRef
    from snapenv.ports import Services
    from snapenv.steps.source import LocalImage, RegistryImage


class Export(Struct, frozen=True, kw_only=True):
    """What a user may ask of an export."""

    ref: str  # a tag of the convention, an image reference, or a snapshot
    output: Path
    repository: str
    delta: bool = False
    vendor: Vendor = "missing"  # "all": every wheel travels, of a snapshot alone


def export(request: Export, services: Services) -> Outcome[ArchiveResult]:
    """Write an image with its snapshot, or a snapshot alone, to one file.

    Raises:
        PlaceBusyError: Another command writes it.
        PlaceTakenError: Something stands there already.
        UsageError: An option is for the other of the two, or REF is an image's archive.
        WriteError: The place cannot be written.
    """
    refuse_unwritable(request.output)
    with claim_path(services.kept("locks"), request.output):
        named = resolve_source(request.ref, repository=request.repository, services=services)
        with unpacked(named, services) as source:
            if isinstance(source, SnapshotFolder):
                return _export_snapshot(request, source, services)
            if isinstance(source, Archive):
                raise UsageError(f"{source} is an archive already", hint="Copy the file.")
            return _export_image(request, source, services)


def _export_snapshot(
    request: Export, source: SnapshotFolder, services: Services
) -> Outcome[ArchiveResult]:
    if request.delta:
        raise UsageError(
            f"{source} is a snapshot, which has no layers to leave out",
            hint="Leave out --delta, or name the image by its tag.",
        )
    snapshot = read_folder(source)
    with temporary_folder(services) as scratch:
        if request.vendor == "all":
            snapshot = vendor_all(snapshot, scratch, services)
        refuse_leaking_texts(snapshot, services.secrets(), services.made())
        with services.progress.task(f"Exporting {source}") as task:
            size_bytes = write_snapshot_archive(
                request.output,
                pack_snapshot(snapshot, scratch),
                tag=snapshot.lock.tag,
                task=task,
            )
    return Outcome(
        command="export",
        result=ArchiveResult(
            path=str(request.output),
            snapshot=snapshot.digest,
            size_bytes=size_bytes,
            folder=str(source),
        ),
        lines=(
            f"{source} is in {request.output}, {size(size_bytes)}",
            f"snapshot {snapshot.digest}",
        ),
    )


def _export_image(
    request: Export, source: LocalImage | RegistryImage, services: Services
) -> Outcome[ArchiveResult]:
    if request.vendor == "all":
        raise UsageError(
            f"{source} is an image, which holds all its packages",
            hint="Leave out --vendor, or name the snapshot folder.",
        )
    ref = source.ref
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
