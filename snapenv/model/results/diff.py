"""What two environments differ in."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from snapenv.model.difference import Difference, Section
from snapenv.model.outcome import Outcome, Result


class DiffSide(Struct, frozen=True, kw_only=True):
    """One of the two that were compared."""

    kind: Literal["environment", "snapshot", "image", "archive"]
    place: str  # the interpreter's path, a folder, a file, or a reference
    digest: str | None  # of the snapshot


class DiffResult(Result, Struct, frozen=True, kw_only=True):
    """What two environments differ in, those with the gravest consequence first."""

    left: DiffSide
    right: DiffSide
    differences: tuple[Difference, ...]


class Comparison(Outcome[DiffResult], Struct, frozen=True, kw_only=True):
    """The answer of a comparison, for people by group."""

    sections: tuple[Section, ...]
