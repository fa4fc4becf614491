"""Write the pins as a standard lock file, with the hash of every artefact.

uv asks the index; this module narrows its answer to the artefact that was installed.
Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

import tomlkit
from packaging.pylock import Pylock, PylockValidationError
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    is_normalized_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version
from tomlkit.exceptions import TOMLKitError

from snapenv.errors import LockError
from snapenv.lock.indexes import uv_index_environment
from snapenv.model.python import Distribution
from snapenv.model.snapshot import VENDOR, Installer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tomlkit.items import Table

    from snapenv.model.facts import Facts
    from snapenv.ports import Completed, Target, Task

# An index that asked for a password, or that uv was told not to ask, has not said no.
_NO_ANSWER = re.compile(r"hint: An index|could not be queried|network was disabled")
# What `uv pip compile --python-platform` knows, as manylinux_2_N; before them, manylinux2014.
_UV_GLIBC_MINORS = (28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)


@dataclass(frozen=True, kw_only=True, slots=True)
class Narrowed:
    """A pylock.toml of what an index has of the pins, and the names of the rest."""

    pylock: bytes
    not_on_index: frozenset[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """What the index answered; ``installer`` is the uv that is running here, for an image."""

    pylock: bytes
    not_on_index: frozenset[str]
    installer: Installer


def resolve_pins(
    pins: Sequence[Distribution], facts: Facts, *, machine: Target, uv: str, task: Task
) -> Resolved:
    """Ask the index, at once, for the very wheels that are installed, and for that of uv itself.

    Not on the index are a version that it does not have, one without a wheel for this Python
    and platform, and one none of whose wheels has the tags of the installed one: such a wheel
    was built elsewhere, and may hold other bytes.

    Raises:
        LockError: The index does not answer, refuses, or does not have this uv.
    """
    task.note(f"{len(pins)} pins")
    own = _own(machine, uv)
    asked = tuple(pin for pin in pins if _can_be_asked(pin))
    while True:
        beside = () if any(pin.name == own.name for pin in asked) else (own,)
        done = _compile((*asked, *beside), facts, machine=machine, uv=uv)
        if done.exit_code == 0:
            break
        refused = _without_wheel(done, asked)
        asked = tuple(pin for pin in asked if pin.name not in refused)
        task.note(f"{len(asked)} pins, {len(pins) - len(asked)} not on the index")
    narrowed = narrow(
        done.stdout, {pin.name: pin for pin in asked}, python=facts.environment.interpreter.minor
    )
    absent = frozenset(pin.name for pin in pins) - {pin.name for pin in asked}
    return Resolved(
        pylock=narrowed.pylock,
        not_on_index=absent | narrowed.not_on_index,
        installer=_installer(done.stdout, own) or resolve_installer(facts, machine=machine, uv=uv),
    )


def add_vendored(pylock: bytes, wheels: Mapping[str, bytes]) -> bytes:
    """Add rebuilt wheels, by their file names, as packages that lie in ``vendor/`` beside it."""
    document = _parse(pylock.decode())
    packages = [*document["packages"].unwrap(), *map(_vendored_package, wheels, wheels.values())]
    return _dump(document, packages)


def resolve_installer(facts: Facts, *, machine: Target, uv: str) -> Installer:
    """Find the wheel of the uv that is running here, where the environment has another one.

    Raises:
        LockError: The index does not have it, or does not answer.
    """
    own = _own(machine, uv)
    done = _compile((own,), facts, machine=machine, uv=uv)
    found = _installer(done.stdout, own) if done.exit_code == 0 else None
    if found is None:
        raise _not_locked(" ".join(done.stderr.split()))
    return found


def _own(machine: Target, uv: str) -> Distribution:
    version = machine.run((uv, "--version")).stdout.split()[1]
    return Distribution(name="uv", version=version, origin="index")


def _installer(text: str, own: Distribution) -> Installer | None:
    """Find a uv of this version in a lock file, if it is there."""
    for package in _parse(text).unwrap().get("packages", []):
        if (package["name"], package["version"]) == (own.name, own.version):
            wheel = package["wheels"][0]
            url = _without_user_info(wheel["url"])
            return Installer(version=own.version, url=url, sha256=wheel["hashes"]["sha256"])
    return None


def narrow(text: str, pins: Mapping[str, Distribution], *, python: str) -> Narrowed:
    """Keep of each pin the one wheel that was installed, known by its tags, and nothing else.

    Raises:
        LockError: The text is no lock file.
    """
    document = _parse(text)
    packages = document.unwrap().get("packages", [])
    kept = [
        _narrowed(package, wheel)
        for package in packages
        if (pin := pins.get(canonicalize_name(package["name"])))
        and (wheel := _installed_wheel(package, pin))
    ]
    document["created-by"] = "snapenv"
    document["requires-python"] = f"=={python}.*"
    has = {canonicalize_name(package["name"]) for package in kept}
    return Narrowed(pylock=_dump(document, kept), not_on_index=frozenset(pins) - has)


def _installed_wheel(package: Mapping[str, Any], pin: Distribution) -> Mapping[str, Any] | None:
    """Find the wheel whose file name has exactly the tags of the installed WHEEL file."""
    wheels = package.get("wheels", [])
    return next((wheel for wheel in wheels if _is_installed(wheel, pin.tags)), None)


def _narrowed(package: Mapping[str, Any], wheel: Mapping[str, Any]) -> dict[str, Any]:
    left = {key: value for key, value in package.items() if key not in ("wheels", "sdist")}
    if "index" in left:
        left["index"] = _without_user_info(left["index"])
    pinned = {key: wheel[key] for key in ("size", "hashes") if key in wheel}
    return {**left, "wheels": [{"url": _without_user_info(wheel["url"]), **pinned}]}


def _vendored_package(name: str, content: bytes) -> dict[str, Any]:
    distribution, version, _, _ = parse_wheel_filename(name)
    hashes = {"sha256": hashlib.sha256(content).hexdigest()}
    wheel = {"path": f"{VENDOR}/{name}", "size": len(content), "hashes": hashes}
    return {"name": distribution, "version": str(version), "wheels": [wheel]}


def _can_be_asked(pin: Distribution) -> bool:
    """Say whether a name and a version are of their grammars, and so no options to uv."""
    return is_normalized_name(pin.name) and _is_version(pin.version)


def _is_version(text: str) -> bool:
    """Say whether it can be asked for; anything else could change the requirement's meaning."""
    try:
        Version(text)
    except InvalidVersion:
        return False
    return True


