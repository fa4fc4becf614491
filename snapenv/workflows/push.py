"""A snapshot alone, or an image, in a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import UsageError
from snapenv.lock.fetch import temporary_folder
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.results import PushResult
from snapenv.model.snapshot import SNAPSHOT_LABEL, TAG_LABEL, Vendor
from snapenv.secrets.refuse import refuse_leaking_texts
from snapenv.sizes import size
from snapenv.steps.names import name_image
from snapenv.steps.publish import push_image, push_snapshot
from snapenv.steps.snapshots import no_snapshot, read_folder
from snapenv.steps.source import (
    LocalImage,
    RegistryImage,
    SnapshotFolder,
    no_local_image,
    resolve_source,
)
from snapenv.steps.unpack import unpacked
from snapenv.steps.vendoring import vendor_all

if TYPE_CHECKING:
    from snapenv.ports import Services
    from snapenv.steps.publish import Published

_LOCAL = "snapenv"  # the repository of a bare tag


class Push(Struct, frozen=True, kw_only=True):
    """What a user may ask of a push."""

    ref: str  # a snapshot folder, an archive of one, or an image of this machine
    repository: str  # of a registry
    replace: bool = False
    vendor: Vendor = "missing"


def push(request: Push, services: Services) -> Outcome[PushResult]:
    """Send a snapshot as an artifact, or an image, and name it by its own tag.

    Raises:
        NotFoundError: REF is nowhere on this machine, or holds no snapshot.
        RegistryError: The registry does not answer, refuses, or takes no artifacts.
        TagTakenError: The tag names something else there, and ``replace`` is not asked for.
        UsageError: REF is an archive of an image, or an option is for the other of the two.
    """
    named = resolve_source(request.ref, repository=_LOCAL, services=services)
    with unpacked(named, services) as source:
        match source:
            case SnapshotFolder():
                came_from = named.ref if isinstance(named, RegistryImage) else None
                return _push_snapshot(request, source, came_from, services)
            case LocalImage():
                return _push_image(request, source, services)
            case RegistryImage(ref):
                raise source.engine_error or no_local_image(
                    ref, otherwise=f"Pull it first: snapenv pull {ref}"
                )
            case _:
                raise UsageError(
                    f"{source} is the archive of an image",
                    hint=f"Load it first: snapenv import {source}",
                )


def _push_snapshot(
    request: Push, source: SnapshotFolder, came_from: ImageRef | None, services: Services
) -> Outcome[PushResult]:
    snapshot = read_folder(source)
    with temporary_folder(services) as scratch:
        if request.vendor == "all":
            snapshot = vendor_all(snapshot, scratch, services)
        refuse_leaking_texts(snapshot, services.secrets(), services.made())
        ref = ImageRef(repository=request.repository, tag=snapshot.lock.tag)
        pushed = push_snapshot(
            ref, snapshot, replace=request.replace, came_from=came_from, services=services
        )
    return _outcome("snapshot", ref, snapshot.digest, pushed)


def _push_image(request: Push, source: LocalImage, services: Services) -> Outcome[PushResult]:
    labels = source.image.labels
    if SNAPSHOT_LABEL not in labels:
        raise no_snapshot(source.ref)
    if request.vendor == "all":
        raise UsageError(
            f"{source} is an image, which holds all its packages", hint="Leave out --vendor."
        )
    ref = ImageRef(repository=request.repository, tag=labels.get(TAG_LABEL) or source.ref.tag)
    if source.ref.tagged != ref.tagged:
        name_image(source.image, ref, services)
    image = services.engine.find(ref.tagged) or source.image
    pushed = push_image(ref, image, replace=request.replace, services=services)
    return _outcome("image", ref, labels[SNAPSHOT_LABEL], pushed)


def _outcome(kind: str, ref: ImageRef, snapshot: str, pushed: Published) -> Outcome[PushResult]:
    done = "was there already as" if pushed.present else "is now"
    kept = f"what it replaced stays as {ref.repository}@{pushed.replaced}"
    return Outcome(
        command="push",
        result=PushResult(
            kind="image" if kind == "image" else "snapshot",
            ref=ref.tagged,
            digest=pushed.digest,
            snapshot=snapshot,
            size_bytes=pushed.size_bytes,
            present=pushed.present,
            replaced=pushed.replaced,
        ),
        lines=(
            f"the {kind}, {size(pushed.size_bytes)}, {done} {ref.tagged}",
            f"digest {pushed.digest}",
            *((kept,) if pushed.replaced else ()),
        ),
    )
