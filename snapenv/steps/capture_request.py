"""What a user may ask of a capture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:  # the probe is on its way before the model is imported
    from snapenv.model.exports import ExportFormat  # noqa: TC004
    from snapenv.model.snapshot import BaseFamily, Prove, Vendor  # noqa: TC004


class Capture(Struct, frozen=True, kw_only=True):
    """What a user may ask of a capture; None leaves the choice to snapenv."""

    python: str | None = None
    container: str | None = None
    ssh: str | None = None
    output: Path | None = None
    purpose: str = "train"
    level: str = "base"
    base: str | None = None
    base_family: BaseFamily | None = None
    smoke: bool | None = None
    device: str = "auto"
    exports: tuple[ExportFormat, ...] = ()  # with the smoke-train, for the baseline
    rehash: bool = False  # trust neither a hash nor an answer that an earlier capture kept
    prove: Prove = "record"
    vendor: Vendor = "missing"
    allow: tuple[str, ...] = ()  # files that may travel although they look as if with a secret
    carry: tuple[str, ...] = ()  # paths beside the sources of packages that travel, too
