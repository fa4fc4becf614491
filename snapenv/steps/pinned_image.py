"""An image with its digest, and what is known of the environment in it, from a REF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.errors import NotFoundError, UsageError
from snapenv.model.artifact import RemoteSnapshot
from snapenv.model.host import NEEDS_LABEL
from snapenv.model.image import ImageRef
from snapenv.model.needs_label import NeedsLabel, make_label, read_label
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.steps.snapshots import no_snapshot, read_source
from snapenv.steps.source import LocalImage, RegistryImage, resolve_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.ports import Services


class PinnedImage(Struct, frozen=True, kw_only=True):
    """An image that any machine can pull, and what its environment needs."""

    ref: ImageRef  # with its tag and its digest
    snapshot: str | None  # the digest of the snapshot in it
    label: NeedsLabel


def pinned_image(
    text: str, *, repository: str, image: ImageRef | None, services: Services
) -> PinnedImage:
    """Find the image of a REF; nothing is pulled.

    ``image`` names that of a snapshot alone, with tag and digest.

    Raises:
        NotFoundError: It is nowhere, or was never pushed, so that no other machine can pull it.
        RegistryError: The registry does not answer, and nothing here tells the digest.
        UsageError: ``image`` is missing, is of another REF, or is not pinned.
    """
    source = resolve_source(text, repository=repository, services=services)
    pinned: PinnedImage | None = None
    if isinstance(source, RegistryImage):
        pinned = _remote(source.ref, services)
    elif isinstance(source, LocalImage):
        pinned = _local(source, services)
    if pinned is None:  # a snapshot, in a folder, an archive or a registry
        snapshot = read_source(source, services)
        label = read_label({NEEDS_LABEL: make_label(snapshot.lock)}) or NeedsLabel()
        return PinnedImage(ref=_named(image, text), snapshot=snapshot.digest, label=label)
    if image is not None:
        raise UsageError(
            f"--image is for a snapshot, and {text} is an image itself", hint="Leave --image out."
        )
    return pinned


def _remote(ref: ImageRef, services: Services) -> PinnedImage | None:
    """Return an image as its registry has it; None where that has a snapshot alone."""
    with services.progress.task(f"Asking for {ref}"):
        remote = services.registry.describe(ref)
    if isinstance(remote, RemoteSnapshot):
        return None
    return _pinned(ref.at(ref.digest or str(remote.ref.digest)), remote.labels)


def _local(source: LocalImage, services: Services) -> PinnedImage:
    """Return a local image with the digest that a registry gave it."""
    ref, labels = source.ref, source.image.labels
    if ref.digest:
        return _pinned(ref, labels)
    digest = source.image.digest_in(ref.repository)
    # containerd's store gives an image that was built here a digest too.
    if digest and not services.engine.describe().containerd_store:
        return _pinned(ref.at(digest), labels)
    return _pinned(_served(source, services), labels)


def _pinned(ref: ImageRef, labels: Mapping[str, str]) -> PinnedImage:
    if ref.tag is None:
        raise UsageError(
            f"{ref} has no tag, and files name an image by tag and digest",
            hint="Name it with its tag: NAME:TAG or NAME:TAG@sha256:…",
        )
    if SNAPSHOT_LABEL not in labels:
        raise no_snapshot(ref)
    label = read_label(labels) or NeedsLabel()
    return PinnedImage(ref=ref, snapshot=labels[SNAPSHOT_LABEL], label=label)


def _served(source: LocalImage, services: Services) -> ImageRef:
    """Return a local image's name with the digest that its registry serves.

    Raises:
        NotFoundError: No registry has it.
    """
    ref = source.ref
    if ref.registry is None:
        raise _not_pushed(ref)
    try:
        with services.progress.task(f"Asking for {ref}"):
            remote = services.registry.read(ref)
    except NotFoundError as error:
        raise _not_pushed(ref) from error
    if remote.diff_ids != source.image.diff_ids:
        raise _not_pushed(ref)
    return ref.at(str(remote.ref.digest))


def _not_pushed(ref: ImageRef) -> NotFoundError:
    push = f"snapenv build SNAPSHOT --repository {ref.repository} --push"
    if ref.registry is None:
        push = "snapenv build SNAPSHOT --repository example.com/team/env --push"
    return NotFoundError(
        f"{ref} is on this machine alone: no registry has given it a digest, and no other machine "
        "can pull it",
        hint=f"Push it first: {push}",
    )


def _named(image: ImageRef | None, text: str) -> ImageRef:
    if image is None:
        raise UsageError(
            f"{text} is not an image that another machine can pull",
            hint="Name the image that was pushed: --image NAME:TAG@sha256:…",
        )
    if image.tag is None or image.digest is None:
        raise UsageError(
            f"--image {image} is not pinned", hint="Name its tag and digest: NAME:TAG@sha256:…"
        )
    return image
