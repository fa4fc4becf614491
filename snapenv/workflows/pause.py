"""Stop a run for a limit or the stop rule, so that it can go on later, or warn that it would be.

The sampler starts it as a process aside, since it waits for as long as an epoch takes.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import SnapenvError
from snapenv.launch.records import Stop, mark_stopped, read_end
from snapenv.model.launch import PROJECT_LABEL
from snapenv.model.outcome import Handed
from snapenv.model.usage import UsageEvent
from snapenv.ownership.claim import claim
from snapenv.steps.launching import end_unseen, find_run
from snapenv.steps.resuming import keep_next_checkpoint, keep_saved_checkpoint
from snapenv.steps.telling import Notice, tell
from snapenv.usage.ledger import ledger_path, open_ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.model.launch import RunRecord
    from snapenv.ports import Runs, Services

_STARTING_S = 30.0
_POLL_S = 0.2


def pause(
    run: str, stop: Stop, services: Services, say: Callable[[str], None], *, warn: bool
) -> Handed:
    """Keep a checkpoint, stop the run, write down why, and tell whom the user has named.

    With ``warn`` it is only told. A run that has ended meanwhile is left as it is.

    Raises:
        NotFoundError: There is no such run.
        PlaceBusyError: Another process stops it already.
    """
    record, _ = find_run(run, services)
    if not warn:
        with claim(services.kept("stopping"), run):
            stopped = _stop(record, stop, services)
        if stopped is None:
            return Handed(exit_code=0)
        stop = stopped
    problem = _tell(record, stop, services, warn=warn)
    if problem:
        say(f"nobody was told of {run}: {problem}")
    if not warn:
        _note(record, stop, services, problem)
    return Handed(exit_code=0)


def _stop(record: RunRecord, stop: Stop, services: Services) -> Stop | None:
    """Stop a run and return why, with the checkpoint that was kept; None where it has ended."""
    _, runs = find_run(record.run, services)
    if not _wait_for_start(record.run, runs, services):
        return None
    kept = (
        keep_next_checkpoint(record, runs, services)
        if stop.by == "stop-rule"
        else keep_saved_checkpoint(record, runs)
    )
    state = runs.state(record.run)
    if state is None or not state.running:
        return None
    stop = replace(stop, checkpoint=kept)
    if services.state:
        mark_stopped(services.state, record.run, stop)
    state = runs.stop(record.run, record.launch.grace_s)
    if state and record.detached and record.kind != "up":
        end_unseen(record, runs, state, services)
    return stop


def _wait_for_start(run: str, runs: Runs, services: Services) -> bool:
    """Return whether a run goes on; one may be in the ledger a while before it is started."""
    patience_end = time.monotonic() + _STARTING_S
    while True:
        state = runs.state(run)
        starts = state is None or state.status == "created"
        ended = services.state is not None and read_end(services.state, run) is not None
        if not starts or ended or time.monotonic() > patience_end:
            return state is not None and state.running
        time.sleep(_POLL_S)


def _tell(record: RunRecord, stop: Stop, services: Services, *, warn: bool) -> str | None:
    notify = record.limits.notify
    if notify is None:
        return None
    how = "would be stopped" if warn else "was stopped"
    on = f"; go on with: snapenv run --resume {record.run}" if stop.checkpoint else ""
    notice = Notice(
        text=f"{record.run} ({record.ref}) {how}: {stop.reason}{on}",
        event="warned" if warn else "stopped",
        run=record.run,
        by=stop.by,
        reason=stop.reason,
        ref=record.ref,
        project=record.launch.labels.get(PROJECT_LABEL),
        host=os.uname().nodename,
        checkpoint=stop.checkpoint,
    )
    return tell(notify, notice, services, folder=record.launch.folder or "/")


def _note(record: RunRecord, stop: Stop, services: Services, problem: str | None) -> None:
    """Write into the ledger that the run was stopped; where that cannot be, the record says it."""
    if services.state is None:
        return
    text = f"{stop.by}: {stop.reason}" + (f"; nobody was told: {problem}" if problem else "")
    with (
        contextlib.suppress(SnapenvError),
        open_ledger(ledger_path(services.state, os.environ)) as ledger,
    ):
        run = ledger.find_run(record.run)
        if run:
            ledger.add_event(
                UsageEvent(
                    id=str(uuid.uuid4()),
                    key=run.key,
                    at_ms=time.time_ns() // 1_000_000,
                    kind="stopped",
                    text=text,
                )
            )
