"""What a restore or a verification has proved."""

from __future__ import annotations

from msgspec import Struct

from snapenv.model.fingerprint import Speed, Tier
from snapenv.model.outcome import Result


class ProofResult(Result, Struct, frozen=True, kw_only=True):
    """What stands again, and how near it comes to the capture; of restore and verify."""

    image: str | None = None  # of the Docker engine
    digest: str | None = None  # of the image
    path: str | None = None  # of the venv engine
    tag: str | None = None
    snapshot: str | None = None  # the digest of the snapshot
    tier: Tier | None = None  # None where nothing was trained
    losses: tuple[float | None, ...] | None = None  # one a step; None for one that is no number
    speed: Speed | None = None
