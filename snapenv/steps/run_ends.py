"""Whether runs go on, seen from outside; those whose end nobody else notes are closed."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.errors import EngineError, EngineMissingError
from snapenv.launch.records import now, read_end
from snapenv.model.launch import RunEnd, RunRecord
from snapenv.model.sampling import Moment
from snapenv.ports import Sensors, Services
from snapenv.steps import watching
from snapenv.steps.launching import end_unseen
from snapenv.usage.ledger import Ledger
from snapenv.usage.sampling import Watched

if TYPE_CHECKING:
    from snapenv.model.launch import RunState

_PATIENCE_MS = 10_000  # with a command that waits for the end itself, and knows more of it
_JUST_NOW_MS = 2000  # an engine tells ends to the second


class Tracked(Struct, frozen=True, kw_only=True):
    """A run, as it was at the last look."""

    watched: Watched
    record: RunRecord | None  # None where a command runs it that keeps none: verify
    keeper: tuple[int, int] | None  # the command that began it, by its PID and start
    start_boot_ms: int
    pid: int | None = None
    ended: Moment | None = None  # when it was first seen to be over
    orphan: bool = False  # it began before the machine's last start
    seen: bool = False  # by this sampler, while it went on
    unseen: bool = False  # nobody has seen how it ended
    training: watching.Watched | None = None


class RunEnds(Struct, frozen=True, kw_only=True):
    """What it takes to find out whether a run goes on, and to close it."""

    ledger: Ledger
    services: Services
    sensors: Sensors
    interval_ms: int  # between two looks

    def see(self, tracked: Tracked, at: Moment) -> Tracked:
        """Find out whether a run goes on; one that is over is closed, unless its command does.

        Raises:
            EngineError, EngineMissingError, NotFoundError: The engine has lost it meanwhile.
            PlaceBusyError, WriteError: Its end cannot be written down.
        """
        record, run = tracked.record, tracked.watched.run
        if record is None:
            if tracked.orphan or self._keeper_ended(tracked):
                return self._close_orphan(tracked, at)
            return tracked
        runs = self.services.containers if record.engine else self.services.processes
        try:
            state = runs.state(run.run)
        except (EngineMissingError, EngineError):  # it may come back, and the run with it
            return self._close_orphan(tracked, at) if tracked.orphan else tracked
        if self._may_start(tracked, state):
            return tracked
        if state is None:
            return self._close_orphan(tracked, at)
        if state.running:
            return replace(tracked, pid=state.pid if self._is_local(record) else None)
        ended = tracked.ended or _end_moment(tracked, state, at)
        is_late = at.boot_ms - ended.boot_ms >= _PATIENCE_MS
        if not (record.detached or tracked.orphan or self._keeper_ended(tracked) or is_late):
            return replace(tracked, ended=ended)
        return self._close(replace(tracked, ended=ended), record, state, at)

    def _may_start(self, tracked: Tracked, state: RunState | None) -> bool:
        """Return whether the command that began a run is there, and has yet to start it."""
        waits = state is None or state.status == "created"
        is_there = tracked.keeper is not None and not self._keeper_ended(tracked)
        return waits and is_there and not tracked.orphan

    def _is_local(self, record: RunRecord) -> bool:
        return record.engine is None or self.services.engine.describe().local

    def _keeper_ended(self, tracked: Tracked) -> bool:
        """Return whether the command that began a run is gone, as far as it is known."""
        keeper = tracked.keeper
        return keeper is not None and self.sensors.start_ticks(keeper[0]) != keeper[1]

    def _close(self, tracked: Tracked, record: RunRecord, state: RunState, at: Moment) -> Tracked:
        """Write down the end of a run that nobody else has seen."""
        run, runs = tracked.watched.run, self.services.processes
        if record.engine:
            runs = self.services.containers
        end = read_end(self.services.state or Path(), run.run)
        end = end or end_unseen(record, runs, state, self.services)
        if end.exit_code is None:
            return self._close_orphan(tracked, at)
        ended = tracked.ended or tracked.watched.since
        return self._closed(tracked, ended, end)

    def _close_orphan(self, tracked: Tracked, at: Moment) -> Tracked:
        """End a run whose exit code nobody has seen: now, or at the last sign of its life."""
        since, seen_ms = tracked.watched.since, at.boot_ms - tracked.watched.since.boot_ms
        ended = (tracked.ended or at) if tracked.seen and seen_ms <= self.interval_ms * 2 else since
        end = RunEnd(exit_code=None, finished=now(), cause="nobody has seen how it ended")
        closed = self._closed(tracked, ended, end)
        # Unless its command came first
        return replace(closed, unseen=closed.watched.run.exit_code is None)

    def _closed(self, tracked: Tracked, ended: Moment, end: RunEnd) -> Tracked:
        run = tracked.watched.run
        fields = {
            "ended_ms": ended.wall_ms,
            "duration_ms": max(ended.boot_ms - tracked.start_boot_ms, 0),
            "exit_code": end.exit_code,
            "cause": end.cause,
        }
        run = self.ledger.end_run(run.key, **fields)
        return replace(tracked, watched=replace(tracked.watched, run=run))


def _end_moment(tracked: Tracked, state: RunState, at: Moment) -> Moment:
    """Return when a run ended that is seen to be over: to the millisecond, if that is just now."""
    finished = state.finished
    if finished is None:
        return at
    wall_ms = round(datetime.fromisoformat(finished[:19] + "+00:00").timestamp() * 1000)
    ago_ms = at.wall_ms - wall_ms
    if ago_ms <= _JUST_NOW_MS:
        return at
    boot_ms = max(at.boot_ms - ago_ms, tracked.watched.since.boot_ms)
    return Moment(wall_ms=wall_ms, boot_ms=boot_ms)
