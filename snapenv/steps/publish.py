"""Send an image or a snapshot to a registry: a tag is never moved silently, and hides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.archive.snapshot import pack_snapshot
from snapenv.content import size_bytes as size_bytes_of
from snapenv.errors import NotFoundError, UsageError
from snapenv.lock.fetch import temporary_folder
from snapenv.model.image import kept_tag
from snapenv.model.oci import sha256_digest
from snapenv.steps.build_image import tag_taken
from snapenv.steps.unpack import writing

if TYPE_CHECKING:
    from snapenv.model.image import Image, ImageRef
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services


class Published(Struct, frozen=True, kw_only=True):
    """What a tag of a registry names now, and what it named before."""

    digest: str
    replaced: str | None = None  # the digest that the tag named; ``kept_tag`` names it now
    present: bool = False  # it was there already: nothing was sent
    size_bytes: int


def push_image(ref: ImageRef, image: Image, *, replace: bool, services: Services) -> Published:
    """Send a local image, unless its name is another's in the registry.

    Raises:
        RegistryError: The registry does not answer, refuses, or the transfer broke.
        TagTakenError: It is, and ``replace`` is not asked for.
    """
    engine = services.engine
    with services.progress.task(f"Pushing {ref.tagged}") as task:
        try:
            current = engine.resolve(ref, task).digest
        except NotFoundError:
            current = None
        is_same = f"{ref.repository}@{current}" in image.digests
        replaced = (
            None
            if is_same
            else _keep_named(ref, current, image.id, replace=replace, services=services)
        )
        return Published(
            digest=str(engine.push(ref, task).digest),
            replaced=replaced,
            present=is_same,
            size_bytes=image.size_bytes,
        )


def push_snapshot(
    ref: ImageRef,
    snapshot: Snapshot,
    *,
    replace: bool,
    services: Services,
    came_from: ImageRef | None = None,
) -> Published:
    """Send a snapshot as an artifact, unless its tag names something else in the registry.

    ``came_from`` is where it lies already, perhaps in the same registry.

    Raises:
        RegistryError: The registry does not answer, refuses, takes no artifacts, or it broke.
        TagTakenError: The tag does, and ``replace`` is not asked for.
        UsageError: There is no registry in the name.
    """
    if "/" not in ref.repository:
        raise UsageError(
            f"{ref.repository} is a repository of this machine alone",
            hint="Name one of a registry, such as example.com/team/env",
        )
    with (
        temporary_folder(services) as scratch,
        services.progress.task(f"Pushing {ref.tagged}") as task,
    ):
        with writing(scratch):
            artifact = pack_snapshot(snapshot, scratch)
        digest = sha256_digest(artifact.manifest)
        current = services.registry.find_digest(ref)
        size_bytes = sum(map(size_bytes_of, artifact.blobs.values()))
        if current == digest:
            return Published(digest=digest, present=True, size_bytes=size_bytes)
        replaced = _keep_named(
            ref, current, f"snapshot {snapshot.digest}", replace=replace, services=services
        )
        services.registry.push(ref, artifact, task, mount=came_from)
        return Published(digest=digest, replaced=replaced, size_bytes=size_bytes)


def _keep_named(
    ref: ImageRef, current: str | None, new: str, *, replace: bool, services: Services
) -> str | None:
    """Keep what a tag names under another one; return its digest, None where it names nothing."""
    if current is None:
        return None
    if not replace:
        raise tag_taken(ref, current, new)
    services.registry.retag(ref.at(current), kept_tag(current))
    return current
