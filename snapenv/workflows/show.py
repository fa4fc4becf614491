"""Say what is known of one environment, without running anything of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.lock.make_lock import base_source
from snapenv.model.artifact import RemoteSnapshot
from snapenv.model.image import ImageRef
from snapenv.model.outcome import Outcome
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.report.card import (
    card_lines,
    image_card,
    pinned_base,
    registry_card,
    snapshot_card,
)
from snapenv.steps.attesting import find_registry_name, list_attached
from snapenv.steps.snapshots import no_snapshot, read_image, read_source
from snapenv.steps.source import Archive, LocalImage, RegistryImage, resolve_source

if TYPE_CHECKING:
    from snapenv.model.results import ShowResult
    from snapenv.model.snapshot import Lock
    from snapenv.model.snapshot import Source as PackageSource
    from snapenv.ports import Services


def show(
    text: str, services: Services, *, repository: str, packages: bool = False
) -> Outcome[ShowResult]:
    """Say what is known of a snapshot folder, an archive, or an image here, else in a registry.

    Nothing is pulled, and nothing of the image is run. With ``packages``, each is a line too.

    Raises:
        NotFoundError: It is nowhere.
        RegistryError: The registry does not answer, or refuses.
    """
    source = resolve_source(text, repository=repository, services=services)
    pinned = None
    match source:
        case LocalImage(ref, image):
            snapshot = read_image(image, ref, services)
            sources = _sources(snapshot.lock, pinned_base(image.labels))
            card = image_card(snapshot, ref, image, sources=sources)
            pinned = find_registry_name(ref, image)
        case RegistryImage(ref):
            with services.progress.task(f"Asking for {ref}"):
                remote = services.registry.describe(ref)
            if isinstance(remote, RemoteSnapshot):
                snapshot = read_source(RegistryImage(remote.ref), services)
                card = snapshot_card(snapshot, kind="snapshot", name=str(ref))
            elif SNAPSHOT_LABEL not in remote.labels:
                raise no_snapshot(remote.ref)
            else:
                card, pinned = registry_card(remote), remote.ref
        case _:
            kind = "archive" if isinstance(source, Archive) else "snapshot"
            card = snapshot_card(read_source(source, services), kind=kind, name=str(source))
    if pinned:
        card = replace(card, attached=list_attached(pinned, services))
    lines = tuple(card_lines(card, packages=packages))
    return Outcome(command="show", result=card, lines=lines)


def _sources(lock: Lock, base: str | None) -> tuple[PackageSource, ...]:
    """Return the sources, the base that an image really has in the place of the lock's own."""
    if base is None or not lock.sources:
        return lock.sources
    try:
        return (*lock.sources[:-1], base_source(ImageRef.parse(base)))
    except ValueError:  # a label may hold anything
        return lock.sources
