"""Stop a run in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.model.outcome import Outcome
from snapenv.model.results import StopResult
from snapenv.steps.launching import end_run, find_run

if TYPE_CHECKING:
    from snapenv.ports import Services


def stop(run: str, services: Services, *, grace_s: int | None) -> Outcome[StopResult]:
    """Send a run its stop signal, wait for its end, and take away what is left of it.

    Raises:
        NotFoundError: There is no such run.
    """
    record, runs = find_run(run, services)
    before = runs.state(run)
    grace = record.launch.grace_s if grace_s is None else grace_s
    with services.progress.task(f"Stopping {run}"):
        state = runs.stop(run, grace)
    if state:
        end_run(record, state, services)
        runs.remove(run)
    was_running = before is not None and before.running
    code = state.exit_code if state else None
    result = StopResult(run=run, was_running=was_running, exit_code=code, results=record.results)
    line = f"{run} stopped with exit code {code}" if was_running else f"{run} had ended already"
    return Outcome(command="stop", result=result, lines=(line,))
