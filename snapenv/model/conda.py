"""A conda environment: its packages, as ``conda-meta`` records them, and how each comes back.

Source: https://github.com/conda/ceps/blob/main/cep-0034.md and cep-0032.md
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct, field

from snapenv.model.python import Files

NoArch = Literal["python", "generic"]
"""The kind of a package that is the same on every platform; Python's is put into site-packages."""


class CondaPackage(Struct, frozen=True, kw_only=True):
    """One package of a conda environment, as ``conda-meta/NAME-VERSION-BUILD.json`` describes it.

    ``files`` are named from site-packages, as RECORD names those of a distribution:
    ``../../../lib/libz.so``. A file that is as the package brought it counts by the hash that it
    has in the package, and one that holds the prefix by no size, so that they say the same whatever
    folder the environment lies in.
    What pip or another package wrote over it since counts as theirs.
    """

    name: str
    version: str
    build: str
    build_number: int = 0
    subdir: str  # "linux-64" or "noarch"
    noarch: NoArch | None = None
    channel: str | None = None  # an address, without credentials
    url: str | None = None  # of the package, without credentials
    file_name: str  # "numpy-1.26.4-py311h64a7726_0.conda"
    md5: str | None = None  # hex, of the package
    sha256: str | None = None  # hex, of the package
    size_bytes: int | None = None  # of the package
    timestamp_ms: int | None = None  # when it was built
    depends: tuple[str, ...] = ()  # as match specs
    constrains: tuple[str, ...] = ()
    python_site_packages_path: str | None = None  # of the package that is Python
    license: str | None = None
    requested: tuple[str, ...] = ()  # the specs by which a user asked for it
    link_scripts: tuple[str, ...] = ()  # "bin/.NAME-post-link.sh", from the prefix
    files: Files

    @property
    def described(self) -> str:
        """Its name, version and build, as ``conda list`` shows them: ``numpy 1.26.4 py311_0``."""
        return f"{self.name} {self.version} {self.build}"


class CondaEnvironment(Struct, frozen=True, kw_only=True):
    """What conda knows of one prefix, and what activating it does.

    The value of a variable names the prefix itself as ``$CONDA_PREFIX``.
    """

    packages: tuple[CondaPackage, ...]  # sorted by name
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those of ``conda-meta/state``, which a user has set for this environment."""
    activation: Mapping[str, str] = field(default_factory=dict)
    """Constants that the scripts of ``etc/conda/activate.d`` export."""
    damaged: tuple[str, ...] = ()  # records that cannot be read, in words; never written down
    scripts: tuple[str, ...] = ()
    """The scripts of ``etc/conda/activate.d`` that do more than that, from the prefix, sorted."""

    def find(self, name: str) -> CondaPackage | None:
        """Return the package of this name, if it is installed."""
        return next((package for package in self.packages if package.name == name), None)


class CondaArchive(Struct, frozen=True, kw_only=True):
    """The one file that brings a package back: one of a channel, or one that travels.

    A package that was rebuilt has other hashes than the one that was installed.
    """

    file_name: str  # "numpy-1.26.4-py311h64a7726_0.conda"
    url: str | None = None  # where a channel has it, without credentials
    file: str | None = None  # where it lies in the snapshot, if it travels
    sha256: str | None = None  # hex; of an old channel, only the md5 may be known
    md5: str | None = None  # hex
    size_bytes: int | None = None


class CondaLock(Struct, frozen=True, kw_only=True):
    """A conda environment and the archive of each of its packages, by name."""

    schema: int = 1
    environment: CondaEnvironment
    archives: Mapping[str, CondaArchive]

    def each(self) -> Iterator[tuple[CondaPackage, CondaArchive]]:
        """Yield each package with its archive, by name."""
        for package in self.environment.packages:
            yield package, self.archives[package.name]
