"""What a build has made."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.outcome import Result


class BuildResult(Result, Struct, frozen=True, kw_only=True):
    """The image that was built, or was there already."""

    image: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    digest: str  # in its registry where it was pushed, else the image's id
    pushed: bool
    base: str | None
    snapshot: str  # the digest of the snapshot in it
    size_bytes: int
