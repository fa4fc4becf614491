"""Stop a run in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.launch.records import mark_stopped
from snapenv.model.outcome import Outcome
from snapenv.model.results import StopResult
from snapenv.steps.launching import end_unseen, find_run
from snapenv.steps.resuming import keep_next_checkpoint

if TYPE_CHECKING:
    from snapenv.ports import Services


def stop(
    run: str, services: Services, *, grace_s: int | None, pause: bool = False
) -> Outcome[StopResult]:
    """Send a run its stop signal, wait for its end, and take away what is left of it.

    With ``pause`` that is after the next checkpoint, of which a copy is kept.

    Raises:
        NotFoundError: There is no such run.
    """
    record, runs = find_run(run, services)
    kept = keep_next_checkpoint(record, runs, services) if pause else None
    before = runs.state(run)
    was_running = before is not None and before.running
    if was_running and services.state:
        mark_stopped(services.state, run)
    grace = record.launch.grace_s if grace_s is None else grace_s
    with services.progress.task(f"Stopping {run}"):
        state = runs.stop(run, grace)
    if state:
        end_unseen(record, runs, state, services)
        runs.remove(run)
    code = state.exit_code if state else None
    result = StopResult(
        run=run, was_running=was_running, exit_code=code, results=record.results, checkpoint=kept
    )
    line = f"{run} stopped with exit code {code}" if was_running else f"{run} had ended already"
    lines = (line, f"kept {kept}; go on with: snapenv run --resume {run}") if kept else (line,)
    return Outcome(command="stop", result=result, lines=lines)
