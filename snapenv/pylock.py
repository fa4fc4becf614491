"""``pylock.toml``, the standard lock file: of each package the one artefact that is installed.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Literal

from packaging.utils import parse_wheel_filename

from snapenv.errors import SnapshotDamagedError
from snapenv.model.snapshot import PYLOCK_FILE, VENDOR
from snapenv.model.wheels import (
    FromBase,
    FromConda,
    IndexWheel,
    Locked,
    Pinned,
    Vendored,
    VendoredWheel,
)
from snapenv.toml import one_line, read_toml, write_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from packaging.pylock import Package, PackageWheel, Pylock

ProofWord = Literal["record", "none", "vendored", "base", "conda"]
"""How ``snapenv.toml`` says of a distribution what it is."""


def write_pylock(
    packages: Mapping[str, Locked],
    *,
    machine: str,
    python: str,
    provided: Sequence[str] = (),
    folder: str = "",
) -> bytes:
    """Return a pylock.toml, packages by name; the same lock gives the same bytes.

    It is for a ``machine`` such as "x86_64" and a ``python`` such as "3.11". Files are named from
    ``folder``, in which it will lie. What the base image holds is no package of the file: its
    ``tool.snapenv`` table lists what is ``provided``, as "numpy==2.4.6".
    """
    document: dict[str, Any] = {
        "lock-version": "1.0",
        "environments": [f"sys_platform == 'linux' and platform_machine == '{machine}'"],
        "requires-python": f"=={python}.*",
        "created-by": "snapenv",
        "packages": [
            package
            for _, locked in sorted(packages.items())
            for package in _packages(locked, folder)
        ],
        **({"tool": {"snapenv": {"base-provided": list(provided)}}} if provided else {}),
    }
    return write_toml(document).encode()


def parse_pylock(content: bytes, *, where: str = "") -> Pylock:
    """Read a pylock.toml of which each package has one wheel; ``where`` it lies, for messages.

    Raises:
        SnapshotDamagedError: It is no such file.
    """
    from packaging.pylock import Pylock, PylockValidationError

    try:
        pylock = Pylock.from_dict(read_toml(content.decode()))
        for package in pylock.packages:
            _wheel(package)
    except (ValueError, TypeError, RecursionError, PylockValidationError) as error:
        raise _damaged(str(error), where) from error
    return pylock


def read_packages(
    proofs: Mapping[str, ProofWord], pylock: Pylock, *, where: str = ""
) -> Mapping[str, Locked]:
    """Return how each distribution comes back, of which ``proofs`` tells the kind.

    Raises:
        SnapshotDamagedError: The file lacks a package, its hash or its address.
    """
    packages: dict[str, Package] = {package.name: package for package in pylock.packages}

    def locked(name: str, proof: ProofWord) -> Locked:
        package = packages.get(name)
        if proof == "base":
            return FromBase()
        if proof == "conda":
            return FromConda()
        if proof == "vendored":
            return Vendored(wheel=_vendored(package) if package else None)
        if package is None:
            raise ValueError(f"{name} is missing")
        return _pinned(package, proof)

    try:
        return {name: locked(name, proof) for name, proof in proofs.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(str(error), where) from error


def _wheel(package: Package) -> PackageWheel:
    if len(package.wheels or ()) != 1:
        raise ValueError(f"{package.name} should have one wheel")
    return (package.wheels or ())[0]


def _pinned(package: Package, proof: Literal["record", "none"]) -> Pinned:
    wheel = _wheel(package)
    return Pinned(
        wheel=IndexWheel(
            name=package.name,
            version=str(package.version),
            url=wheel.url or (package.tool or {})["snapenv"]["url"],
            sha256=wheel.hashes["sha256"],
            size_bytes=wheel.size,
            index=package.index,
        ),
        proof=proof,
        file=wheel.path,
    )


def _vendored(package: Package) -> VendoredWheel:
    wheel = _wheel(package)
    if wheel.path is None:
        raise ValueError(f"{package.name} should have a path")
    return VendoredWheel(file=wheel.path, sha256=wheel.hashes["sha256"], size_bytes=wheel.size)


def _packages(locked: Locked, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the entry of a distribution; what is in no wheel of its own has none."""
    match locked:
        case Pinned(wheel=wheel, proof=proof, file=file):
            travels = file is not None and posixpath.dirname(file) == VENDOR
            place = {"path": _path(file, folder)} if file else {"url": wheel.url}
            yield {
                "name": wheel.name,
                "version": wheel.version,
                **({"index": wheel.index} if wheel.index else {}),
                "wheels": [_artefact(place, wheel.size_bytes, wheel.sha256)],
                "tool": {"snapenv": {"proof": proof, **({"url": wheel.url} if travels else {})}},
            }
        case Vendored(wheel=rebuilt):
            if rebuilt is None:
                return
            name, version, _, _ = parse_wheel_filename(posixpath.basename(rebuilt.file))
            place = {"path": _path(rebuilt.file, folder)}
            yield {
                "name": str(name),
                "version": str(version),
                "wheels": [_artefact(place, rebuilt.size_bytes, rebuilt.sha256)],
                "tool": {"snapenv": {"proof": "vendored"}},
            }
        case FromBase() | FromConda():
            pass


def _path(file: str, folder: str) -> str:
    """Return a path in a snapshot from a folder of it."""
    return posixpath.relpath(f"/{file}", f"/{folder}")


def _artefact(place: Mapping[str, str], size_bytes: int | None, sha256: str) -> dict[str, Any]:
    size = {} if size_bytes is None else {"size": size_bytes}
    return {**place, **size, "hashes": {"sha256": sha256}}


def _damaged(why: str, where: str) -> SnapshotDamagedError:
    return SnapshotDamagedError(
        f"{posixpath.join(where, PYLOCK_FILE)}: {one_line(why)}",
        hint="Get the snapshot again from where it was captured.",
    )
