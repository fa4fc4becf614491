"""An image and its archive."""

from __future__ import annotations

from dataclasses import dataclass

from snapenv.model.outcome import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class ArchiveResult(Result):
    """An image and its archive; of export and import."""

    path: str
    image: str
    digest: str  # the image's id
    config: str  # the digest of the image's config in the archive
    snapshot: str  # the digest of the snapshot in it
    delta: bool  # the base image's layers are left out
    size_bytes: int  # of the file that was written, or of the image that was loaded
