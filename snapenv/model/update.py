"""What a user asks of an update, and what comes of it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Edits = Literal["keep", "drop"]
"""Whether files that were edited stay as they are over packages that move, or go with those."""


class Wanted(Struct, frozen=True, kw_only=True):
    """A package as a user names it; without a specifier, its newest version."""

    name: str  # normalised
    specifier: str = ""  # "==8.4.190"
    extras: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the requirement: ``name[extra]==1.0``."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"


class Changes(Struct, frozen=True, kw_only=True):
    """What is to be another in an environment."""

    upgrade: tuple[Wanted, ...] = ()
    add: tuple[Wanted, ...] = ()
    remove: tuple[str, ...] = ()  # normalised names
    python: str | None = None  # a version, such as 3.13

    @property
    def names(self) -> frozenset[str]:
        """The packages that are named."""
        return frozenset((*(each.name for each in (*self.upgrade, *self.add)), *self.remove))


class Move(Struct, frozen=True, kw_only=True):
    """One package that does not stay as it was; None where a side does not have it."""

    name: str  # normalised
    before: str | None  # version
    after: str | None  # version
    requested: bool  # by name; else it moves since another does

    def __str__(self) -> str:
        """Say it as people read it: ``numpy 1.26.4 → 2.4.1``."""
        if self.before is None:
            return f"{self.name} {self.after} added"
        if self.after is None:
            return f"{self.name} {self.before} removed"
        return f"{self.name} {self.before} → {self.after}"


class LossesSideBySide(Struct, frozen=True, kw_only=True):
    """The losses of two smoke-trains, one number a step; None for one that is no number."""

    before: tuple[float | None, ...]  # of the snapshot that was updated
    after: tuple[float | None, ...]  # of the new one
    first_differing_step: int | None  # None where all are the same bit for bit
    largest_relative_difference: float | None  # None where a loss is missing or is no number
    devices: tuple[str, str]  # that they trained on, before and after: "cpu", or the GPU's name
    same_machine: bool  # the same processor and device, as far as is known
