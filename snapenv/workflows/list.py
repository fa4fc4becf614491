"""List what is here, and what is in the registry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import EngineMissingError, NotFoundError, UsageError
from snapenv.model.image import ImageRef, Tag, is_kept_tag
from snapenv.model.outcome import Outcome
from snapenv.model.results import ListedImage, ListResult
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.report.listing import list_lines
from snapenv.sizes import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.image import Image, RemoteImage
    from snapenv.ports import Services

_AT_ONCE = 8  # questions to a registry


class Listing(Struct, frozen=True, kw_only=True):
    """What a user may ask of a list."""

    repository: str
    remote: bool = False


def list_images(request: Listing, services: Services) -> Outcome[ListResult]:
    """List what snapenv made: here, and in the repository if asked."""
    here, warnings = _here(services, may_miss=request.remote)
    rows = {(row.repository, row.tag): row for row, _ in here}
    if request.remote:
        images = {(row.repository, row.tag): image for row, image in here}
        remote, missing = _there(request.repository, services)
        warnings += missing
        for ref, remote_image in remote.items():
            place = (ref.repository, str(ref.tag))
            rows[place] = _joined(rows.get(place), images.get(place), ref, remote_image)
        rows = {
            place: replace(row, remote=False)  # the registry did not name it
            if row.remote is None and row.repository == request.repository
            else row
            for place, row in rows.items()
        }
    result = ListResult(
        repository=request.repository,
        remote=request.remote,
        images=tuple(rows[place] for place in sorted(rows)),
    )
    return Outcome(
        command="list", result=result, lines=tuple(list_lines(result)), warnings=warnings
    )


def _here(
    services: Services, *, may_miss: bool
) -> tuple[tuple[tuple[ListedImage, Image], ...], tuple[str, ...]]:
    """Return what the engine holds; without an engine, nothing and a warning if it ``may_miss``."""
    try:
        named = services.engine.list_names(label=SNAPSHOT_LABEL)
    except EngineMissingError as error:
        if not may_miss:
            raise
        return (), (f"{error.message}: local images are not listed",)
    images = (
        (ImageRef.parse(name), created, services.engine.find(name)) for name, created in named
    )
    return tuple(
        (
            ListedImage(
                name=ref.tagged,
                repository=ref.repository,
                tag=str(ref.tag),
                size_bytes=image.size_bytes,
                created=created,
                local=True,
            ),
            image,
        )
        for ref, created, image in images
        if image and not is_kept_tag(str(ref.tag))
    ), ()


def _there(
    repository: str, services: Services
) -> tuple[Mapping[ImageRef, RemoteImage | None], tuple[str, ...]]:
    """Read every tag of the convention; None for one that is not for this kind of machine."""
    if "/" not in repository:
        raise UsageError(
            f"{repository} is a repository of this machine alone",
            hint="Name one of a registry: --repository example.com/team/env",
        )
    with services.progress.task(f"Asking {repository}") as task:
        refs = []
        for tag in services.registry.tags(repository):
            with suppress(ValueError):  # a tag of another convention is not ours
                refs.append(ImageRef(repository=repository, tag=str(Tag.parse(tag))))
        task.note(counted(len(refs), "tag"))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            read = tuple(pool.map(lambda ref: _read(ref, services), refs))
    images = dict(zip(refs, read, strict=True))
    missing = (ref.tag for ref, image in images.items() if image is None)
    return images, tuple(f"{tag} is not for this kind of machine, or is gone" for tag in missing)


def _read(ref: ImageRef, services: Services) -> RemoteImage | None:
    try:
        return services.registry.read(ref)
    except NotFoundError:
        return None


def _joined(
    row: ListedImage | None, image: Image | None, ref: ImageRef, remote: RemoteImage | None
) -> ListedImage:
    if row is None or image is None:
        return ListedImage(
            name=ref.tagged,
            repository=ref.repository,
            tag=str(ref.tag),
            size_bytes=remote.size_bytes if remote else None,
            created=remote.created if remote else None,
            remote=True,
        )
    same = remote is not None and (image.diff_ids, dict(image.labels)) == (
        remote.diff_ids,
        dict(remote.labels),
    )
    return replace(row, remote=True, same=same)
