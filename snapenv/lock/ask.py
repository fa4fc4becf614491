"""Ask the index, through uv, which wheels it offers for the pins.

Source: https://docs.astral.sh/uv/reference/cli/#uv-pip-compile
"""

from __future__ import annotations

import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from msgspec import Struct, field
from msgspec.structs import replace
from packaging.utils import (
    InvalidWheelFilename,
    canonicalize_name,
    is_normalized_name,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

from snapenv.errors import LockError, PackageIndexError
from snapenv.model.uv import UvSettings, first_words
from snapenv.model.wheels import IndexWheel
from snapenv.network.address import is_address
from snapenv.ports import Target
from snapenv.toml import parse_any_toml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution
    from snapenv.ports import Completed, Services, Task

# An index that asked for a password, or that uv was told not to ask, has not said no.
_NO_ANSWER = re.compile(r"hint: An index|could not be queried|network was disabled")
_UNREACHED = re.compile(
    r"could not be queried|returned a \d{3} |[Ff]ailed to fetch|error sending request|dns error"
    r"|HTTP status (?:client|server) error"
)
_INVALID = re.compile(
    r"Received some unexpected|(?:Missing|Unsupported) `Content-Type`|Could not parse absolute URL"
)
_STRATEGY = "UV_INDEX_STRATEGY"
_FROM = re.compile(r"(?m)^(?P<name>[\w.-]+)==\S+\n +# from (?P<url>\S+)$")
# What `uv pip compile --python-platform` knows, as manylinux_2_N; before them, manylinux2014.
_UV_GLIBC_MINORS = (28, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40)

Offers = dict[str, tuple[IndexWheel, ...]]
"""The wheels that an index offers, by distribution; none where it does not have the version."""


class Uv(Struct, frozen=True, kw_only=True):
    """The uv that is running here, and what it is told; never written."""

    machine: Target
    program: str
    settings: UvSettings = field(default_factory=UvSettings)
    offline: bool = False

    def version(self) -> str:
        """Return its version, such as ``0.9.3``."""
        return self.machine.run((self.program, "--version")).stdout.split()[1]

    def compile(
        self, requirements: str, *words: str, files: Mapping[str, bytes] | None = None
    ) -> Completed:
        """Resolve requirements; the Python that uv needs for that is snapenv's own.

        ``files`` are what the words name.
        """
        arguments = ("pip", "compile", "requirements.in", "--python", sys.executable, *words)
        return self.machine.run(
            self.settings.words(
                self.program, *arguments, *(("--offline",) if self.offline else ())
            ),
            files={
                "requirements.in": requirements.encode(),
                **(files or {}),
                **self.settings.files,
            },
            environment=self.settings.variables,
        )

    def install(self, lock: str, *words: str) -> Completed:
        """Install what is locked, of wheels alone; the words say where, and for which Python."""
        arguments = ("pip", "install", "--quiet", "--require-hashes", "--no-deps", "--no-build")
        source = ("--python", sys.executable, "--requirements", "requirements.txt")
        return self.machine.run(
            self.settings.words(self.program, *arguments, *words, *source),
            files={"requirements.txt": lock.encode(), **self.settings.files},
            environment=self.settings.variables,
        )


def uv_here(services: Services, *, offline: bool = False) -> Uv:
    """Return uv as it asks the configured indexes."""
    return Uv(
        machine=services.local(sys.executable),
        program=services.uv(),
        settings=services.wheels.uv_settings("ask"),
        offline=offline,
    )


def ask_index(pins: Sequence[Distribution], facts: Facts, uv: Uv, task: Task) -> Offers:
    """Ask for the wheels of the pinned versions that fit this Python and platform, at once.

    Those whose names have exactly the tags of the installed wheel come first.

    Raises:
        LockError: The index does not answer, or refuses.
    """
    task.note(f"{len(pins)} pins")
    offers = _ask([pin for pin in pins if _can_be_asked(pin)], facts, uv)
    indexes = _indexes([pin for pin in pins if offers.get(pin.name)], facts, uv)
    return {
        pin.name: tuple(
            replace(wheel, index=wheel.index or indexes.get(pin.name))
            for wheel in _likely(pin, offers.get(pin.name, ()))
        )
        for pin in pins
    }


def with_tags(pin: Distribution, wheels: Iterable[IndexWheel]) -> IndexWheel | None:
    """Return the wheel whose name has exactly the tags of the installed one, if it is there."""
    return next((wheel for wheel in wheels if _has_tags(wheel, pin)), None)


def python_platform(facts: Facts) -> str:
    """Name the platform as ``uv --python-platform`` does, never newer than its glibc."""
    system = facts.hardware.system
    glibc = re.fullmatch(r"2\.(\d{1,9})", system.glibc or "")
    if not glibc:
        return f"{system.machine}-unknown-linux-gnu"
    known = [minor for minor in _UV_GLIBC_MINORS if minor <= int(glibc[1])]
    return f"{system.machine}-" + (f"manylinux_2_{known[-1]}" if known else "manylinux2014")


def _ask(pins: Sequence[Distribution], facts: Facts, uv: Uv) -> Offers:
    """Ask, and again for the rest where the index has no wheel of some."""
    if not pins:
        return {}
    done = _compile(pins, facts, uv)
    if done.exit_code == 0:
        return _offers(done.stdout)
    refused = _without_wheel(done, pins)
    _see_that_all_answered([pin for pin in pins if pin.name in refused], facts, uv)
    return _ask([pin for pin in pins if pin.name not in refused], facts, uv)


def _see_that_all_answered(pins: Sequence[Distribution], facts: Facts, uv: Uv) -> None:
    """Where uv merges several indexes it does not say that one of them refused: ask one by one.

    Raises:
        LockError: An index did not answer, so that nobody knows what it has.
    """
    if _STRATEGY in uv.settings.variables:
        alone = {key: value for key, value in uv.settings.variables.items() if key != _STRATEGY}
        done = _compile(
            pins, facts, replace(uv, settings=dataclasses.replace(uv.settings, variables=alone))
        )
        if done.exit_code != 0 and _NO_ANSWER.search(" ".join(done.stderr.split())):
            raise not_locked(" ".join(done.stderr.split()))


def _can_be_asked(pin: Distribution) -> bool:
    """Return whether a name and a version are of their grammars, and so no options to uv."""
    try:
        Version(pin.version)
    except InvalidVersion:
        return False
    return is_normalized_name(pin.name)


def _indexes(pins: Sequence[Distribution], facts: Facts, uv: Uv) -> Mapping[str, str]:
    """Return the address of the index that each pin came from, where it is one over HTTP.

    uv writes it into no lock file, but says it of the requirements; it answers from what it has
    just been told, and where it kept nothing, nothing is known.
    """
    if not pins:
        return {}
    form = ("--format", "requirements.txt", "--emit-index-annotation", "--no-annotate")
    done = _compile(pins, facts, replace(uv, offline=True), form=form)
    named = (
        (canonicalize_name(line["name"]), _plain(line["url"]))
        for line in _FROM.finditer(done.stdout)
    )
    return {name: url for name, url in named if url}


def _plain(url: str) -> str | None:
    """Return an address without what may be a credential; None if no other machine reaches it."""
    parts = urlsplit(url if is_address(url) else "")
    if parts.scheme not in ("https", "http"):
        return None
    return _without_user_info(urlunsplit(parts._replace(query="", fragment="")))


def _compile(
    pins: Iterable[Distribution],
    facts: Facts,
    uv: Uv,
    *,
    form: Sequence[str] = ("--format", "pylock.toml", "--generate-hashes"),
) -> Completed:
    requirements = "".join(f"{pin.name}=={Version(pin.version)}\n" for pin in pins)
    return uv.compile(
        requirements,
        *form,
        *("--no-deps", "--no-build", "--no-header", "--quiet"),
        *("--python-version", _python_version(facts)),
        *("--python-platform", python_platform(facts)),
    )


def _python_version(facts: Facts) -> str:
    """Return the version that is asked for; a release candidate counts as what it will be."""
    version = facts.environment.interpreter.version
    return re.split(r"[^0-9.]", version)[0]


def _without_wheel(done: Completed, pins: Iterable[Distribution]) -> frozenset[str]:
    """Read from uv's refusal which of the pins have no wheel on an index that did answer.

    Raises:
        LockError: It refused for another reason.
    """
    words = " ".join(done.stderr.split())
    if "No solution found" in words and not _NO_ANSWER.search(words):
        named = frozenset(pin.name for pin in pins if _is_named(pin, words))
        if named:
            return named
    raise not_locked(words)


def not_locked(words: str) -> LockError | PackageIndexError:
    """Return the error that uv gave no lock, in its first words: they say what went wrong."""
    why = first_words(words)
    if _UNREACHED.search(words):
        return PackageIndexError(
            f"a package index cannot be asked: {why}",
            hint="See that this machine reaches the index of pip's or uv's configuration. "
            "--prove=off works offline, with what uv has kept.",
        )
    if _INVALID.search(words):
        return PackageIndexError(
            f"a package index sends an invalid answer: {why}",
            hint="Open the address and see what answers there: it may be a proxy or a login page.",
        )
    return LockError(
        f"uv could not lock the pins: {why}",
        hint="See that the index of pip's or uv's configuration answers.",
    )


def _is_named(pin: Distribution, words: str) -> bool:
    name, version = re.escape(pin.name), re.escape(str(Version(pin.version)))
    return bool(
        re.search(rf"(?<![\w.-]){name}(?:=={version}(?![\w+!]|\.\w)| was not found in)", words)
    )


def _offers(text: str) -> Offers:
    """Read what uv gives, wheel by wheel: one with an odd name or without a hash is left out.

    (packaging's ``Pylock`` would refuse the whole file for it.)
    """
    try:
        packages = parse_any_toml(text).get("packages", [])
        return {canonicalize_name(package["name"]): _wheels(package) for package in packages}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LockError(
            f"uv gave a lock file that is not valid: {error}", hint="Try another version of uv."
        ) from error


def _wheels(package: Mapping[str, Any]) -> tuple[IndexWheel, ...]:
    wheels = (
        IndexWheel(
            name=canonicalize_name(package["name"]),
            version=package["version"],
            url=_without_user_info(wheel.get("url", "")),
            sha256=wheel.get("hashes", {}).get("sha256", ""),
            size_bytes=wheel.get("size"),
            index=_plain(package.get("index", "")),
        )
        for wheel in package.get("wheels", [])
    )
    return tuple(wheel for wheel in wheels if _can_be_fetched(wheel))


def _can_be_fetched(wheel: IndexWheel) -> bool:
    """Return whether it has a hash, and an address that other machines reach."""
    return bool(wheel.sha256) and urlsplit(wheel.url).scheme in ("https", "http")


def _likely(pin: Distribution, wheels: Iterable[IndexWheel]) -> tuple[IndexWheel, ...]:
    return tuple(sorted(wheels, key=lambda wheel: not _has_tags(wheel, pin)))


def _has_tags(wheel: IndexWheel, pin: Distribution) -> bool:
    try:
        _, _, _, offered = parse_wheel_filename(wheel.filename)
    except InvalidWheelFilename:
        return False
    return {str(tag) for tag in offered} == set(pin.tags)


def _without_user_info(url: str) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
