"""Ask a database of advisories for the packages of an environment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from packaging.version import InvalidVersion, Version

from snapenv.advisories.database import find_in_database
from snapenv.advisories.match import affects, fixed_in
from snapenv.model.osv import Advisory, Query
from snapenv.model.outcome import Check, Outcome
from snapenv.model.results import AuditResult, FoundAdvisory
from snapenv.model.wheels import FromConda, Vendored
from snapenv.report.advisories import advisory_lines
from snapenv.sizes import counted
from snapenv.steps.snapshots import read_source
from snapenv.steps.source import resolve_source

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.snapshot import Lock
    from snapenv.ports import Services


class Audit(Struct, frozen=True, kw_only=True):
    """What a user may ask of an audit."""

    ref: str
    repository: str
    service: str  # the address of a service
    database: Path | None = None  # a copy of its database, in its place


def audit(request: Audit, services: Services) -> Outcome[AuditResult]:
    """Find the advisories about the packages of a snapshot, an archive or an image.

    A service is told of no package that no index has.

    Raises:
        AdvisoryServiceError: The service does not answer.
        ArchiveError: The database is damaged.
        NotFoundError: The REF names nothing, or there is no such database.
    """
    source = resolve_source(request.ref, repository=request.repository, services=services)
    snapshot = read_source(source, services)
    queries, skipped = _queries(snapshot.lock, local=request.database is not None)
    matches, held = _find(request, queries, services)
    advisories = tuple(_advisory(query, advisory) for query, advisory in matches)
    result = AuditResult(
        snapshot=snapshot.digest,
        database=str(request.database) if request.database else request.service,
        held=held,
        packages=len(queries),
        skipped=skipped,
        advisories=advisories,
    )
    return Outcome(
        command="audit",
        result=result,
        checks=tuple(map(_check, advisories)),
        lines=tuple(advisory_lines(result)),
        warnings=_warnings(snapshot.lock),
    )


def _queries(lock: Lock, *, local: bool) -> tuple[tuple[Query, ...], tuple[str, ...]]:
    """Return what to ask for, and the names of what a service is not to hear of."""
    packages = lock.environment.distributions
    own = {
        name for name, locked in lock.packages.items() if isinstance(locked, Vendored) and not local
    }
    queries = tuple(
        Query(name=each.name, version=_public(each.version))
        for each in packages
        if each.name not in own
    )
    return queries, tuple(sorted(own))


def _public(version: str) -> str:
    """Return a version without its local part, which no database knows: 2.11.0+cu130 is 2.11.0."""
    try:
        return Version(version).public
    except InvalidVersion:
        return version


def _find(
    request: Audit, queries: Sequence[Query], services: Services
) -> tuple[Iterable[tuple[Query, Advisory]], int | None]:
    if request.database:
        with services.progress.task(f"Reading {request.database}"):
            return find_in_database(request.database, queries)
    with services.progress.task(f"Asking {request.service} for {counted(len(queries), 'package')}"):
        known = services.advisories(request.service).find(queries)
    matches = [(query, each) for query in queries for each in known if affects(each, query)]
    return matches, None


def _advisory(query: Query, advisory: Advisory) -> FoundAdvisory:
    return FoundAdvisory(
        id=advisory.id,
        aliases=advisory.aliases,
        package=query.name,
        version=query.version,
        malicious=advisory.malicious,
        severity=advisory.severity,
        summary=advisory.summary or None,
        fixed_in=fixed_in(advisory, query),
    )


def _check(advisory: FoundAdvisory) -> Check:
    fix = f"Update {advisory.package} to {advisory.fixed_in[0]}." if advisory.fixed_in else None
    return Check(
        id=f"advisory.{advisory.id}",
        ok=False,
        expected=f"no advisory about {advisory.package} {advisory.version}",
        actual=advisory.id,
        fix="Remove it at once." if advisory.malicious else fix,
        package=advisory.package,
    )


def _warnings(lock: Lock) -> tuple[str, ...]:
    conda = len(lock.conda.environment.packages) if lock.conda else 0
    of_conda = sum(isinstance(each, FromConda) for each in lock.packages.values())
    if not conda:
        return ()
    return (
        (
            f"{counted(conda, 'package')} of conda are in no such database; "
            f"the {of_conda} of Python among them are asked for by their names on PyPI"
        ),
    )
