"""What each command answers to programs: the fields are the keys of ``result`` with ``--json``.

Text and page are made of the same values, and the JSON Schemas are generated from them. None is
unknown, or does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from snapenv.model.bench import Bench
from snapenv.model.clean import Freeable
from snapenv.model.exports import Export
from snapenv.model.findings import Finding
from snapenv.model.fingerprint import Fingerprint, Speed, Tier
from snapenv.model.host import Host, Needs
from snapenv.model.launch import Port, Status
from snapenv.model.outcome import Check, Difference, Outcome, Result, Section, Verdict
from snapenv.model.snapshot import BaseFamily
from snapenv.model.tuning import Tuning
from snapenv.model.update import LossesSideBySide, Move
from snapenv.model.usage import TeamGrants


class CaptureResult(Result, Struct, frozen=True, kw_only=True):
    """What was locked, and what is special about it."""

    path: str  # the snapshot's folder
    tag: str  # of the image that is built of it
    digest: str  # of the snapshot
    python: str  # the interpreter of the environment, and where it is
    packages: int  # how many were locked
    origins: Mapping[str, int]  # packages by where they came from: {"index": 59}
    edited_files: int  # of packages, against their RECORD
    missing_files: int  # of packages, that their RECORD names
    carried_packages: int  # rebuilt as wheels of the snapshot: no index has them
    carried_files: int  # that belong to no package
    not_importable: tuple[str, ...]  # modules whose files are gone
    conda_packages: int = 0  # of a prefix of conda, how many were locked
    exports: tuple[Export, ...] | None = None  # of the baseline, with --exports


class Attached(Struct, frozen=True, kw_only=True):
    """A document that is attached to an image in its registry."""

    type: str  # "application/vnd.cyclonedx+json"
    predicate: str | None  # of a statement, what kind it is: "https://slsa.dev/provenance/v1"
    signed: bool  # it holds a signature, which nobody has checked
    digest: str  # of its manifest
    size_bytes: int  # of its manifest


class BuildResult(Result, Struct, frozen=True, kw_only=True):
    """The image that was built, or was there already."""

    image: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    digest: str  # in its registry where it was pushed, else the image's id
    pushed: bool  # to the registry of its name
    base: str | None  # the base image, pinned to its digest
    snapshot: str  # the digest of the snapshot in it
    size_bytes: int  # on disk, all layers
    attached: tuple[Attached, ...] = ()  # in its registry, by this build


class ProofResult(Result, Struct, frozen=True, kw_only=True):
    """What stands again, and how near it comes to the capture; of restore and verify."""

    image: str | None = None  # of the Docker engine
    digest: str | None = None  # of the image
    path: str | None = None  # of the venv engine
    tag: str | None = None  # of the snapshot
    snapshot: str | None = None  # the digest of the snapshot
    tier: Tier | None = None  # None where nothing was trained
    losses: tuple[float | None, ...] | None = None  # one a step; None for one that is no number
    speed: Speed | None = None  # of this smoke-train
    exports: tuple[Export, ...] | None = None  # with --exports, in that order
    attached: Attached | None = None  # the verification, with --attest
    verified_at: str | None = None  # with --require-verified, when it was verified before; RFC 3339


class ArchiveResult(Result, Struct, frozen=True, kw_only=True):
    """An archive, and the image or the snapshot alone that it holds; of export and import."""

    path: str  # of the file
    image: str | None = None  # its reference; None where it holds a snapshot alone
    digest: str | None = None  # the image's id
    config: str | None = None  # the digest of the image's config in the archive
    snapshot: str  # the digest of the snapshot in it
    delta: bool = False  # the base image's layers are left out
    size_bytes: int  # of the file that was written, or of what was loaded
    folder: str | None = None  # of the snapshot that was exported, or that was written


class PushResult(Result, Struct, frozen=True, kw_only=True):
    """What a tag of a registry names after a push."""

    kind: Literal["image", "snapshot"]  # what was sent: an image, or a snapshot alone
    ref: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    digest: str  # of its manifest
    snapshot: str  # the digest of the snapshot
    size_bytes: int  # of the snapshot as it is sent, or of the image on disk
    present: bool  # the tag named it already
    replaced: str | None = None  # the digest of what the tag named before, which stays


class PullResult(Result, Struct, frozen=True, kw_only=True):
    """What was fetched from a registry."""

    kind: Literal["image", "snapshot"]  # what the name holds: an image, or a snapshot alone
    ref: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    digest: str | None = None  # of an image's manifest
    snapshot: str  # the digest of the snapshot
    folder: str | None = None  # where the snapshot was written
    size_bytes: int  # on disk
    present: bool = False  # it was on this machine already


class DiffSide(Struct, frozen=True, kw_only=True):
    """One of the two that were compared."""

    kind: Literal["environment", "snapshot", "image", "archive"]  # what it is
    place: str  # the interpreter's path, a folder, a file, or a reference
    digest: str | None  # of the snapshot


class DiffResult(Result, Struct, frozen=True, kw_only=True):
    """What two environments differ in, those with the gravest consequence first."""

    left: DiffSide  # the first that was named
    right: DiffSide  # the second
    differences: tuple[Difference, ...]  # gravest consequence first


class Comparison(Outcome[DiffResult], Struct, frozen=True, kw_only=True):
    """The answer of a comparison, for people by group."""

    sections: tuple[Section, ...]


class UpdateResult(Result, Struct, frozen=True, kw_only=True):
    """What an update has changed; without a change, no snapshot was written."""

    parent: str  # the digest of the snapshot that was updated
    moves: tuple[Move, ...]  # packages that are another version, new or gone
    path: str | None = None  # the new snapshot's folder
    tag: str | None = None  # of the image that is built of it
    digest: str | None = None  # of the new snapshot
    differences: tuple[Difference, ...] = ()  # from the parent, gravest consequence first
    losses: LossesSideBySide | None = None  # None where either was not trained
    dropped: tuple[str, ...] = ()  # edited files that went with their packages: "site/x.py"


class UpdateOutcome(Outcome[UpdateResult], Struct, frozen=True, kw_only=True):
    """The answer of an update, for people by group."""

    sections: tuple[Section, ...] = ()


class LogEntry(Struct, frozen=True, kw_only=True):
    """One snapshot of a line of ancestors; what is not known is None."""

    digest: str  # of the snapshot
    parent: str | None  # the digest of the one that it was made of; None: it was captured
    place: str | None  # a folder, an archive, or a reference; None: it was found nowhere
    tag: str | None = None  # of the image that is built of it
    captured_at: str | None = None  # RFC 3339
    changes: tuple[str, ...] | None = None  # from its parent, in words: "numpy 1.26.4 → 2.4.1"
    losses: str | None = None  # compared with its parent's, in words: "losses identical"


class LogResult(Result, Struct, frozen=True, kw_only=True):
    """A snapshot and what it was made of."""

    entries: tuple[LogEntry, ...]  # the newest first
    searched: tuple[str, ...]  # where ancestors were looked for


class RankedBase(Struct, frozen=True, kw_only=True):
    """One base image, by what it says of itself where that is known, else by the catalogue."""

    rank: int  # from 1, the best
    image: str  # its reference
    digest: str | None  # None where no registry was asked
    python: str | None  # version
    cuda: str | None  # version
    torch: str | None  # version
    cudnn: str | None  # version
    nccl: str | None  # version
    size_bytes: int | None  # of a pull
    local: bool  # the engine has it
    inspected: bool  # a container of it ran for a moment
    reason: str  # for its rank
    warnings: tuple[str, ...]  # what speaks against it


class FamilyBase(Struct, frozen=True, kw_only=True):
    """The image that --base-family would take, and what it would move to this machine."""

    family: BaseFamily  # as --base-family takes it
    image: str  # its reference
    digest: str | None  # None where no registry told
    size_bytes: int | None  # of a pull of everything
    missing_bytes: int | None  # of a pull, less the layers that the engine has
    local: bool  # the engine has it
    use: str  # what one would choose it for
    reasons: tuple[str, ...]  # for this image of the family
    warnings: tuple[str, ...]  # what speaks against it


class BasesResult(Result, Struct, frozen=True, kw_only=True):
    """Base images for an environment, best first."""

    snapshot: str | None  # that they are ranked for; None is the active environment
    # whether the environment uses those of the base image
    site_packages: Literal["inherited", "isolated"]
    reason: str  # for that
    machine: str  # "amd64"
    catalogue: str  # its date
    bases: tuple[RankedBase, ...]  # best first
    families: tuple[FamilyBase, ...]  # those that are possible; the default one first


class Machine(Struct, frozen=True, kw_only=True):
    """What this machine can run."""

    gpus: tuple[str, ...]  # names
    driver: str | None  # its version
    cuda: str | None  # the newest that the driver serves
    image: str | None  # the newest of NVIDIA's images that is known to run
    torch_builds: tuple[str, ...]  # "cu126"
    containers: str | None  # how a container gets the GPU
    free_bytes: int | None  # on the disk of the engine's data


class DoctorResult(Result, Struct, frozen=True, kw_only=True):
    """What was seen of this machine, with what REF needs, or else what the machine can run."""

    ref: str | None  # what was asked about, None for the machine alone
    host: Host  # what was seen of this machine
    needs: Needs | None = None  # what REF needs of a machine
    machine: Machine | None = None  # what this machine can run, where no REF was named


class LastVerdict(Struct, frozen=True, kw_only=True):
    """What the last proof on this machine said of a snapshot."""

    ok: bool  # whether it is the environment that was captured
    tier: Tier | None = None  # None where nothing was trained
    at: str  # RFC 3339


class ListedImage(Struct, frozen=True, kw_only=True):
    """One name of an image that is local, in its registry, or both."""

    name: str  # "example.com/team/env:train-yolov8.4.190-base-cu130"
    repository: str  # of the name
    tag: str  # of the name
    size_bytes: int | None = None  # on disk if it is local, else of a pull
    created: str | None = None  # RFC 3339
    local: bool = False  # the engine has it
    remote: bool | None = None  # None where the registry was not asked
    same: bool | None = None  # whether both are one image; None where it is not in both
    kind: Literal["image", "snapshot"] = "image"  # a snapshot may lie alone in a registry
    digest: str | None = None  # of the manifest in the registry
    gpus: tuple[str, ...] = ()  # names, of the machine that it was captured on
    verified: LastVerdict | None = None  # of the last restore or verify on this machine
    pull_bytes: int | None = None  # what a pull moves, less the layers that the engine has
    runs: Literal["yes", "no", "unknown"] | None = None  # here; None where the registry has none
    reason: str | None = None  # why it does not run here, or why that is not known

    @property
    def where(self) -> str:
        """Say it in one word."""
        if self.local and self.remote:
            return "both" if self.same else "differ"
        return "local" if self.local else "remote"


class ListResult(Result, Struct, frozen=True, kw_only=True):
    """The images that snapenv made, by name."""

    repository: str  # that was listed
    remote: bool  # the registry was asked too
    fits: str | None = None  # the newest that runs here, with its digest, where that was asked for
    images: tuple[ListedImage, ...]  # by name


class Baseline(Struct, frozen=True, kw_only=True):
    """The smoke-train of the capture; a loss is None where it is no number."""

    device: str  # that it trained on
    steps: int  # how many
    first: float | None  # loss
    last: float | None  # loss
    exports: tuple[Export, ...] | None = None  # that were measured with it


class ListedPackage(Struct, frozen=True, kw_only=True):
    """A package of an environment, where it comes from, and how that is proved."""

    name: str  # normalized
    version: str  # as its metadata has it
    origin: str  # "index"
    source: str  # its URL, or the origin in words
    proof: str | None  # how that it is the same is proved


class ListedCondaPackage(Struct, frozen=True, kw_only=True):
    """A package of conda, and where it comes from."""

    name: str  # as conda has it
    version: str  # as its record has it
    build: str  # "py311h64a7726_0"
    channel: str | None  # its address, without credentials
    carried: bool  # it lies in the snapshot


class ShowResult(Result, Struct, frozen=True, kw_only=True):
    """What is known of one environment; None is unknown."""

    kind: str  # "snapshot", "archive", "image" (of this machine) or "registry"
    name: str  # of what was shown
    tag: str | None = None  # that the snapshot proposes
    digest: str | None = None  # of the image; of a snapshot, its own
    snapshot: str | None = None  # the digest of the snapshot in it
    parent: str | None = None  # the digest of the snapshot that it was made of by an update
    size_bytes: int | None = None  # on disk, or of a pull
    created: str | None = None  # RFC 3339
    base: str | None = None  # its base image
    python: str | None = None  # version
    torch: str | None = None  # version
    cuda: str | None = None  # that torch was built for
    ultralytics: str | None = None  # version
    packages: int | None = None  # how many
    machine: str | None = None  # that it was captured on and runs on: "amd64", "arm64"
    driver: str | None = None  # that it was captured with
    gpus: tuple[str, ...] | None = None  # that it was captured on, by name
    baseline: Baseline | None = None  # the smoke-train of the capture
    sources: tuple[str, ...] | None = None  # indexes and hosts that its packages come from
    snapenv: str | None = None  # the version that wrote it
    more: str | None = None  # how to know more
    attached: tuple[Attached, ...] = ()  # in the registry, to the image
    labels: Mapping[str, str] = field(default_factory=dict)  # of the image
    distributions: tuple[ListedPackage, ...] | None = None  # by name, with --packages
    conda: tuple[ListedCondaPackage, ...] | None = None  # packages of conda by name, if it is one


class OtherBench(Struct, frozen=True, kw_only=True):
    """The same training on another machine, or here before."""

    machine: str  # "2 x …", or the GPU's name
    at: str  # RFC 3339
    images_per_s: float  # the median of its repeats
    ratio: float  # of ours to that
    apart: bool  # no repeat of one lies among those of the other, and nothing disturbed them


class BenchResult(Result, Struct, frozen=True, kw_only=True):
    """How fast a training goes in an environment."""

    snapshot: str  # the digest
    image: str | None  # of the Docker engine
    path: str | None  # of the venv engine
    bench: Bench  # what was measured
    others: tuple[OtherBench, ...]  # the oldest first


class DiagnoseResult(Result, Struct, frozen=True, kw_only=True):
    """What holds a training back, and what was measured of it."""

    snapshot: str  # the digest
    findings: tuple[Finding, ...]  # system, application, framework; the gravest of each first
    next: str | None  # the id of the finding to act on; None without any
    bench: Bench  # what was measured


class TuneResult(Result, Struct, frozen=True, kw_only=True):
    """The settings with which a training goes fastest in an environment, and what they gain."""

    snapshot: str  # the digest
    image: str | None  # of the Docker engine; None where nothing was measured
    path: str | None  # of the venv engine; None where nothing was measured
    tuning: Tuning  # what was tried and chosen
    profile: str | None  # the file for snapenv run; None where no gain is proven


class FoundAdvisory(Struct, frozen=True, kw_only=True):
    """One advisory about one package of an environment."""

    id: str  # "GHSA-…", "PYSEC-…", "MAL-…"
    aliases: tuple[str, ...]  # its ids in other databases: "CVE-…"
    package: str  # normalised
    version: str  # that the environment has, without its local part
    malicious: bool  # the release does harm on purpose
    severity: str | None  # the database's word: "HIGH"
    summary: str | None  # the database's, one line
    fixed_in: tuple[str, ...]  # versions above this one, sorted


class AuditResult(Result, Struct, frozen=True, kw_only=True):
    """What is known against the packages of an environment."""

    snapshot: str  # the digest
    database: str  # the file, or the address of the service
    held: int | None  # how many advisories the file holds; None for a service
    packages: int  # how many were asked for
    skipped: tuple[str, ...]  # packages that no index has, which a service is not told of
    advisories: tuple[FoundAdvisory, ...]  # sorted by package and id


class ListedRun(Struct, frozen=True, kw_only=True):
    """One run; what is not known is None."""

    run: str  # its id
    kind: str  # "run", "shell"
    status: Status  # of its container or process
    ref: str  # of the environment, as it was typed
    command: tuple[str, ...]  # in words
    created: str  # RFC 3339
    exit_code: int | None  # once it has ended
    results: str | None  # a folder
    container: str | None  # the id; None for a venv, and once it is gone
    ports: tuple[Port, ...]  # as they are bound now
    gpu_uuids: tuple[str, ...]  # that it was given
    cause: str | None  # of its end


class PsResult(Result, Struct, frozen=True, kw_only=True):
    """Runs, the newest first."""

    runs: tuple[ListedRun, ...]  # of this user


class StopResult(Result, Struct, frozen=True, kw_only=True):
    """A run that has ended."""

    run: str  # its id
    was_running: bool  # until now
    exit_code: int | None  # None where nobody saw its end
    results: str | None  # a folder
    checkpoint: str | None = None  # the copy that was kept, where that was asked for


class CleanedThing(Struct, frozen=True, kw_only=True):
    """One thing that snapenv has made."""

    thing: Freeable  # what it is, and how large
    chosen: bool  # to be freed, by the options
    freed: bool  # now


class CleanResult(Result, Struct, frozen=True, kw_only=True):
    """What snapenv has made on this machine, and what of it was freed."""

    things: tuple[CleanedThing, ...]  # those in use, too
    freed_bytes: int  # at least: what two images share goes with the second


class UpResult(Result, Struct, frozen=True, kw_only=True):
    """A workspace, and how to reach it; what it does not serve is None."""

    name: str  # of the workspace
    ref: str  # the environment, as it was named
    runs: str | None  # the folder of results
    started: bool = False  # by this command
    container: str | None = None  # its name in the engine
    jupyter: str | None = None  # an address that lets in: it holds the token
    tensorboard: str | None = None  # an address
    ssh: str | None = None  # a command
    command: str | None = None  # of a dry run: what would be started


class DownResult(Result, Struct, frozen=True, kw_only=True):
    """A workspace that is gone."""

    name: str  # of the workspace
    was_running: bool  # until now
    runs: str | None  # the folder of results, which stay


class WrittenFile(Struct, frozen=True, kw_only=True):
    """One file that was rendered."""

    path: str  # where it is, or would be
    executable: bool  # for everyone
    replaced: bool  # another file stood there
    content: str | None = None  # of a dry run, which writes nothing


class RenderResult(Result, Struct, frozen=True, kw_only=True):
    """Files for another system; those that run an image name it by tag and digest."""

    target: str  # what they are for
    # "example.com/team/env:train-yolov8.4.190-base-cu130@sha256:…"; null of rules and dashboards
    image: str | None
    snapshot: str | None  # the digest of the snapshot in it
    folder: str  # that they are written to
    files: tuple[WrittenFile, ...]  # in the order in which a person reads them
    start: str  # the command that starts them, typed in this folder


class UsageExportResult(Result, Struct, frozen=True, kw_only=True):
    """What of the ledger was written for whom."""

    path: str  # the new folder
    role: Literal["member", "manager", "finance"]  # for whom it is
    member: str | None  # the member's name; None for the other roles
    files: tuple[str, ...]  # their names in the folder
    rows: int  # of a member the runs, else the sums


class UsageImportResult(Result, Struct, frozen=True, kw_only=True):
    """How many runs of other schedulers the ledger was given."""

    since_ms: int  # of the time that was asked for, in milliseconds since 1970
    until_ms: int  # the first moment that was not
    added: int  # runs that the ledger did not have
    updated: int  # runs that have gone on, or ended, since they were imported
    known: int  # runs of which nothing is new


class UsageCorrectResult(Result, Struct, frozen=True, kw_only=True):
    """What was added to the ledger so that a run's GPU time is right."""

    run: str  # its id
    month: str  # "2026-11", of UTC
    before_ms: int  # GPU time of the run in the month, with earlier corrections
    allocated_ms: int  # now
    added: int  # corrections, one for each GPU whose time changes; 0 where it was right
    reason: str  # that is kept with them


class OnboardResult(Result, Struct, frozen=True, kw_only=True):
    """What was written for new colleagues."""

    tag: str  # of the environment
    snapshot: str  # the digest of its snapshot
    ref: str  # what colleagues restore
    files: tuple[str, ...]  # where they lie


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
    exports: tuple[Export, ...] = ()  # that were tried now; those of the capture are its baseline's


class UsageInitResult(Result, Struct, frozen=True, kw_only=True):
    """A team's ledger, and who may see what of it."""

    place: str  # the database and its host, without a password
    roles_made: tuple[str, ...]  # of PostgreSQL, those that were not there
    tables_made: tuple[str, ...]  # likewise
    grants: TeamGrants  # all of them, those of before too
