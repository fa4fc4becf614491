"""Write the packages as a standard lock file: of each the one artefact that is installed.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packaging.utils import parse_wheel_filename

from snapenv.content import sha256_of, size_bytes
from snapenv.errors import SnapshotDamagedError
from snapenv.model.snapshot import PYLOCK_FILE, VENDOR
from snapenv.model.wheels import IndexWheel
from snapenv.toml import read_toml, write_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from snapenv.model.carried import Content
    from snapenv.model.facts import Facts
    from snapenv.model.python import Proof


def write_pylock(
    facts: Facts,
    *,
    pinned: Iterable[IndexWheel],
    rebuilt: Mapping[str, Content],
    proofs: Mapping[str, Proof],
    all_travel: bool = False,
) -> bytes:
    """Return a pylock.toml, packages by name; the same lock gives the same bytes.

    ``rebuilt`` are wheels by their file names, which lie in ``vendor/`` beside it; where
    ``all_travel``, those of the index lie there too, and their address is only told. What the
    base image holds is no package of the file: its ``tool.snapenv`` table lists it.
    """
    system, minor = facts.hardware.system, facts.environment.interpreter.minor
    packages: list[dict[str, Any]] = [
        *(_package(wheel, proofs[wheel.name], travels=all_travel) for wheel in pinned),
        *(_rebuilt(name, content) for name, content in rebuilt.items()),
    ]
    provided = _provided(facts)
    document: dict[str, Any] = {
        "lock-version": "1.0",
        "environments": [f"sys_platform == 'linux' and platform_machine == '{system.machine}'"],
        "requires-python": f"=={minor}.*",
        "created-by": "snapenv",
        "packages": sorted(packages, key=_name),
        **({"tool": {"snapenv": {"base-provided": provided}}} if provided else {}),
    }
    return write_toml(document).encode()


def read_wheels(pylock: bytes, *, where: str) -> tuple[IndexWheel, ...]:
    """Return the wheels of a pylock.toml that are to be fetched from an index.

    Raises:
        SnapshotDamagedError: It is no such file.
    """
    return tuple(
        IndexWheel(
            name=package["name"],
            version=package["version"],
            url=wheel["url"],
            sha256=wheel["hashes"]["sha256"],
            size_bytes=wheel.get("size"),
            index=package.get("index"),
        )
        for package in _parse(pylock, where)["packages"]
        for wheel in package["wheels"]
        if "url" in wheel
    )


def with_staged_wheels(pylock: bytes, staged: Iterable[IndexWheel], *, where: str) -> bytes:
    """Write a pylock.toml for a folder beside it that holds some of its wheels, by file name.

    Raises:
        SnapshotDamagedError: It is no such file.
    """
    document = _parse(pylock, where)
    names = {wheel.url: wheel.filename for wheel in staged}
    for package in document["packages"]:
        package["wheels"] = [_relocated(wheel, names) for wheel in package["wheels"]]
    return write_toml(document).encode()


def _relocated(wheel: Mapping[str, Any], names: Mapping[str, str]) -> Mapping[str, Any]:
    plain = {key: value for key, value in wheel.items() if key not in ("url", "path")}
    if "path" in wheel:
        return {"path": f"../{wheel['path']}", **plain}
    url = str(wheel["url"])
    return {"path": names[url], **plain} if url in names else {"url": url, **plain}


def _parse(pylock: bytes, where: str) -> Any:  # noqa: ANN401 - any TOML value
    from packaging.pylock import Pylock, PylockValidationError

    try:
        document = read_toml(pylock.decode())
        Pylock.from_dict(document)
    except (ValueError, RecursionError, PylockValidationError) as error:
        raise SnapshotDamagedError(
            f"{where}/{PYLOCK_FILE}: {error}",
            hint="Get the snapshot again from where it was captured.",
        ) from error
    return document


def _package(wheel: IndexWheel, proof: Proof, *, travels: bool) -> dict[str, Any]:
    place = {"path": f"{VENDOR}/{wheel.filename}"} if travels else {"url": wheel.url}
    tool = {"proof": proof, **({"url": wheel.url} if travels else {})}
    return {
        "name": wheel.name,
        "version": wheel.version,
        **({"index": wheel.index} if wheel.index else {}),
        "wheels": [_artefact(place, wheel.size_bytes, wheel.sha256)],
        "tool": {"snapenv": tool},
    }


def _rebuilt(filename: str, content: Content) -> dict[str, Any]:
    name, version, _, _ = parse_wheel_filename(filename)
    place = {"path": f"{VENDOR}/{filename}"}
    return {
        "name": str(name),
        "version": str(version),
        "wheels": [_artefact(place, size_bytes(content), sha256_of(content).hexdigest())],
        "tool": {"snapenv": {"proof": "vendored"}},
    }


def _artefact(place: Mapping[str, str], size_bytes: int | None, sha256: str) -> dict[str, Any]:
    size = {} if size_bytes is None else {"size": size_bytes}
    return {**place, **size, "hashes": {"sha256": sha256}}


def _name(package: Mapping[str, Any]) -> str:
    return str(package["name"])


def _provided(facts: Facts) -> list[str]:
    return [
        f"{found.name}=={found.version}"
        for found in facts.environment.distributions
        if found.origin == "base"
    ]
