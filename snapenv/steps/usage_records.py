"""Read what a report of usage is made of, from this machine's ledger or the team's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from snapenv.places import exists
from snapenv.sizes import counted
from snapenv.steps.handing_over import hand_over_to
from snapenv.usage.charges import UsageRecords
from snapenv.usage.ledger import ledger_path, open_ledger, reading_ledger
from snapenv.usage.months import month_span
from snapenv.usage.postgres import open_team_ledger, team_url

if TYPE_CHECKING:
    from snapenv.ports import Services
    from snapenv.usage.postgres import TeamLedger
    from snapenv.usage.reading import SharedReading


class LedgerView(Struct, frozen=True, kw_only=True):
    """What a ledger tells of some months, and whose view of it that is."""

    records: UsageRecords
    source: Literal["machine", "team"] = "machine"
    role: Literal["all", "member", "manager", "finance"] = "all"
    warnings: tuple[str, ...] = ()


def read_records(services: Services, first: str, last: str) -> LedgerView:
    """Return what the ledger holds of months, the last one included; nothing where there is none.

    A team's ledger, where SNAPENV_LEDGER names one, is given before what this machine has for it.

    Raises:
        LedgerError: The ledger is damaged, or is not one.
        LedgerVersionError: A newer snapenv made it.
        PlaceBusyError: Another process has been writing for long.
        TeamLedgerError: The team's ledger does not answer, or refuses.
        UsageError: Its address is none.
    """
    if url := team_url(os.environ):
        with open_team_ledger(url) as team:
            return _read_team(team, services, first, last)
    with reading_ledger(services.state, os.environ) as ledger:
        records = records_of(ledger, first, last) if ledger else UsageRecords()
    return LedgerView(records=records)


def _read_team(team: TeamLedger, services: Services, first: str, last: str) -> LedgerView:
    """Read what the login sees most of: sums of all, or the runs of its projects."""
    warnings = _hand_over(team, services)
    for role in ("manager", "finance"):
        if role in team.roles:
            sums = team.sums(role, first, last)
            records = UsageRecords(sums=sums, machine_gpus=team.machine_gpus())
            return LedgerView(records=records, source="team", role=role, warnings=warnings)
    records = records_of(team, first, last)
    return LedgerView(records=records, source="team", role="member", warnings=warnings)


def _hand_over(team: TeamLedger, services: Services) -> tuple[str, ...]:
    """Hand over what this machine has; return what to look out for."""
    path = ledger_path(services.state, os.environ) if services.state else None
    if path is None or not exists(path) or "member" not in team.roles:
        return ()
    with open_ledger(path) as ledger:
        handed = hand_over_to(team, ledger)
    warnings = []
    if handed.waiting:
        runs = counted(handed.waiting, "run of yours counts", "runs of yours count")
        warnings.append(
            f"{runs} for no project, as you are no member of the one that is named: who keeps the"
            " ledger can add you by snapenv usage init URL --member"
        )
    if handed.refused:
        rows = counted(handed.refused, "row of this machine is", "rows of this machine are")
        warnings.append(
            f"{rows} not in the team's ledger: another login handed over the run, or the server"
            " cannot hold it"
        )
    return tuple(warnings)


def records_of(ledger: SharedReading, first: str, last: str) -> UsageRecords:
    """Return what any ledger holds of months, the last one included."""
    since_ms, until_ms = month_span(first)[0], month_span(last)[1]
    return UsageRecords(
        runs=ledger.runs(since_ms, until_ms),
        run_gpus=ledger.run_gpus(first, last),
        corrections=ledger.corrections(first, last),
        events=ledger.events(since_ms, until_ms),
        machine_gpus=ledger.machine_gpus(),
    )
