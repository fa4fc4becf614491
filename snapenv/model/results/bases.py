"""Base images, best first."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from snapenv.model.outcome import Result


class RankedBase(Struct, frozen=True, kw_only=True):
    """One base image, by what it says of itself where that is known, else by the catalogue."""

    rank: int
    image: str
    digest: str | None
    python: str | None
    cuda: str | None
    torch: str | None
    cudnn: str | None
    nccl: str | None
    size_bytes: int | None  # of a pull
    local: bool
    inspected: bool  # a container of it ran for a moment
    reason: str
    warnings: tuple[str, ...]


class BasesResult(Result, Struct, frozen=True, kw_only=True):
    """Base images for an environment, best first."""

    snapshot: str | None  # that they are ranked for; None is the active environment
    site_packages: Literal["inherited", "isolated"]
    reason: str
    machine: str  # "amd64"
    catalogue: str  # its date
    bases: tuple[RankedBase, ...]
