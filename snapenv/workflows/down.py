"""Take a workspace down; results stay."""

from __future__ import annotations

from signal import SIGINT
from typing import TYPE_CHECKING

from snapenv.errors import NotFoundError
from snapenv.model.outcome import Outcome
from snapenv.model.results import DownResult
from snapenv.steps.launching import end_run, find_run
from snapenv.steps.serving import WORKSPACE, take_away

if TYPE_CHECKING:
    from snapenv.ports import Services


def down(name: str, services: Services, *, grace_s: int | None) -> Outcome[DownResult]:
    """Interrupt all that runs in a workspace, wait for its end, and remove what is left of it.

    Raises:
        NotFoundError: There is no workspace of this name.
    """
    try:
        record, runs = find_run(name, services)
    except NotFoundError as error:
        raise _no_workspace(name) from error
    if record.kind != WORKSPACE:
        raise _no_workspace(name)
    before = runs.state(name)
    with services.progress.task(f"Stopping {name}"):
        state = runs.stop(name, record.launch.grace_s if grace_s is None else grace_s)
    was_running = before is not None and before.running
    if state:
        signals = (SIGINT,) if was_running else ()
        end_run(record, state, services, signals=signals, finished=state.finished)
    runs.remove(name)
    take_away(name, services)
    result = DownResult(name=name, was_running=was_running, runs=record.results)
    line = f"{name} is down" if was_running else f"{name} had ended already, and is gone"
    return Outcome(command="down", result=result, lines=(line,))


def _no_workspace(name: str) -> NotFoundError:
    return NotFoundError(f"there is no workspace {name}", hint="See snapenv ps --all.")
