"""A bill of materials that an installed wheel carries.

Source: https://peps.python.org/pep-0770/
"""

from __future__ import annotations

from msgspec import Struct


class WheelSbom(Struct, frozen=True, kw_only=True):
    """A file below ``*.dist-info/sboms`` of a distribution; whoever built the wheel wrote it."""

    distribution: str  # the name, normalized
    file: str  # the path from site-packages, percent-encoded
    sha256: str  # hex
    size_bytes: int
    content: bytes | None = None  # None: it is too large to be read
