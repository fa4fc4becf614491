"""An interpreter, its distributions and the frameworks among them."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct, field

OriginKind = Literal["index", "url", "vcs", "editable", "local", "conda", "system", "base"]


class Interpreter(Struct, frozen=True, kw_only=True):
    """The Python that an environment runs on."""

    implementation: str  # "cpython"
    version: str  # "3.11.7"

    @property
    def request(self) -> str:
        """Name it as uv does: ``3.11.7``, or ``pypy@3.10.14``."""
        is_usual = self.implementation == "cpython"
        return self.version if is_usual else f"{self.implementation}@{self.version}"

    @property
    def minor(self) -> str:
        """The version that wheels are built for, such as ``3.11``."""
        return ".".join(self.version.split(".")[:2])


class Files(Struct, frozen=True, kw_only=True):
    """What one distribution put on disk, as its bytes are now.

    ``sha256`` is over the lines ``path NUL sha256 LF`` of every file, sorted by path, less what
    differs between installers: compiled files, and the INSTALLER, REQUESTED, RECORD and
    direct_url.json of the distribution itself. A script that an installer makes of an entry
    point counts only if it was edited; in any script the environment's own interpreter in the
    first line counts as ``#!python``. Of an editable installation the files are those of its
    sources that can be imported, as if they lay in site-packages.

    ``recorded`` is ``sha256`` as it would be had nothing been edited or deleted: of these files
    the hash that RECORD names counts. A wheel whose own RECORD gives the same is the one that
    was installed.
    """

    count: int
    size_bytes: int
    sha256: str  # hex
    edited: tuple[str, ...] = ()  # hashed otherwise than RECORD says
    missing: tuple[str, ...] = ()  # in RECORD, not on disk
    recorded: str | None = None  # hex; where files were edited or are missing, as RECORD has them
    executable: tuple[str, ...] | None = None  # those that may be run, as far as that is known
    placeholders: tuple[str, ...] = ()  # edited; they count without the environment's folder


class UntrackedFile(Struct, frozen=True, kw_only=True):
    """A file, or a link that stays inside, that no distribution put into the environment.

    A link to a file outside is taken for the file that it leads to, one to a folder of modules
    outside for the files in there. What the import path has outside is among these, below
    ``snapenv-path``, where it lies once it is restored.
    A folder is told where it is empty and can be imported, as a namespace.
    """

    path: str  # from site-packages, as RECORD names files: "../../../bin/x"
    sha256: str | None = None  # hex, of a file
    link: str | None = None  # where a link points, relative to its own folder
    folder: bool = False
    executable: bool | None = None  # of a file, as far as it is known
    placeholders: bool = False  # it named the environment's folder, and counts without it


class Distribution(Struct, frozen=True, kw_only=True):
    """One installed distribution; of the operating system's nothing may say its ``files``."""

    name: str  # normalised as packaging does: "nvidia-cudnn-cu13"
    version: str
    origin: OriginKind
    installer: str | None = None
    url: str | None = None  # where direct_url.json points, without user info
    tags: tuple[str, ...] = ()  # of its WHEEL file, such as "py3-none-any"
    compiled: bool = False  # it has no WHEEL file, and holds machine code
    files: Files | None = None


class Torch(Struct, frozen=True, kw_only=True):
    """torch as its own version.py describes it: METADATA of an index wheel lacks the ``+cu130``."""

    version: str
    cuda: str | None = None  # "13.0"; None for a build without CUDA
    git: str | None = None


class Libraries(Struct, frozen=True, kw_only=True):
    """The CUDA libraries that torch would load, by asking the files themselves."""

    cudnn: str | None = None  # "9.19.0"
    nccl: str | None = None


class Environment(Struct, frozen=True, kw_only=True):
    """One Python environment."""

    interpreter: Interpreter
    distributions: tuple[Distribution, ...]  # sorted by name
    untracked: tuple[UntrackedFile, ...] = field(default=(), name="unowned")
    """Files of no distribution, in and around site-packages, sorted by path."""
    outside: tuple[str, ...] = ()  # what leads out and cannot be carried: "x.pth: ~/project"
    notes: tuple[str, ...] = ()  # what does not travel and may be needed; told, not written down
    not_carried: tuple[str, ...] = ()  # what the user asked to carry and cannot travel: "x: why"
    import_path: tuple[str, ...] | None = None
    """What modules come from, in order, as it is once it is restored; None where nobody looked.

    ``site`` is site-packages, ``site/PATH`` and ``prefix/PATH`` lie below it and the environment's
    own folder. Python's library, folders that distributions are in, and those of an operating
    system or an image are left out.
    """
    torch: Torch | None = None
    libraries: Libraries = Libraries()

    def find(self, name: str) -> Distribution | None:
        """Return the distribution of this normalised name, if it is installed."""
        return next(
            (distribution for distribution in self.distributions if distribution.name == name), None
        )
