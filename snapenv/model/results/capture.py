"""What a capture has locked."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from snapenv.model.outcome import Result


class CaptureResult(Result, Struct, frozen=True, kw_only=True):
    """What was locked, and what is special about it."""

    path: str  # the snapshot's folder
    tag: str
    digest: str  # of the snapshot
    python: str  # the interpreter of the environment, and where it is
    packages: int
    origins: Mapping[str, int]  # packages by where they came from: {"index": 59}
    edited_files: int
    missing_files: int
    carried_packages: int
    carried_files: int  # that belong to no package
    not_importable: tuple[str, ...]  # modules whose files are gone
