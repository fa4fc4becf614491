"""Come back to a run, or see what it has printed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from snapenv.launch.ending import handed_code
from snapenv.model.outcome import Handed
from snapenv.steps.launching import end_run, find_run, say_end

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.ports import Services


def attach(run: str, services: Services, say: Callable[[str], None]) -> Handed:
    """Connect this process's streams to a run, until it ends or is left again.

    Raises:
        NotFoundError: There is no such run, or it has ended.
    """
    record, runs = find_run(run, services)
    ended = runs.attach(run)
    if ended.state.running:
        say(f"{run} goes on; come back with: snapenv attach {run}")
        return Handed(exit_code=0)
    end = end_run(record, ended.state, services, output=ended.output)
    say_end(end, say)
    runs.remove(run)
    return Handed(exit_code=handed_code(end))


def show_logs(run: str, services: Services, *, follow: bool, tail: int | None) -> Handed:
    """Write what a run has printed to stdout and stderr.

    Raises:
        NotFoundError: There is no such run, or its output is gone.
    """
    _, runs = find_run(run, services)
    for out, err in runs.logs(run, follow=follow, tail=tail):
        piece, handle = (err, 2) if err else (out, 1)
        while piece:
            piece = piece[os.write(handle, piece) :]
    return Handed(exit_code=0)
