"""The sampler: looks at all runs of this machine that go on, one step at a time.

What it knows of a run is in the ledger after each look, so that another sampler goes on where one
was killed. A ledger that cannot be written ends no run: rows wait in memory, and a gap is told once
it can be written again.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import (
    EngineError,
    EngineMissingError,
    NotFoundError,
    PlaceBusyError,
    SnapenvError,
    WriteError,
)
from snapenv.launch.records import read_record
from snapenv.model.sampling import Moment
from snapenv.model.usage import HOUR_MS, Beat, UsageRun
from snapenv.steps import watching
from snapenv.steps.publishing import publish, retract
from snapenv.steps.run_ends import RunEnds, Tracked
from snapenv.usage.sampling import (
    Watched,
    before_end,
    event,
    fold,
    is_settled,
    machine_gpus,
    settle,
    used_gpus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from snapenv.model.sampling import GpuReading, Load
    from snapenv.model.usage import RunGpu, Sample, UsageEvent
    from snapenv.ports import Sensors, Services
    from snapenv.usage.ledger import Ledger

_DAY_MS = 86_400_000
_WEEK_MS = 7 * _DAY_MS  # in which an ended run is looked for that nobody has settled
_RECENT_MS = 600_000  # the same, once that was done
_NEVER_MS = 1 << 62
_KEPT_MS = 90 * _DAY_MS  # of samples
_SOON_S = 0.3
_UNWRITABLE = (WriteError, PlaceBusyError)
_PASSING = (*_UNWRITABLE, EngineError, EngineMissingError, NotFoundError)


class Sampler:
    """Looks at runs; ``look`` is called at every interval, and when a run begins or ends."""

    def __init__(
        self, ledger: Ledger, services: Services, sensors: Sensors, *, interval_ms: int
    ) -> None:
        self._ledger, self._services, self._sensors = ledger, services, sensors
        self._interval_ms = interval_ms
        self._ends = RunEnds(
            ledger=ledger, services=services, sensors=sensors, interval_ms=interval_ms
        )
        self._host, self._boot_id = os.uname().nodename, sensors.boot_id()
        self._ticks = sensors.start_ticks(os.getpid()) or 0
        self._tracked: dict[str, Tracked] = {}
        self._settled: set[str] = set()
        self._events: list[UsageEvent] = []  # that the ledger has not yet
        self._last: Moment | None = None
        self._unwritable: Moment | None = None  # since when
        self._kept_house_ms = -HOUR_MS

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes whose end is the end of a run."""
        going = [each for each in self._tracked.values() if each.ended is None]
        keepers = [each.keeper[0] for each in going if each.keeper and each.record is None]
        return (*(each.pid for each in going if each.pid), *keepers)

    def patience_s(self, interval_s: float) -> float:
        """Return how long to wait: not long for a run that is over and has no end yet."""
        ending = any(each.ended for each in self._tracked.values())
        return min(_SOON_S, interval_s) if ending else interval_s

    def sample(self) -> bool:
        """Look at all runs that go on, and write down what was seen; tell whether any does.

        Raises:
            LedgerError: The ledger is damaged.
        """
        at = self._sensors.now()
        for run in self._runs(at):
            with contextlib.suppress(*_UNWRITABLE):  # the next look begins with it
                tracked = self._tracked.get(run.key) or self._begin(run, at)
                self._tracked[run.key] = replace(tracked, watched=replace(tracked.watched, run=run))
        since_ms = (each.watched.since.boot_ms for each in self._tracked.values())
        readings = self._sensors.gpus(at.boot_ms - min(since_ms, default=at.boot_ms))
        for tracked in tuple(self._tracked.values()):
            with contextlib.suppress(*_PASSING):  # the next look tries again
                self._look_at(tracked, at, readings)
        self._keep_house(at, readings)
        self._last = at
        return bool(self._tracked)

    def _runs(self, at: Moment) -> Iterable[UsageRun]:
        """Return the runs of this machine that go on, or have ended and are not settled."""
        before = min(at, self._last, key=lambda moment: moment.wall_ms) if self._last else at
        since_ms = before.wall_ms - (_RECENT_MS if self._last else _WEEK_MS)
        runs = {key: tracked.watched.run for key, tracked in self._tracked.items()}
        with contextlib.suppress(*_UNWRITABLE):  # as they were
            runs = {key: self._ledger.run(key) or run for key, run in runs.items()}
            runs |= {run.key: run for run in self._ledger.runs(since_ms, _NEVER_MS)}
            return [each for each in runs.values() if self._is_due(each)]
        return list(runs.values())

    def _is_due(self, run: UsageRun) -> bool:
        if run.key in self._settled or run.source != "snapenv" or run.host != self._host:
            return False
        if run.ended_ms is None or run.key in self._tracked:
            return True
        if is_settled(run, self._ledger.run_gpus_of(run.key)):
            self._settled.add(run.key)
            return False
        return True

    def _look_at(self, tracked: Tracked, at: Moment, readings: Sequence[GpuReading]) -> None:
        if tracked.watched.run.ended_ms is None:
            tracked = self._ends.see(tracked, at)
        run = tracked.watched.run
        if tracked.unseen:
            self._events.append(event(run.key, run.ended_ms or at.wall_ms, "orphaned"))
        tracked = replace(tracked, unseen=False, training=self._watch_training(tracked, at))
        self._tracked[run.key] = tracked
        if run.ended_ms is not None:
            self._settle(tracked, at, readings)
        elif tracked.ended is None:
            self._grow(tracked, at, readings)

    def _watch_training(self, tracked: Tracked, at: Moment) -> watching.Watched | None:
        """Read a training's epochs, and have it stopped where it is told to be."""
        if tracked.record is None:
            return None
        run = tracked.watched.run
        observation = watching.Observation(
            record=tracked.record, run=run, ledger=self._ledger, services=self._services, at=at
        )
        try:
            return watching.watch(observation, tracked.training)
        except (SnapenvError, OSError):  # the next look tries again
            return tracked.training

    def _begin(self, run: UsageRun, at: Moment) -> Tracked:
        """Begin with a run, or go on where another sampler has ended."""
        beat = self._ledger.beats().get(run.key)
        age_ms = max(at.wall_ms - run.started_ms, 0)
        since = Moment(wall_ms=run.started_ms, boot_ms=max(at.boot_ms - age_ms, 0))
        start_boot_ms, orphan = since.boot_ms, False
        if beat:
            since = Moment(wall_ms=beat.at_ms, boot_ms=beat.boot_ms)
            start_boot_ms = beat.boot_ms - max(beat.at_ms - run.started_ms, 0)
            orphan = beat.boot_id != self._boot_id
        try:
            record = read_record(self._services.state or Path(), run.run)
        except NotFoundError:
            record = None
        return Tracked(
            watched=Watched(run=run, since=since, rows=self._ledger.run_gpus_of(run.key)),
            record=record,
            keeper=(beat.pid, beat.ticks) if beat else None,
            start_boot_ms=start_boot_ms,
            orphan=orphan,
        )

    def _settle(self, tracked: Tracked, at: Moment, readings: Sequence[GpuReading]) -> None:
        """Count the rest of a run that has ended, and make the time of its GPUs its own."""
        watched = tracked.watched
        late_ms = max(at.wall_ms - (watched.run.ended_ms or 0), 0)
        end = Moment(wall_ms=at.wall_ms - late_ms, boot_ms=at.boot_ms - late_ms)
        if end.boot_ms > watched.since.boot_ms:
            tracked = self._grow(tracked, end, before_end(readings, late_ms), is_last=True)
        rows = settle(tracked.watched.run, tracked.watched.rows)
        # All of them: the command that saw the end has settled them too, of what it knew.
        if self._save((), rows, (), ()):
            if tracked.record:
                retract(tracked.record, watched.run)
            self._settled.add(watched.run.key)
            del self._tracked[watched.run.key]

    def _grow(
        self,
        tracked: Tracked,
        at: Moment,
        readings: Sequence[GpuReading],
        *,
        is_last: bool = False,
    ) -> Tracked:
        """Add what was seen since the look before, and write it down."""
        load = self._load(tracked)
        readings = self._without_ended(readings, load)
        watched = self._with_gpus(tracked.watched, readings, load)
        folded = fold(watched, at, readings, load, interval_ms=self._interval_ms)
        grown = replace(tracked, watched=folded.watched, seen=True)
        self._tracked[watched.run.key] = grown
        self._events += folded.events
        beats = () if is_last else (self._beat(tracked, at),)
        self._save(tracked.watched.rows, folded.watched.rows, folded.samples, beats)
        if not is_last:
            self._publish(grown, readings)
        return grown

    def _publish(self, tracked: Tracked, readings: Sequence[GpuReading]) -> None:
        """Tell the machine's monitoring of a run, where its user wants that."""
        record, run = tracked.record, tracked.watched.run
        if record and (record.textfile or record.job_mapping):
            epochs = self._ledger.epochs(run.key) if run.training else ()
            publish(record, run, tracked.watched.rows, readings, epochs[-1] if epochs else None)

    def _load(self, tracked: Tracked) -> Load | None:
        if tracked.pid is None:
            return None
        in_group = tracked.record is not None and tracked.record.engine is not None
        return self._sensors.load(tracked.pid, in_group=in_group)

    def _without_ended(
        self, readings: Sequence[GpuReading], load: Load | None
    ) -> tuple[GpuReading, ...]:
        """Leave out processes that have ended since the GPUs were read: they may be the run's."""
        own = load.pids if load else frozenset()

        def is_there(pid: int) -> bool:
            return pid in own or self._sensors.start_ticks(pid) is not None

        return tuple(
            replace(reading, pids=frozenset(filter(is_there, reading.pids)))
            if reading.pids
            else reading
            for reading in readings
        )

    def _with_gpus(
        self, watched: Watched, readings: Sequence[GpuReading], load: Load | None
    ) -> Watched:
        """Write down which GPUs a run uses, once more is known of them."""
        gpus = used_gpus(watched.run, readings, load)
        if gpus == watched.run.gpus:
            return watched
        try:
            return replace(watched, run=self._ledger.change_run(watched.run.key, gpus=gpus))
        except _UNWRITABLE:
            return watched

    def _beat(self, tracked: Tracked, at: Moment) -> Beat:
        pid, ticks = tracked.keeper or (os.getpid(), self._ticks)
        return Beat(
            key=tracked.watched.run.key,
            at_ms=at.wall_ms,
            boot_ms=at.boot_ms,
            boot_id=self._boot_id,
            pid=pid,
            ticks=ticks,
        )

    def _save(
        self,
        before: Iterable[RunGpu],
        rows: Iterable[RunGpu],
        samples: Iterable[Sample],
        beats: Iterable[Beat],
    ) -> bool:
        """Write what is new; where that fails, rows and events wait for the next time."""
        changed = set(rows) - (set() if self._unwritable else set(before))
        try:
            for row in changed:
                self._ledger.put_run_gpu(row)
            for beat in beats:
                self._ledger.beat(beat)
            self._tell_unwritten()
            while self._events:
                self._ledger.add_event(self._events[0])
                del self._events[0]
            self._ledger.add_samples(samples)
        except _UNWRITABLE:
            self._unwritable = self._unwritable or self._last or self._sensors.now()
            return False
        return True

    def _tell_unwritten(self) -> None:
        """Tell of each run for how long the ledger could not be written."""
        since, self._unwritable = self._unwritable, None
        if since:
            lost_ms = self._sensors.now().boot_ms - since.boot_ms
            self._events += (
                event(key, since.wall_ms, "gap", value=lost_ms, text="the ledger was not writable")
                for key in self._tracked
            )

    def _keep_house(self, at: Moment, readings: Sequence[GpuReading]) -> None:
        """Note which GPUs this machine has and forget old samples, now and then and at the end."""
        if self._tracked and at.boot_ms - self._kept_house_ms < HOUR_MS:
            return
        self._kept_house_ms = at.boot_ms
        with contextlib.suppress(*_UNWRITABLE):  # the next time
            self._ledger.see_gpus(machine_gpus(self._host, at, readings))
            self._ledger.forget_samples(at.wall_ms - _KEPT_MS)
