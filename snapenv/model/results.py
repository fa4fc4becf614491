"""What each command answers to programs: the fields are the keys of ``result`` with ``--json``.

Text and page are made of the same values, and the JSON Schemas are generated from them. None is
unknown, or does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from snapenv.model.fingerprint import Fingerprint, Speed, Tier
from snapenv.model.host import Host, Needs
from snapenv.model.outcome import Check, Difference, Outcome, Result, Section, Verdict


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


class BuildResult(Result, Struct, frozen=True, kw_only=True):
    """The image that was built, or was there already."""

    image: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    digest: str  # in its registry where it was pushed, else the image's id
    pushed: bool
    base: str | None
    snapshot: str  # the digest of the snapshot in it
    size_bytes: int


class ProofResult(Result, Struct, frozen=True, kw_only=True):
    """What stands again, and how near it comes to the capture; of restore and verify."""

    image: str | None = None  # of the Docker engine
    digest: str | None = None  # of the image
    path: str | None = None  # of the venv engine
    tag: str | None = None
    snapshot: str | None = None  # the digest of the snapshot
    tier: Tier | None = None  # None where nothing was trained
    losses: tuple[float | None, ...] | None = None  # one a step; None for one that is no number
    speed: Speed | None = None


class ArchiveResult(Result, Struct, frozen=True, kw_only=True):
    """An image and its archive; of export and import."""

    path: str
    image: str
    digest: str  # the image's id
    config: str  # the digest of the image's config in the archive
    snapshot: str  # the digest of the snapshot in it
    delta: bool  # the base image's layers are left out
    size_bytes: int  # of the file that was written, or of the image that was loaded


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


class RankedBase(Struct, frozen=True, kw_only=True):
    """One base image, by what it says of itself where that is known, else by the catalogue."""

    rank: int
    image: str
    digest: str | None
    python: str | None
    cuda: str | None
    torch: str | None
    cudnn: str | None
    nccl: str | None
    size_bytes: int | None  # of a pull
    local: bool
    inspected: bool  # a container of it ran for a moment
    reason: str
    warnings: tuple[str, ...]


class BasesResult(Result, Struct, frozen=True, kw_only=True):
    """Base images for an environment, best first."""

    snapshot: str | None  # that they are ranked for; None is the active environment
    site_packages: Literal["inherited", "isolated"]
    reason: str
    machine: str  # "amd64"
    catalogue: str  # its date
    bases: tuple[RankedBase, ...]


class Machine(Struct, frozen=True, kw_only=True):
    """What this machine can run; ``image`` is the newest of NVIDIA's images that is known to."""

    gpus: tuple[str, ...]
    driver: str | None
    cuda: str | None
    image: str | None
    torch_builds: tuple[str, ...]  # "cu126"
    containers: str | None  # how a container gets the GPU
    free_bytes: int | None


class DoctorResult(Result, Struct, frozen=True, kw_only=True):
    """What was seen of this machine, with what REF needs, or else what the machine can run."""

    ref: str | None
    host: Host
    needs: Needs | None = None
    machine: Machine | None = None


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


class Row(Struct, frozen=True, kw_only=True):
    """One fact of both sides, as people read it; None where a side does not have it."""

    label: str  # "driver", "GPU", "images/s"
    expected: str | None  # at capture
    actual: str | None  # now


class Report(Struct, frozen=True, kw_only=True):
    """One verdict and what led to it. Nothing in it is trusted: part came with the snapshot.

    ``expected`` is the smoke-train of the capture and ``actual`` the one that was run now.
    ``limits`` are the largest relative differences of a loss that the tier allows, at step 1 and
    after it; None where each must be the same bit for bit.
    """

    title: str  # the tag, or what the user named
    verdict: Verdict
    tier: Tier | None = None
    snapshot: str | None = None  # "sha256:…"
    image: str | None = None
    image_digest: str | None = None  # "sha256:…"
    captured_at: str | None = None  # UTC, ISO 8601
    restored_at: str | None = None  # UTC, ISO 8601
    restored_in: str | None = None  # "docker, example.com/team/env:…", "venv, .venv"
    expected: Fingerprint | None = None
    actual: Fingerprint | None = None
    limits: tuple[float, float] | None = None
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()
    differences: tuple[Section, ...] = ()  # by what follows from them, where they were asked for
    machines: tuple[Row, ...] = ()
    energy: tuple[str, ...] = ()  # with the factor of an estimate: "0.1 g CO2 at 400 g/kWh"
