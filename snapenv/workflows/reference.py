"""What a REF names, and how its snapshot is read out of an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError, SnapshotDamagedError
from snapenv.lock.store import parse_snapshot
from snapenv.model.image import ImageRef, Tag
from snapenv.model.snapshot import IMAGE_SNAPSHOT, SNAPSHOT_LABEL

if TYPE_CHECKING:
    from snapenv.model.image import Image
    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Outside


def parse_ref(text: str, *, repository: str) -> ImageRef | Path:
    """Tell what REF names: a folder or file that exists, a bare tag of ``repository``, an image.

    Raises:
        NotFoundError: It looks like a path and is none, or is no image reference.
    """
    path = Path(text).expanduser()
    if path.is_dir() or path.is_file():
        return path
    if text.startswith((".", "/", "~")):
        raise NotFoundError(
            f"there is no snapshot folder and no archive {text}",
            hint="Name a folder that snapenv capture wrote, an archive, a tag, or an image.",
        )
    try:
        return ImageRef(repository=repository, tag=str(Tag.parse(text)))
    except ValueError:
        pass
    try:
        return ImageRef.parse(text)
    except ValueError as error:
        raise NotFoundError(
            str(error),
            hint="Name a snapshot folder, an archive, a tag of the convention, or an image.",
        ) from error


def fetch_image(ref: ImageRef, outside: Outside) -> Image:
    """Give the image that is here already, else the registry's.

    Raises:
        NotFoundError: The registry has no such name.
        RegistryError: The registry does not answer, refuses, or the transfer broke.
    """
    here = outside.engine.find(str(ref))
    if here:
        return here
    with outside.progress.task(f"Pulling {ref}") as task:
        return outside.engine.pull(ref, task)


def read_image(image: Image, ref: ImageRef, outside: Outside) -> Snapshot:
    """Read and check the snapshot that an image holds.

    Raises:
        NotFoundError: It holds none.
        SnapshotDamagedError: It is damaged, or not the one that the image's label names.
        SnapshotVersionError: A newer snapenv wrote it.
    """
    try:
        contents = outside.engine.read_folder(image, IMAGE_SNAPSHOT)
    except NotFoundError as error:
        raise NotFoundError(
            f"{ref} holds no snapshot: it was not built by snapenv",
            hint="Name an image that snapenv build made.",
        ) from error
    snapshot = parse_snapshot(contents, where=f"{ref}:{IMAGE_SNAPSHOT}", in_image=True)
    if image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise SnapshotDamagedError(
            f"{ref} says it holds snapshot {image.labels.get(SNAPSHOT_LABEL)}, "
            f"and holds {snapshot.digest}",
            hint="Build it again from the snapshot folder.",
        )
    return snapshot