def _compile(pins: Iterable[Distribution], facts: Facts, *, machine: Target, uv: str) -> Completed:
    requirements = "".join(f"{pin.name}=={Version(pin.version)}\n" for pin in pins)
    return machine.run(
        (
            *(uv, "pip", "compile", "requirements.in", "--format", "pylock.toml"),
            *("--no-deps", "--no-build", "--generate-hashes", "--no-header"),
            *("--quiet", "--no-progress"),
            *("--python-version", facts.environment.interpreter.minor),
            *("--python-platform", python_platform(facts)),
        ),
        files={"requirements.in": requirements.encode()},
        environment={"NO_COLOR": "1", **uv_index_environment()},
    )


def python_platform(facts: Facts) -> str:
    """Name the platform as ``uv --python-platform`` does, never newer than its glibc."""
    system = facts.hardware.system
    glibc = re.fullmatch(r"2\.(\d+)", system.glibc or "")
    if not glibc:
        return f"{system.machine}-unknown-linux-gnu"
    known = [minor for minor in _UV_GLIBC_MINORS if minor <= int(glibc[1])]
    return f"{system.machine}-" + (f"manylinux_2_{known[-1]}" if known else "manylinux2014")


def _without_wheel(done: Completed, pins: Iterable[Distribution]) -> frozenset[str]:
    """Read from uv's refusal which of the pins have no wheel on an index that did answer.

    Raises:
        LockError: It refused for another reason.
    """
    said = " ".join(done.stderr.split())
    if "No solution found" in said and not _NO_ANSWER.search(said):
        named = frozenset(pin.name for pin in pins if _is_named(pin, said))
        if named:
            return named
    raise _not_locked(said)


def _is_named(pin: Distribution, said: str) -> bool:
    name, version = re.escape(pin.name), re.escape(str(Version(pin.version)))
    return bool(
        re.search(rf"(?<![\w.-]){name}(?:=={version}(?![\w+!]|\.\w)| was not found in)", said)
    )


def _not_locked(said: str) -> LockError:
    return LockError(
        f"uv could not lock the pins: {said[-300:]}",
        hint="See that the index of pip's or uv's configuration answers.",
    )


def _is_installed(wheel: Mapping[str, Any], tags: Sequence[str]) -> bool:
    """Say whether a wheel has these tags, and a hash, and an address that other machines reach."""
    url = urlsplit(wheel.get("url", ""))
    if url.scheme not in ("https", "http") or "sha256" not in wheel.get("hashes", {}):
        return False
    try:
        _, _, _, offered = parse_wheel_filename(unquote(url.path).rpartition("/")[2])
    except InvalidWheelFilename:
        return False
    return {str(tag) for tag in offered} == set(tags)


def _dump(document: tomlkit.TOMLDocument, packages: Iterable[Mapping[str, Any]]) -> bytes:
    """Write a lock file with these packages, by name."""
    tables = tomlkit.aot()
    for package in sorted(packages, key=lambda package: str(package["name"])):
        tables.append(_table(package))
    document["packages"] = tables if tables.body else tomlkit.array()
    _validate(document)
    return tomlkit.dumps(document).encode()


def _table(package: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for key, value in package.items():
        table.add(key, _one_a_line(value) if key == "wheels" else value)
    return table


def _one_a_line(wheels: Iterable[Mapping[str, Any]]) -> Any:  # noqa: ANN401 - tomlkit's own array
    array = tomlkit.array()
    for wheel in wheels:
        inline = tomlkit.inline_table()
        inline.update(wheel)
        array.append(inline)
    return array.multiline(multiline=True)


def _without_user_info(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _parse(text: str) -> tomlkit.TOMLDocument:
    try:
        return tomlkit.parse(text)
    except TOMLKitError as error:
        raise _not_valid(error) from error


def _validate(document: tomlkit.TOMLDocument) -> None:
    try:
        Pylock.from_dict(document.unwrap())
    except PylockValidationError as error:
        raise _not_valid(error) from error


def _not_valid(error: Exception) -> LockError:
    return LockError(
        f"uv gave a lock file that is not valid: {error}", hint="Try another version of uv."
    )
