"""What a capture writes down, and the folder it lives in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from snapenv.model.facts import Facts
from snapenv.model.fingerprint import Fingerprint
from snapenv.model.image import Tag
from snapenv.model.python import Proof

SNAPSHOT_SCHEMA = 1
SNAPSHOT_FILES = ("snapenv.toml", "pylock.toml", "Dockerfile")
SUMS_FILE = "SHA256SUMS"

World = Literal["base", "exact"]
"""Whose torch it is: the base image's own, or the very wheels of an index."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """The image that a Dockerfile starts from, and why this one."""

    image: str  # "nvcr.io/nvidia/pytorch:25.01-py3", with its digest once it is known
    world: World
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Installer:
    """The uv that installs in the image: its version, its wheel's URL and sha256 (hex)."""

    version: str
    url: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """Everything of ``snapenv.toml``."""

    schema: int
    captured_at: str  # UTC, ISO 8601, to the second
    snapenv: str  # the version that wrote it
    tag: str
    base: Base
    installer: Installer
    facts: Facts
    proofs: Mapping[str, Proof] = field(default_factory=dict)  # by distribution
    baseline: Fingerprint | None = None

    @property
    def parsed_tag(self) -> Tag:
        """The tag by its parts."""
        return Tag.parse(self.tag)


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """A lock with the files it was read from or will be written as, by name."""

    lock: Lock
    files: Mapping[str, bytes]
    digest: str  # "sha256:…", over SHA256SUMS without the line that says when
