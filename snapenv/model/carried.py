"""Files that travel: their bytes, or where these lie."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from msgspec import Struct, field

Content: TypeAlias = bytes | Path
"""What a file holds: its bytes, or a file of ours, read when and only when it is needed.

A Path stands for what may be large. Nobody changes it meanwhile, and nobody writes to it.
"""


class CarriedFile(Struct, frozen=True, kw_only=True):
    """What a file held, and whether it may be run; of a large one, where it lies meanwhile."""

    content: Content
    executable: bool

    @property
    def text(self) -> bytes:
        """Its bytes, of a file that is no larger than texts are; else nothing."""
        return self.content if isinstance(self.content, bytes) else b""


class CollectedPackage(Struct, frozen=True, kw_only=True):
    """A package of conda: its own file where conda has kept it, else what it was installed as.

    Files are by their paths from the ``prefix`` that it was installed into, byte for byte.
    """

    archive: Content | None = None
    prefix: str = ""
    paths: tuple[Mapping[str, Any], ...] = ()  # paths_data.paths of its record in conda-meta
    links: Mapping[str, str] = field(default_factory=dict)  # where each points
    files: Mapping[str, CarriedFile] = field(default_factory=dict)


class Collected(Struct, frozen=True, kw_only=True):
    """What was fetched.

    ``distributions`` holds by normalised name what a distribution is made of: ``site/PATH``
    (below site-packages), ``scripts/FILE`` and ``data/PATH`` (below the prefix). ``files`` holds
    what was asked by name: ``site/PATH`` and ``prefix/PATH``. The first line of a script starts
    with ``#!python`` where it named the environment's own interpreter.
    """

    distributions: Mapping[str, Mapping[str, CarriedFile]]
    files: Mapping[str, CarriedFile]
    packages: Mapping[str, CollectedPackage] = field(default_factory=dict)  # of conda
