"""Watch a run from outside: its training's epochs, the stop rule, and what it may last and cost."""

from __future__ import annotations

import contextlib
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from snapenv.launch.records import RESUMED, read_resumed
from snapenv.model.launch import Limits, RunRecord, StoppedBy
from snapenv.model.sampling import Moment
from snapenv.model.usage import HOUR_MS, EpochRow, Training, UsageEvent, UsageRun
from snapenv.places import open_plain
from snapenv.ports import Services
from snapenv.report.amounts import money
from snapenv.steps.resuming import find_training
from snapenv.usage.ledger import Ledger
from snapenv.usage.limits import Going, reached
from snapenv.usage.results_csv import parse_results
from snapenv.usage.stop_rule import RULE, Plan, Rule, Verdict, intervals_of, judge, window_ms
from snapenv.usage.training import (
    asked_batch,
    describe_training,
    epoch_duration_ms,
    read_arguments,
    read_plan,
    with_results,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snapenv.model.usage import EventKind
    from snapenv.usage.results_csv import Row

_ROWS = "results.csv"
_MOST_ROWS_BYTES = 64 << 20
_SEARCH_SHARE = 500  # a search for the training may take one part in so many of the time
_AGAIN_MS = 60_000  # what was told to stop and goes on is told again after


class Watched(Struct, frozen=True, kw_only=True):
    """What a look at a run leaves for the next; without it, that one begins anew.

    Moments ending in ``_boot_ms`` are of CLOCK_BOOTTIME.
    """

    started_boot_ms: int  # of the run
    search_boot_ms: int = 0  # when to search for another training
    folder: Path | None = None  # of the training
    stamp: tuple[int, int] | None = None  # of its results.csv, as it was read
    training: Training | None = None
    plan: Plan = Plan()
    row_boot_ms: int | None = None  # when its last row was written
    holds_boot_ms: int | None = None  # since when it goes on for nothing
    warned_boot_ms: int | None = None
    told_boot_ms: int | None = None  # when it was last told to stop


class Observation(Struct, frozen=True, kw_only=True):
    """A moment, and all that a run is looked at with."""

    record: RunRecord
    run: UsageRun
    ledger: Ledger
    services: Services
    at: Moment
    rule: Rule = RULE


def watch(observation: Observation, before: Watched | None = None) -> Watched:
    """Look at a run that goes on, or has just ended; have it stopped where it is told to be.

    ``before`` is what the look before has given back. Stopping takes up to an epoch, so that
    another process does it.

    Raises:
        LedgerError, PlaceBusyError, WriteError: As of the ledger; the next look tries again.
    """
    watched = _search(observation, before or _first(observation))
    stamp = _stamp(watched.folder)
    if stamp and stamp != watched.stamp:
        watched = _take_rows(observation, replace(watched, stamp=stamp))
    if observation.run.ended_ms is not None:
        return watched
    by = reached(observation.record.limits, _going(observation, watched))
    return (
        _have_stopped(observation, watched, by, _beyond(observation.record.limits, by))
        if by
        else watched
    )


def _first(observation: Observation) -> Watched:
    counted, at = observation.record.counted, observation.at
    if counted and counted.boot_ms <= at.boot_ms:
        return Watched(started_boot_ms=counted.boot_ms)
    return Watched(started_boot_ms=at.boot_ms - max(at.wall_ms - observation.run.started_ms, 0))


def _search(observation: Observation, watched: Watched) -> Watched:
    """Find the folder of the training; not while it grows, nor so often that it costs much."""
    grows = _stamp(watched.folder) != watched.stamp
    if grows or observation.at.boot_ms < watched.search_boot_ms:
        return watched
    begin, folder = time.monotonic(), None
    with contextlib.suppress(OSError):  # folders come and go
        folder = find_training(observation.record)
    took_ms = round((time.monotonic() - begin) * 1000)
    watched = replace(watched, search_boot_ms=observation.at.boot_ms + _SEARCH_SHARE * took_ms)
    if folder is None or folder == watched.folder:
        return watched
    return replace(
        watched,
        folder=folder,
        stamp=None,
        training=None,
        plan=read_plan(read_arguments(folder)),
        holds_boot_ms=None,
    )


def _stamp(folder: Path | None) -> tuple[int, int] | None:
    """Return when a training's results.csv was last written, in nanoseconds, and its size."""
    if folder is None:
        return None
    try:
        status = (folder / _ROWS).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def _take_rows(observation: Observation, watched: Watched) -> Watched:
    """Write down the epochs that have been finished since, and judge by them."""
    if watched.folder is None or watched.stamp is None:
        return watched
    with open_plain(watched.folder / _ROWS) as file:
        results = parse_results(file.read(_MOST_ROWS_BYTES))
    own = _own_rows(observation, watched.folder, results.latest)
    if not own:
        return watched
    written_ms = min(watched.stamp[0] // 1_000_000, observation.at.wall_ms)
    known = observation.ledger.epochs(observation.run.key)
    attempt = _attempt(known, own)
    done = {row.epoch for row in known if row.attempt == attempt}
    fresh = tuple(_epochs(observation.run.key, attempt, own, written_ms, done))
    observation.ledger.put_epochs(fresh)
    training = watched.training or _describe(observation, watched.folder)
    rows = [row for row in (*known, *fresh) if row.attempt == attempt]
    training = with_results(
        training, rows, metric=results.metric, epoch_ms=epoch_duration_ms(own, rows)
    )
    observation.ledger.change_run(
        observation.run.key, training=training, model=observation.run.model or training.model
    )
    watched = replace(
        watched,
        training=training,
        row_boot_ms=observation.at.boot_ms - (observation.at.wall_ms - written_ms),
    )
    judged = observation.record.limits.stop_rule != "off" and observation.run.ended_ms is None
    return _judge(observation, watched, rows) if judged else watched


def _own_rows(observation: Observation, folder: Path, rows: Sequence[Row]) -> Sequence[Row]:
    """Leave out the epochs of the run that this one continues, and all until those are known."""
    if observation.record.training != str(folder):
        return rows
    resumed, written_ms = read_resumed(observation.record.training), _written_ms(folder / RESUMED)
    if resumed is None or written_ms is None or written_ms < observation.run.started_ms:
        return ()
    return [row for row in rows if row.epoch > (resumed.epoch or 0)]


def _written_ms(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return None


def _attempt(known: Sequence[EpochRow], rows: Sequence[Row]) -> int:
    """Return the number of the attempt that rows are of: another one, where any is not known so."""
    last = max((row.attempt for row in known), default=0)
    losses = {row.epoch: row.loss for row in rows}
    same = all(
        row.epoch in losses and losses[row.epoch] == row.loss
        for row in known
        if row.attempt == last
    )
    return last if last and same else last + 1


def _epochs(
    key: str, attempt: int, rows: Sequence[Row], written_ms: int, done: set[int]
) -> Sequence[EpochRow]:
    """Return the rows that are new; the last one was written at ``written_ms``."""
    end_s = rows[-1].elapsed_s
    return [
        EpochRow(
            key=key,
            attempt=attempt,
            epoch=row.epoch,
            at_ms=written_ms
            if end_s is None or row.elapsed_s is None
            else written_ms - round((end_s - row.elapsed_s) * 1000),
            loss=row.loss,
            metric=row.metric,
        )
        for row in rows
        if row.epoch not in done
    ]


def _describe(observation: Observation, folder: Path) -> Training:
    """Describe a training, and note where it went on with a smaller batch than it was asked."""
    training = describe_training(folder, observation.record.launch.folder)
    batch = asked_batch(read_arguments(folder))
    noted = any(each.kind == "batch" for each in observation.ledger.events_of(observation.run.key))
    if batch and training.batch and training.batch < batch and not noted:
        _add_event(observation, "batch", value=training.batch)
    return training


def _add_event(
    observation: Observation, kind: EventKind, *, value: int | None = None, text: str | None = None
) -> None:
    observation.ledger.add_event(
        UsageEvent(
            id=str(uuid.uuid4()),
            key=observation.run.key,
            at_ms=observation.at.wall_ms,
            kind=kind,
            value=value,
            text=text,
        )
    )


def _judge(observation: Observation, watched: Watched, rows: Sequence[EpochRow]) -> Watched:
    """Warn as soon as the training goes on for nothing; stop it when that has held."""
    rule, least = observation.rule, observation.record.limits.min_improvement
    rule = rule if least is None else replace(rule, improvement=least, absolute=True)
    since_ms = rows[-1].at_ms - 2 * window_ms(rows, rule)
    samples = observation.ledger.samples(observation.run.key, since_ms=since_ms)
    used = intervals_of(samples, (gpu.uuid for gpu in observation.run.gpus))
    verdict = judge(rows, used, watched.plan, rule)
    if not verdict.stands_still:
        return replace(watched, holds_boot_ms=None)
    why = _for_nothing(verdict, rule)
    now = observation.at.boot_ms
    if watched.holds_boot_ms is None:
        return _warn(observation, replace(watched, holds_boot_ms=now), why)
    if (
        observation.record.limits.stop_rule == "pause"
        and now - watched.holds_boot_ms >= observation.rule.hold_ms
    ):
        return _have_stopped(observation, watched, "stop-rule", why)
    return watched


def _warn(observation: Observation, watched: Watched, why: str) -> Watched:
    """Warn of a training that goes on for nothing, once in a window where it is hard to tell."""
    now = observation.at.boot_ms
    if (
        watched.warned_boot_ms is not None
        and now - watched.warned_boot_ms < observation.rule.window_ms
    ):
        return watched
    _add_event(observation, "warned", text=why)
    _tell(observation, "stop-rule", why, warn=True)
    return replace(watched, warned_boot_ms=now)


def _for_nothing(verdict: Verdict, rule: Rule) -> str:
    least = f"{rule.improvement:g}" if rule.absolute else f"{rule.improvement * 100:.2g} %"
    return (
        f"its best loss improved by less than {least} in "
        f"{verdict.window_ms / HOUR_MS:.3g} h, and no GPU was used at more than "
        f"{verdict.utilization or 0:.0f} %"
    )


def _going(observation: Observation, watched: Watched) -> Going:
    training, at = watched.training, observation.at
    done = training.epochs_done if training else 0
    return Going(
        elapsed_ms=at.boot_ms - watched.started_boot_ms,
        epoch_ms=training.epoch_ms if training else None,
        since_checkpoint_ms=None
        if watched.row_boot_ms is None
        else at.boot_ms - watched.row_boot_ms,
        trained=bool(training and training.epochs and done >= training.epochs),
    )


def _beyond(limits: Limits, by: StoppedBy) -> str:
    if by == "max-cost":
        cost = money(limits.max_cost or 0, limits.currency)
        return f"it would cost more than {cost} (--max-cost)"
    hours = (limits.max_duration_ms or 0) / HOUR_MS
    return f"it would last longer than {hours:.4g} h (--max-hours)"


def _have_stopped(observation: Observation, watched: Watched, by: StoppedBy, why: str) -> Watched:
    """Have the run stopped, once more where it still goes on after a while."""
    now = observation.at.boot_ms
    if watched.told_boot_ms is not None and now - watched.told_boot_ms < _AGAIN_MS:
        return watched
    _tell(observation, by, why, warn=False)
    return replace(watched, told_boot_ms=now)


def _tell(observation: Observation, by: StoppedBy, why: str, *, warn: bool) -> None:
    """Have another process stop the run, or only warn of it: see ``workflows.pause``."""
    words = ("usage", "pause", observation.record.run, "--by", by, "--reason", why)
    observation.services.start_aside((*words, "--warn") if warn else words)
