"""Load the image of an archive that was checked, and name it by the convention."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv.archive.reader import docker_archive, read_layers
from snapenv.errors import BaseError, EngineError, TagTakenError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import BASE_DIGEST_LABEL, BASE_NAME_LABEL
from snapenv.ownership.claim import claim
from snapenv.steps.names import name_image
from snapenv.steps.snapshots import fetch_image, not_an_export

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.archive.layout import Archived, Part
    from snapenv.model.image import Image
    from snapenv.ports import Services, Task


class Loading(Struct, frozen=True, kw_only=True):
    """An archive's file, and how its image is named and completed."""

    file: Path
    repository: str
    mirror: str | None = None
    replace: bool = False


def load_archive(
    request: Loading, archived: Archived, services: Services
) -> tuple[Image, ImageRef]:
    """Make the image of an archive that was checked a local one, with its name.

    Raises:
        ArchiveError: It is damaged, or is none; or what the engine has made of it is not it.
        TagTakenError: Another image has the name, and ``replace`` is not asked for.
        BaseError: It lacks the layers of a base image that cannot be had.
        PlaceBusyError: Another command makes an image of this name.
    """
    engine = services.engine.check()
    ref = ImageRef(repository=request.repository, tag=archived.tag)
    with claim(services.kept("locks"), ref.tagged, key=f"{engine} {ref.tagged}"):
        return _load_archive(request, archived, ref, services)


def _load_archive(
    request: Loading, archived: Archived, ref: ImageRef, services: Services
) -> tuple[Image, ImageRef]:
    there = None if request.replace else services.engine.find(ref.tagged)
    if there and not _is_same(there, archived):
        raise _taken(ref, there, archived.config_digest)
    image = _load(archived, request, services)
    if there and image.id == archived.config_digest != there.id:
        raise _taken(ref, there, image.id)
    name_image(image, ref, services)
    return image, ref


def find_base(name: str, digest: str, services: Services) -> Image | None:
    """Return the local image of a base's name and digest."""
    try:
        ref = ImageRef.parse(name).at(digest)
    except ValueError:
        return None
    return services.engine.find(str(ref)) or services.engine.find(ref.tagged)


def _load(archived: Archived, request: Loading, services: Services) -> Image:
    """Load the image, and see that it is the archive's.

    Raises:
        ArchiveError: It is another one; it is gone again.
    """
    engine = services.engine
    here = engine.find(archived.config_digest)
    if here and _is_same(here, archived):
        return here
    base = _base(archived, request, services) if archived.absent else None
    with services.progress.task(f"Loading {archived.tag}") as task:
        image = _hand_over(archived, request.file, base, services, task)
    if not _is_same(image, archived):
        engine.remove(image.id)
        raise not_an_export(request.file, f"the engine made {image.id} of it")
    return image


def _hand_over(
    archived: Archived, file: Path, base: Image | None, services: Services, task: Task
) -> Image:
    """Load without the base's layers where the engine can do so, else with them."""
    engine = services.engine
    if base:
        try:
            return engine.load(docker_archive(archived, read_layers(file, archived), task))
        except EngineError:
            task.note("taking the base image's layers from the engine")
    return engine.load(docker_archive(archived, _all_layers(archived, file, base, services), task))


def _all_layers(
    archived: Archived, file: Path, base: Image | None, services: Services
) -> Iterator[Part]:
    if base:
        saved = services.engine.save(base)
        yield from (part for part in saved if part[0] in archived.base_layers)
    yield from read_layers(file, archived)


def _base(archived: Archived, request: Loading, services: Services) -> Image:
    """Return the image whose layers an archive leaves out, pulled if it is not here.

    Raises:
        BaseError: It cannot be had, or has other layers.
    """
    name, digest = archived.labels[BASE_NAME_LABEL], archived.labels[BASE_DIGEST_LABEL]
    try:
        ref = ImageRef.parse(name).at(digest)
    except ValueError as error:
        raise not_an_export(request.file, str(error)) from error
    ref = ref.mirrored(request.mirror) if request.mirror else ref
    expected = archived.diff_ids[: archived.absent]
    base = find_base(ref.tagged, digest, services)
    if base is None or base.diff_ids[: len(expected)] != expected:  # a tag may have been moved
        base = fetch_image(ref, services)
    if base.diff_ids[: len(expected)] != expected:
        raise BaseError(
            f"{request.file} lacks the layers of {ref}, which has others",
            hint="Export without --delta.",
        )
    return base


def _is_same(image: Image, archived: Archived) -> bool:
    """Compare identities; where an engine's ids are of its own, all that is known of an image."""
    known = (image.diff_ids, dict(image.labels), dict(image.variables), image.machine)
    archived_as = (
        archived.diff_ids,
        dict(archived.labels),
        dict(archived.variables),
        archived.machine,
    )
    return known == archived_as


def _taken(ref: ImageRef, there: Image, here: str) -> TagTakenError:
    return TagTakenError(
        f"{ref.tagged} is {there.id} already, and this is {here}",
        hint="Give another --repository, or move the tag: --replace.",
    )
