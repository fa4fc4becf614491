"""What a capture writes down, and the folder it lives in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct, field

from snapenv.model.carried import Content
from snapenv.model.conda import CondaLock
from snapenv.model.facts import PROBE_SCHEMA, Facts, Native
from snapenv.model.fingerprint import Fingerprint
from snapenv.model.hardware import Hardware
from snapenv.model.python import Environment
from snapenv.model.wheels import Locked

SNAPSHOT_SCHEMA = 2

LOCK_FILE = "snapenv.toml"
PYLOCK_FILE = "pylock.toml"
CONDA_LOCK_FILE = "conda-lock.json"  # where the environment is conda's
EXPLICIT_FILE = "conda-explicit.txt"  # likewise: what conda alone can install
INSTALL_CONDA = "conda-install.py"  # likewise: what installs conda-lock.json
DOCKERFILE = "Dockerfile"
SUMS_FILE = "SHA256SUMS"
SNAPSHOTS = "snapshots"  # the folder where a capture without --output puts a snapshot
MEASURED_FILE = "measured.json"  # speed and exports, of which some figures are new each time
CHECK_PROGRAM = "snapenv-check.pyz"  # tells in an image whether it still is as locked
CHECK_FILE = "snapenv-check.json"  # what that compares with
CHECK_FILES = (CHECK_FILE, CHECK_PROGRAM)
VENDOR = "vendor"  # the folder of wheels that no index gives back
OVERLAY = "overlay"  # the folder of files that were edited or added by hand
STAGED = "staged"  # a folder beside a snapshot while it is built: wheels of private indexes
APPLY_OVERLAY = "overlay/apply.py"

IMAGE_PREFIX = "/opt/snapenv/venv"  # of a venv and of conda's alike
IMAGE_PYTHON = f"{IMAGE_PREFIX}/bin/python"
IMAGE_SNAPSHOT = "/opt/snapenv/snapshot"
IMAGE_CHECK = "/opt/snapenv/bin/snapenv-check"  # says whether the environment is as locked
CHECK_IF_PRESENT = f"[ ! -x {IMAGE_CHECK} ] || exec {IMAGE_CHECK}"  # older images have none
IMAGE_WORKSPACE = "/opt/snapenv/workspace"  # of the image of a workspace: its tools
SNAPSHOT_LABEL = "io.snapenv.snapshot"  # a label that holds the snapshot's digest
PARENT_LABEL = "io.snapenv.parent"  # the digest of the snapshot that it was made of by an update
VERSION_LABEL = "io.snapenv.version"  # of the snapenv that captured
# https://specs.opencontainers.org/image-spec/annotations/
TAG_LABEL = "org.opencontainers.image.version"
BASE_NAME_LABEL = "org.opencontainers.image.base.name"
BASE_DIGEST_LABEL = "org.opencontainers.image.base.digest"

Prove = Literal["record", "off"]
"""Whether what comes from an index was proved to be what is installed, by its own RECORD."""

Vendor = Literal["none", "missing", "all"]
"""Which wheels travel: none, those that no index gives back, or those of an index too."""

SitePackages = Literal["inherited", "isolated"]
"""Which packages an environment sees: the base image's beside the lock's, or the lock's alone."""


BaseFamily = Literal["pytorch", "slim", "cuda", "jetpack"]
"""Kinds of base image: NVIDIA's PyTorch, a plain Debian or Ubuntu, NVIDIA's CUDA or JetPack."""


class Base(Struct, frozen=True, kw_only=True):
    """The image that a Dockerfile starts from, and why this one."""

    image: str  # "nvcr.io/nvidia/pytorch:25.01-py3", with its digest where it is known
    family: BaseFamily = "pytorch"
    site_packages: SitePackages
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()  # of apt, that the image lacks and any environment needs


class Installer(Struct, frozen=True, kw_only=True):
    """A tool that installs in the image: its version, and its wheel's URL and sha256 (hex)."""

    version: str
    url: str
    sha256: str
    file: str | None = None  # where the wheel lies in the snapshot, if it travels


class Source(Struct, frozen=True, kw_only=True):
    """A place that is needed to make the environment again, and what happens when it is gone."""

    place: str  # a host, or a folder of the snapshot
    holds: str
    when_gone: str


class Lock(Struct, frozen=True, kw_only=True):
    """Everything of ``snapenv.toml``, with the wheels of ``pylock.toml``."""

    schema: int = SNAPSHOT_SCHEMA
    snapenv: str  # the version that wrote it
    tag: str
    parent: str | None = None  # the digest of the snapshot that it was made of by an update
    base: Base
    installer: Installer  # uv
    hardware: Hardware
    variables: Mapping[str, str] = field(default_factory=dict)
    image: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, bool] = field(default_factory=dict)
    native: Native | None = None
    startup: Mapping[str, tuple[str, ...]] | None = None
    baseline: Fingerprint | None = None
    prove: Prove = "record"
    sources: tuple[Source, ...] = ()
    allowed: tuple[str, ...] = ()  # files that travel although they look as if they held a secret
    overlay: tuple[str, ...] = ()  # what is put back over the packages, as "site/x.py"
    environment: Environment
    packages: Mapping[str, Locked] = field(default_factory=dict)  # by distribution
    conda: CondaLock | None = None  # where the environment is a prefix of conda
    conda_installer: Installer | None = None  # py-rattler, likewise

    @property
    def facts(self) -> Facts:
        """The look that was written down."""
        return Facts(
            schema=PROBE_SCHEMA,
            hardware=self.hardware,
            environment=self.environment,
            variables=self.variables,
            image=self.image,
            settings=self.settings,
            native=self.native,
            startup=self.startup,
            conda=self.conda.environment if self.conda else None,
        )


class Snapshot(Struct, frozen=True, kw_only=True):
    """A lock with its files by name, SHA256SUMS among them."""

    lock: Lock
    files: Mapping[str, Content]
    digest: str  # "sha256:…" over the sums of SHA256SUMS, less that of what was measured
    captured_at: str  # UTC, ISO 8601, to the second
    absent: tuple[str, ...] = ()  # carried files that an image was built with and does not hold

    def text(self, name: str) -> bytes:
        """Return one of the small files, which are held in memory."""
        content = self.files[name]
        if not isinstance(content, bytes):
            raise TypeError(f"{name} is not held in memory")
        return content
