"""What two looks differ in, by what follows from it."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Group = Literal["abi", "numerics", "behaviour", "cosmetic"]


class Difference(Struct, frozen=True, kw_only=True):
    """One thing that is not the same on both sides; None where a side does not have it."""

    group: Group
    subject: str  # "numpy", "click/core.py", "glibc"
    left: str | None
    right: str | None


class Section(Struct, frozen=True, kw_only=True):
    """The differences of one group, with what follows from them; ``ok`` where they are none."""

    title: str
    ok: bool
    reason: str
    differences: tuple[Difference, ...] = ()
