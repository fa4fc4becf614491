"""What two environments differ in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snapenv.model.difference import Difference, Section
from snapenv.model.outcome import Outcome, Result


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffSide:
    """One of the two that were compared."""

    kind: Literal["environment", "snapshot", "image", "archive"]
    place: str  # the interpreter's path, a folder, a file, or a reference
    digest: str | None  # of the snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class DiffResult(Result):
    """What two environments differ in, those with the gravest consequence first."""

    left: DiffSide
    right: DiffSide
    differences: tuple[Difference, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison(Outcome[DiffResult]):
    """The answer of a comparison, for people by group."""

    sections: tuple[Section, ...]
