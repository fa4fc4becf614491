"""Base images, best first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snapenv.model.outcome import Result


@dataclass(frozen=True, kw_only=True, slots=True)
class RankedBase:
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
    here: bool
    looked_into: bool  # a container of it ran for a moment
    reason: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class BasesResult(Result):
    """Base images for an environment, best first."""

    snapshot: str | None  # that they are ranked for; None is the active environment
    world: Literal["base", "exact"]
    reason: str
    machine: str  # "amd64"
    catalogue: str  # its date
    bases: tuple[RankedBase, ...]
