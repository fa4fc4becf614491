"""Find what was restored on this machine already: the image of a snapshot, or a venv."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError
from snapenv.model.image import ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.places import is_file
from snapenv.steps.snapshots import read_source
from snapenv.steps.source import LocalImage, RegistryImage, no_local_image

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.snapshot import Snapshot
    from snapenv.ports import Services
    from snapenv.steps.source import Source

_RESTORE = "Run snapenv list to see local images, or snapenv restore to get it."


def read_local(source: Source, services: Services) -> Snapshot:
    """Read the snapshot of what is on this machine.

    Raises:
        NotFoundError: It is an image of a registry that was not restored.
    """
    if isinstance(source, RegistryImage):
        raise source.engine_error or no_local_image(source.ref, otherwise=_RESTORE)
    return read_source(source, services)


def find_local_image(
    source: Source, snapshot: Snapshot, repository: str, services: Services
) -> LocalImage:
    """Find the image of a snapshot.

    Raises:
        NotFoundError: It is not here, or its name is another snapshot's.
    """
    if isinstance(source, LocalImage):
        return source
    named = ImageRef(repository=repository, tag=snapshot.lock.tag)
    image = services.engine.find(str(named))
    if image is None:
        raise no_local_image(named, otherwise=_RESTORE)
    if image.labels.get(SNAPSHOT_LABEL) != snapshot.digest:
        raise NotFoundError(
            f"{named} is here, and was built of another snapshot than {source}",
            hint=f"Restore it under another name: snapenv restore {source} --repository NAME",
        )
    return LocalImage(named, image)


def venv_python(into: Path) -> Path:
    """Return the interpreter of a venv, as an absolute path.

    Raises:
        NotFoundError: There is none.
    """
    python = into / "bin" / "python"
    if not is_file(python):
        raise NotFoundError(
            f"there is no environment {into}",
            hint="Name one with --into, or make it: snapenv restore --engine venv.",
        )
    return python.absolute()
