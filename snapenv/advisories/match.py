"""Which advisories are about a version of a package, and which versions mend it.

Source: https://ossf.github.io/osv-schema/#evaluation
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from snapenv.model.osv import PYPI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.osv import Advisory, Affected, Query, Range

_VERSIONS = ("ECOSYSTEM", "SEMVER")  # types of ranges
_BEFORE_ALL = "0"


def affects(advisory: Advisory, query: Query) -> bool:
    """Return whether an advisory that was not withdrawn is about a package."""
    return not advisory.withdrawn and any(
        _names(affected, query.version) for affected in _about(advisory, query.name)
    )


def fixed_in(advisory: Advisory, query: Query) -> tuple[str, ...]:
    """Return the versions above that of ``query`` in which it is mended, sorted."""
    current = _parse(query.version)
    fixes = {
        fixed
        for affected in _about(advisory, query.name)
        for each in _ranges(affected)
        for event in each.events
        if event.fixed and (fixed := _parse(event.fixed)) and (not current or fixed > current)
    }
    return tuple(map(str, sorted(fixes)))


def _about(advisory: Advisory, name: str) -> Iterator[Affected]:
    for affected in advisory.affected:
        package = affected.package
        if package and package.ecosystem == PYPI and canonicalize_name(package.name) == name:
            yield affected


def _names(affected: Affected, text: str) -> bool:
    version = _parse(text)
    if version is None:
        return text in affected.versions
    listed = (_parse(each) for each in affected.versions)
    return version in listed or any(_holds(each, version) for each in _ranges(affected))


def _ranges(affected: Affected) -> Iterator[Range]:
    return (each for each in affected.ranges if each.type in _VERSIONS)


def _holds(versions: Range, version: Version) -> bool:
    """Go through the events in the order of their versions, as the schema evaluates them."""
    affected = False
    for at, what in sorted(_events(versions), key=lambda event: (event[0] is not None, event[0])):
        if what == "introduced":
            affected = affected or at is None or version >= at
        elif at is None:
            continue
        elif (what == "fixed" and version >= at) or (what == "last_affected" and version > at):
            affected = False
    return affected


def _events(versions: Range) -> Iterator[tuple[Version | None, str]]:
    """Yield versions, None for what is before all, with what happens there."""
    for event in versions.events:
        if event.introduced == _BEFORE_ALL:
            yield None, "introduced"
            continue
        for text, what in (
            (event.introduced, "introduced"),
            (event.fixed, "fixed"),
            (event.last_affected, "last_affected"),
        ):
            version = _parse(text) if text else None
            if version:
                yield version, what


def _parse(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
