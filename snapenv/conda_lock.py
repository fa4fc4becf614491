"""The two files of a snapshot that bring conda's packages back without a solver.

``conda-explicit.txt`` is conda's own form, which conda, mamba and micromamba install alone: a line
of an address and a hash for each package, those that others need first. ``conda-lock.json`` holds
what their records in ``conda-meta`` need beside that.

Sources: https://github.com/conda/ceps/pull/79 (explicit files; a sha256 is read by conda 24.9,
mamba and micromamba 2.1 and newer, an md5 by all).
"""

from __future__ import annotations

import graphlib
import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.json_text import read_json
from snapenv.model.conda import CondaLock
from snapenv.model.snapshot import CONDA_LOCK_FILE
from snapenv.toml import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.conda import CondaArchive, CondaPackage

_SCHEMA = 1
_NAME = re.compile(r"(?:[^\s]*::)?([A-Za-z0-9_.-]+)")  # of a match spec, after its channel


def write_conda_lock(lock: CondaLock) -> bytes:
    """Return ``conda-lock.json``; the same lock gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(lock, order="sorted"), indent=1) + b"\n"


def parse_conda_lock(content: bytes, *, where: str = "") -> CondaLock:
    """Read a ``conda-lock.json``; ``where`` it lies, for messages.

    Raises:
        SnapshotVersionError: A newer snapenv wrote it.
        SnapshotDamagedError: It is no such file, or a package has no archive or no hash.
    """
    name = posixpath.join(where, CONDA_LOCK_FILE)
    try:
        schema = read_json(content, _Head).schema
        if schema != _SCHEMA:
            raise SnapshotVersionError(
                f"{name}: schema {schema} is not known here, only {_SCHEMA}",
                hint="Read it with the snapenv that wrote it, or a newer one.",
            )
        lock = read_json(content, CondaLock)
        for package in lock.environment.packages:
            _check(package, lock.archives.get(package.name))
    except ValueError as error:
        raise SnapshotDamagedError(
            f"{name}: {one_line(str(error))}",
            hint="Get the snapshot again from where it was captured.",
        ) from error
    return lock


class _Head(msgspec.Struct):
    schema: int


def _check(package: CondaPackage, archive: CondaArchive | None) -> None:
    """Check that a package can be fetched and compared with a hash.

    Raises:
        ValueError: It cannot.
    """
    if archive is None or not (archive.url or archive.file):
        raise ValueError(f"{package.name} has neither an address nor a file")
    if not (archive.sha256 or archive.md5):
        raise ValueError(f"{package.name} has no hash")


def write_explicit(lock: CondaLock) -> bytes:
    """Return ``conda-explicit.txt``; files of the snapshot are named from its folder."""
    packages = in_install_order(lock.environment.packages)
    platforms = sorted({package.subdir for package in packages} - {"noarch"})
    return "".join(
        (
            "# Installs conda's packages of this environment, from this folder:\n",
            "# $ conda create --prefix PREFIX --file conda-explicit.txt\n",
            *(f"# platform: {platform}\n" for platform in platforms),
            "@EXPLICIT\n",
            *(f"{_line(lock.archives[package.name])}\n" for package in packages),
        )
    ).encode()


def _line(archive: CondaArchive) -> str:
    place = f"./{archive.file}" if archive.file else archive.url
    return f"{place}#{archive.sha256 or archive.md5}"


def in_install_order(packages: Sequence[CondaPackage]) -> tuple[CondaPackage, ...]:
    """Return packages each after those that it depends on, and else by name.

    Where packages depend on one another in a circle, as Python and pip do, those come by name.
    """
    by_name = {package.name: package for package in packages}
    needs = {
        package.name: sorted({needed_name(spec) for spec in package.depends} & by_name.keys())
        for package in sorted(packages, key=lambda package: package.name)
    }
    while True:
        try:
            order = tuple(graphlib.TopologicalSorter(needs).static_order())
        except graphlib.CycleError as error:  # noqa: PERF203 - seldom, and of few
            circle = error.args[1]  # each needs the one before it
            last = max(range(1, len(circle)), key=lambda at: circle[at])
            needs[circle[last]].remove(circle[last - 1])
        else:
            return tuple(by_name[name] for name in order)


def needed_name(spec: str) -> str:
    """Return the name of the package that a match spec asks for; ``__`` starts a virtual one."""
    match = _NAME.match(spec)
    return match[1].lower() if match else ""
