"""The images that snapenv made, and what one of them is."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from snapenv.model.outcome import Result


class ListedImage(Struct, frozen=True, kw_only=True):
    """One name of an image that is local, in its registry, or both."""

    name: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    repository: str
    tag: str
    size_bytes: int | None = None  # on disk if it is local, else of a pull
    created: str | None = None  # RFC 3339
    local: bool = False
    remote: bool | None = None  # None where the registry was not asked
    same: bool | None = None  # whether both are one image; None where it is not in both

    @property
    def where(self) -> str:
        """Say it in one word."""
        if self.local and self.remote:
            return "both" if self.same else "differ"
        return "local" if self.local else "remote"


class ListResult(Result, Struct, frozen=True, kw_only=True):
    """The images that snapenv made, by name."""

    repository: str
    remote: bool  # the registry was asked too
    images: tuple[ListedImage, ...]


class Baseline(Struct, frozen=True, kw_only=True):
    """The smoke-train of the capture; a loss is None where it is no number."""

    device: str
    steps: int
    first: float | None
    last: float | None


class ListedPackage(Struct, frozen=True, kw_only=True):
    """A package of an environment, where it comes from, and how that is proved."""

    name: str
    version: str
    origin: str  # "index"
    source: str  # its URL, or the origin in words
    proof: str | None


class ShowResult(Result, Struct, frozen=True, kw_only=True):
    """What is known of one environment; None is unknown."""

    kind: str  # "snapshot", "archive", "image" (of this machine) or "registry"
    name: str
    tag: str | None = None
    digest: str | None = None  # of the image; of a snapshot, its own
    snapshot: str | None = None  # the digest of the snapshot in it
    size_bytes: int | None = None
    created: str | None = None
    base: str | None = None
    python: str | None = None
    torch: str | None = None
    cuda: str | None = None
    ultralytics: str | None = None
    packages: int | None = None
    driver: str | None = None  # that it was captured with
    gpus: tuple[str, ...] | None = None  # that it was captured on, by name
    baseline: Baseline | None = None
    sources: tuple[str, ...] | None = None
    snapenv: str | None = None  # the version that wrote it
    more: str | None = None  # how to know more
    labels: Mapping[str, str] = field(default_factory=dict)
    distributions: tuple[ListedPackage, ...] | None = None
