"""An archive's image, loaded and named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Outcome
from snapenv.model.results import ArchiveResult
from snapenv.steps.load_archive import Loading, load_archive
from snapenv.steps.snapshots import read_archive

if TYPE_CHECKING:
    from snapenv.ports import Services


class Import(Loading, frozen=True, kw_only=True):
    """What a user may ask of an import."""


def import_image(request: Import, services: Services) -> Outcome[ArchiveResult]:
    """Check an archive whole, load its image, and name it by the convention."""
    archived, _ = read_archive(request.file, services)
    image, ref = load_archive(request, archived, services)
    return Outcome(
        command="import",
        result=ArchiveResult(
            path=str(request.file),
            image=ref.tagged,
            digest=image.id,
            config=archived.config_digest,
            snapshot=archived.snapshot,
            delta=bool(archived.absent),
            size_bytes=image.size_bytes,
        ),
        lines=(f"{request.file} is here as {ref.tagged}", f"image {image.id}"),
    )
