"""Decide what of an environment is pinned and vendored; refuse by name what cannot be carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import LockError
from snapenv.lock.paths import place_in_environment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution, Environment

# https://github.com/ultralytics/ultralytics/issues/18027: published by an attacker.
MALICIOUS = frozenset(
    ("ultralytics", version) for version in ("8.3.41", "8.3.42", "8.3.45", "8.3.46")
)

_VENDORED = frozenset(["url", "vcs", "editable", "local"])
_CANNOT_CARRY = {
    "conda": "was installed by conda, compiled against its libraries",
    "system": "belongs to the operating system's packages",
}
_NAMED = 5  # culprits in one message


def pinned(environment: Environment) -> tuple[Distribution, ...]:
    """Return the distributions that came from an index, which may still give them back."""
    return tuple(package for package in environment.distributions if package.origin == "index")


def vendored(
    environment: Environment, not_on_index: Collection[str] = ()
) -> tuple[Distribution, ...]:
    """Return the distributions whose wheels are rebuilt here, and travel with the snapshot.

    ``not_on_index`` are the names of those that came from an index and that it does not have.
    """
    return tuple(
        package
        for package in environment.distributions
        if package.origin in _VENDORED
        or _is_pure_conda(package)
        or (package.origin == "index" and package.name in not_on_index)
    )


def _is_pure_conda(package: Distribution) -> bool:
    """Return whether conda installed what would run anywhere."""
    return (
        package.origin == "conda"
        and package.files is not None
        and not package.compiled
        and all(tag.endswith("-none-any") for tag in package.tags)
    )


def refuse_vendored(own: Iterable[Distribution]) -> None:
    """Check that nothing would have to travel, where nothing may.

    Raises:
        LockError: A distribution cannot be had from an index.
    """
    _refuse(
        (
            f"no index gives {package.name} {package.version} back as it is installed"
            for package in own
        ),
        hint="Let its bytes travel with --vendor=missing, or reinstall it from the index.",
    )


def refuse_what_cannot_be_carried(facts: Facts) -> None:
    """Check that every byte of the environment can come back.

    Raises:
        LockError: A distribution is conda's or the operating system's, or known to be malicious;
            something leads out of the environment; what is to be carried cannot be; or no
            snapshot can hold a file's name.
    """
    environment = facts.environment
    _refuse_malicious(environment)
    _refuse(
        facts.conda.damaged if facts.conda else (),
        hint="Install its package again with conda, or remove it, and capture again.",
    )
    _refuse(
        (
            f"{package.name} {package.version} {_CANNOT_CARRY[package.origin]}"
            for package in environment.distributions
            if package.origin in _CANNOT_CARRY
            and not _is_pure_conda(package)
            and not (facts.conda and package.files is None)  # a package of conda holds it
        ),
        hint="Make a venv of its own and install it there from an index.",
    )
    _refuse(
        (f"{culprit} leads out of the environment" for culprit in environment.outside),
        hint="Install what it reaches with pip install, or take it out of the import path.",
    )
    _refuse(
        (f"--carry {culprit}" for culprit in environment.not_carried),
        hint="Name a file or folder beside the sources of a package, as the warning does.",
    )
    for untracked in environment.untracked:
        place_in_environment("site-packages", untracked.path, environment.interpreter.minor)


def _refuse_malicious(environment: Environment) -> None:
    for package in environment.distributions:
        if (package.name, package.version) in MALICIOUS:
            raise LockError(
                f"{package.name} {package.version} is a known malicious release",
                hint="Install another version, and treat this machine as compromised.",
            )


def _refuse(culprits: Iterable[str], *, hint: str) -> None:
    named = list(culprits)
    if not named:
        return
    more = f"; and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    raise LockError("; ".join(named[:_NAMED]) + more, hint=hint)
