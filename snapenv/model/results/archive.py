"""An image and its archive."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.outcome import Result


class ArchiveResult(Result, Struct, frozen=True, kw_only=True):
    """An image and its archive; of export and import."""

    path: str
    image: str
    digest: str  # the image's id
    config: str  # the digest of the image's config in the archive
    snapshot: str  # the digest of the snapshot in it
    delta: bool  # the base image's layers are left out
    size_bytes: int  # of the file that was written, or of the image that was loaded
