"""Handing this machine's ledger over to the team's: what was written since the last time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from snapenv.errors import LedgerVersionError, TeamLedgerError, UsageError
from snapenv.json_text import read_json
from snapenv.usage.postgres import RefusedRowError, open_team_ledger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.usage.ledger import Ledger, OutboxLine
    from snapenv.usage.postgres import TeamLedger

_AT_ONCE = 200  # rows


class HandedOver(Struct, frozen=True, kw_only=True):
    """What came of it; nothing is lost by a failure, as each row stays until it is taken."""

    taken: int = 0  # rows
    refused: int = 0  # rows that the server does not take; they stay in the outbox
    waiting: int = 0  # runs for a project that is not the login's
    trouble: str | None = None  # why it ended before all was handed over, in words


def hand_over(ledger: Ledger, url: str) -> HandedOver:
    """Hand over all that the team's ledger has not yet, by transactions of at most 200 rows.

    It may be called at any time and by several processes: a row that comes twice is the same row.
    A server that does not answer takes five seconds.

    Raises:
        LedgerError: This machine's ledger cannot be read.
        PlaceBusyError: Another process has been writing it for ten seconds.
        WriteError: The disk is full; what was taken is handed over once more then.
    """
    if not ledger.outbox(1):
        return HandedOver()
    handing = _Handing(ledger)
    try:
        with open_team_ledger(url) as team:
            handing.hand_over_all(team)
    except (TeamLedgerError, LedgerVersionError, UsageError) as error:
        return handing.result(trouble=error.message)
    return handing.result()


def hand_over_to(team: TeamLedger, ledger: Ledger) -> HandedOver:
    """Hand over likewise to a team's ledger that is open already.

    Raises:
        TeamLedgerError: The server went away, or the login is no member.
        LedgerError, PlaceBusyError, WriteError: As above.
    """
    handing = _Handing(ledger)
    handing.hand_over_all(team)
    return handing.result()


class _Handing:
    """Counts what is handed over."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._taken = 0
        self._waiting = 0
        self._refused: set[int] = set()  # lines of the outbox

    def result(self, *, trouble: str | None = None) -> HandedOver:
        return HandedOver(
            taken=self._taken,
            refused=len(self._refused),
            waiting=self._waiting,
            trouble=trouble,
        )

    def hand_over_all(self, team: TeamLedger) -> None:
        while lines := self._next_lines():
            self._hand_over(lines, team)

    def _next_lines(self) -> list[OutboxLine]:
        lines = self._ledger.outbox(_AT_ONCE + len(self._refused))
        return [line for line in lines if line.id not in self._refused][:_AT_ONCE]

    def _hand_over(self, lines: Sequence[OutboxLine], team: TeamLedger) -> None:
        try:
            answer = team.hand_over(lines)
        except RefusedRowError:
            self._hand_over_each(lines, team)
            return
        taken = {line.id for line in lines if _key(line) not in answer.refused}
        self._ledger.handed_over(taken)
        self._refused.update(line.id for line in lines if line.id not in taken)
        self._taken += len(taken)
        self._waiting = answer.waiting

    def _hand_over_each(self, lines: Sequence[OutboxLine], team: TeamLedger) -> None:
        """Find those that the server refuses by handing each over alone."""
        if len(lines) == 1:
            self._refused.add(lines[0].id)
            return
        for line in lines:
            self._hand_over([line], team)


def _key(line: OutboxLine) -> str | None:
    """Return the key of the run that a row belongs to; None of a GPU of a machine."""
    key = read_json(line.body, dict[str, Any]).get("key")
    return key if isinstance(key, str) else None
