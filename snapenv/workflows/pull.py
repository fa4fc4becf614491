"""What a name of a registry holds: a snapshot, as a folder, or an image, in the engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.content import size_bytes
from snapenv.errors import UsageError
from snapenv.model.outcome import Outcome
from snapenv.model.results import PullResult
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.sizes import size
from snapenv.steps.build_image import tag_taken
from snapenv.steps.names import keep_named
from snapenv.steps.snapshots import no_snapshot, save_folder
from snapenv.steps.source import (
    LocalImage,
    RegistryImage,
    SnapshotFolder,
    resolve_source,
)
from snapenv.steps.unpack import unpacked

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef
    from snapenv.ports import Services


class Pull(Struct, frozen=True, kw_only=True):
    """What a user may ask of a pull."""

    ref: str  # of a registry
    repository: str
    output: Path | None = None  # where a snapshot is written
    replace: bool = False


def pull(request: Pull, services: Services) -> Outcome[PullResult]:
    """Fetch what a name of a registry holds; a snapshot needs no engine.

    Raises:
        NotFoundError: The registry has no such name, or it is none of snapenv's.
        PlaceTakenError: The folder of the snapshot is there already.
        RegistryError: The registry does not answer, refuses, or the transfer broke.
        TagTakenError: The name is another image's here, and ``replace`` is not asked for.
        UsageError: REF names something of this machine.
    """
    source = resolve_source(request.ref, repository=request.repository, services=services)
    if isinstance(source, LocalImage):
        source = RegistryImage(source.ref)
    if not isinstance(source, RegistryImage) or "/" not in source.ref.repository:
        raise UsageError(
            f"{source} is on this machine",
            hint="Name what lies in a registry, such as example.com/team/env:TAG",
        )
    with unpacked(source, services) as opened:
        if isinstance(opened, SnapshotFolder):
            return _write(request, source.ref, opened, services)
    return _pull_image(request, source, services)


def _write(
    request: Pull, ref: ImageRef, source: SnapshotFolder, services: Services
) -> Outcome[PullResult]:
    snapshot, folder = save_folder(source, request.output, services)
    bytes_ = sum(map(size_bytes, snapshot.files.values()))
    return Outcome(
        command="pull",
        result=PullResult(
            kind="snapshot",
            ref=str(ref),
            snapshot=snapshot.digest,
            folder=str(folder),
            size_bytes=bytes_,
        ),
        lines=(f"{ref} is now in {folder}, {size(bytes_)}", f"snapshot {snapshot.digest}"),
    )


def _pull_image(request: Pull, source: RegistryImage, services: Services) -> Outcome[PullResult]:
    if source.engine_error:
        raise source.engine_error
    ref = source.ref
    if request.output:
        raise UsageError(f"{ref} is an image, which the engine stores", hint="Leave out --output.")
    before = services.engine.find(ref.tagged)
    with services.progress.task(f"Pulling {ref}") as task:
        pinned = services.engine.resolve(ref, task)
        same = before and f"{ref.repository}@{pinned.digest}" in before.digests
        if before and not same:
            if not request.replace:
                raise tag_taken(ref, before.id, str(pinned.digest))
            keep_named(before, ref, services)
        image = before if before and same else services.engine.pull(ref, task)
    if SNAPSHOT_LABEL not in image.labels:
        raise no_snapshot(ref)
    return Outcome(
        command="pull",
        result=PullResult(
            kind="image",
            ref=str(ref),
            digest=pinned.digest,
            snapshot=image.labels[SNAPSHOT_LABEL],
            size_bytes=image.size_bytes,
            present=bool(same),
        ),
        lines=(
            f"{ref} was here already" if same else f"{ref} is here, {size(image.size_bytes)}",
            f"digest {pinned.digest}",
        ),
    )
