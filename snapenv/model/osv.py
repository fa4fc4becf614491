"""Advisories as databases of the OSV schema hold them: only what is read of them.

Source: https://ossf.github.io/osv-schema/
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

PYPI = "PyPI"  # the ecosystem of Python's packages
_MALICIOUS = "MAL-"  # the prefix of ids of malicious packages, as the schema lists it


class Query(Struct, frozen=True, kw_only=True):
    """A package that something may be known of."""

    name: str  # normalised
    version: str  # without its local part: "2.11.0"


class Event(Struct, frozen=True):
    """A version at which something begins or ends to be affected; one of these is set."""

    introduced: str | None = None  # "0" is before every version
    fixed: str | None = None
    last_affected: str | None = None


class Range(Struct, frozen=True):
    """Versions from one event to the next; those of type ``GIT`` are commits."""

    type: str
    events: tuple[Event, ...] = ()


class AffectedPackage(Struct, frozen=True):
    """The name of a package, in its ecosystem."""

    ecosystem: str = ""
    name: str = ""


class Affected(Struct, frozen=True):
    """The versions of one package that an advisory is about."""

    package: AffectedPackage | None = None
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()


class Advisory(Struct, frozen=True):
    """One advisory."""

    id: str
    aliases: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    withdrawn: str | None = None  # when, RFC 3339
    affected: tuple[Affected, ...] = ()
    database_specific: dict[str, Any] = {}

    @property
    def malicious(self) -> bool:
        """Whether it says that a release does harm on purpose."""
        return self.id.startswith(_MALICIOUS)

    @property
    def severity(self) -> str | None:
        """The word of its database for how bad it is: ``HIGH``; None where it has none."""
        severity = self.database_specific.get("severity")
        return severity if isinstance(severity, str) else None
