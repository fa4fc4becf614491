"""Decide what of an environment is pinned, and refuse by name what cannot be carried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from snapenv.model.facts import Facts
    from snapenv.model.python import Distribution, Environment, Proof

# https://github.com/ultralytics/ultralytics/issues/18027: published by an attacker.
MALICIOUS = frozenset(
    ("ultralytics", version) for version in ("8.3.41", "8.3.42", "8.3.45", "8.3.46")
)

_CANNOT_CARRY = {
    "url": "was installed from a URL",
    "vcs": "was installed from version control",
    "editable": "is installed editable",
    "local": "was installed from a local file or folder",
    "conda": "was installed by conda",
    "system": "belongs to the operating system's packages",
}
_NAMED = 5  # culprits in one message


def pinned(environment: Environment) -> tuple[Distribution, ...]:
    """Give the distributions that the lock installs; the rest is the base image's own."""
    return tuple(found for found in environment.distributions if found.origin != "base")


def proofs(environment: Environment) -> Mapping[str, Proof]:
    """Say of each distribution how we know that it is what was captured.

    The index's own RECORD is not asked yet: what comes from an index is ``none`` until a
    restore has compared every file.
    """
    return {
        found.name: "base" if found.origin == "base" else "none"
        for found in environment.distributions
    }


def refuse_what_cannot_be_carried(facts: Facts) -> None:
    """Check that every byte of the environment would come back.

    Raises:
        LockError: A distribution is from elsewhere than an index or the base image, was edited,
            or is known to be malicious; or a file belongs to no distribution.
    """
    environment = facts.environment
    for found in environment.distributions:
        if (found.name, found.version) in MALICIOUS:
            raise LockError(
                f"{found.name} {found.version} is a known malicious release",
                hint="Install another version, and treat this machine as compromised.",
            )
    _refuse(
        (
            f"{found.name} {found.version} {_CANNOT_CARRY[found.origin]}"
            for found in environment.distributions
            if found.origin in _CANNOT_CARRY
        ),
        hint="Install it from an index first; other origins cannot be carried yet.",
    )
    _refuse(
        (
            f"{path} is not what {found.name} {found.version} installed"
            for found in pinned(environment)
            if found.files
            for path in (*found.files.edited, *found.files.missing)
        ),
        hint="Reinstall the package; edited files cannot be carried yet.",
    )
    _refuse(
        (f"{path} belongs to no package" for path in environment.unowned),
        hint="Move these files out of site-packages; they cannot be carried yet.",
    )


def _refuse(culprits: Iterable[str], *, hint: str) -> None:
    found = list(culprits)
    if not found:
        return
    more = f"; and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    raise LockError("; ".join(found[:_NAMED]) + more, hint=hint)
