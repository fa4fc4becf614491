"""Make a team's ledger, and say who sees what of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Outcome
from snapenv.model.usage import ProjectMember, TeamGrants
from snapenv.usage.postgres_setup import set_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from snapenv.model.results import UsageInitResult
    from snapenv.ports import Services


def usage_init(
    url: str, services: Services, *, add: TeamGrants, remove: Iterable[str]
) -> Outcome[UsageInitResult]:
    """Make what is missing of a ledger in a database, and grant and take away rights.

    Each of ``remove`` is a login, or ``LOGIN=PROJECT``.

    Raises:
        UsageError: The address is none.
        NotFoundError: A login does not exist.
        TeamLedgerError: The server does not answer, or refuses.
        LedgerError: The database holds something else.
        LedgerVersionError: A newer snapenv made the ledger.
    """
    with services.progress.task("Making the team's ledger"):
        result = set_up(url, add=add, remove=[_to_remove(word) for word in remove])
    return Outcome(command="usage init", result=result, lines=tuple(_lines(result)))


def _to_remove(word: str) -> ProjectMember | str:
    login, _, project = word.rpartition("=")
    return ProjectMember(login, project) if login else word


def _lines(result: UsageInitResult) -> Iterator[str]:
    made = "is made" if result.tables_made else "was there already"
    yield f"the ledger in {result.place} {made}"
    if result.roles_made:
        yield f"roles made:  {', '.join(result.roles_made)}"
    if result.tables_made:
        yield f"tables made: {', '.join(result.tables_made)}"
    grants = result.grants
    for project in sorted({member.project for member in grants.members}):
        logins = (member.login for member in grants.members if member.project == project)
        yield f"project {project}: {', '.join(logins)}"
    roles = {"managers": grants.managers, "finance": grants.finance, "services": grants.services}
    yield from (f"{name}: {', '.join(logins)}" for name, logins in roles.items() if logins)
    yield "each of them sets SNAPENV_LEDGER to this address, with a login of their own"
