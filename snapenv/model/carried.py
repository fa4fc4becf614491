"""A file that travels: its bytes, as they were where it was captured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class CarriedFile:
    """What a file held, and whether it may be run."""

    content: bytes
    executable: bool
