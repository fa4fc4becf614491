"""Run a program in an environment, in the foreground or in the background, or show how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.launch.command import files_note, shell_command
from snapenv.model.outcome import Handed
from snapenv.steps.launching import LaunchRequest, prepare, run_launch, start_launch

if TYPE_CHECKING:
    from collections.abc import Callable

    from snapenv.ports import Services
    from snapenv.steps.launching import Prepared


class Run(LaunchRequest, frozen=True, kw_only=True):
    """What a user may ask of a run."""

    dry_run: bool = False


def run(request: Run, services: Services, say: Callable[[str], None]) -> Handed:
    """Run a program, and hand on its exit code; 0 once it is started in the background.

    ``say`` hears what a person should know before the program prints.

    Raises:
        CommandMissingError, CommandRefusedError, StartError: It was not started.
        NotFoundError: The REF was never restored here, or a folder is not there.
        UsageError: More is asked for than there is.
    """
    prepared = prepare(request, services)
    for note in prepared.notes:
        say(note)
    if request.dry_run:
        return _shown(prepared, say)
    if request.detached:
        return Handed(exit_code=0, answer=start_launch(prepared, services).run)
    state = run_launch(prepared, services).state
    if state.running:
        say(f"{state.run} goes on; come back with: snapenv attach {state.run}")
    return Handed(exit_code=state.exit_code or 0)


def _shown(prepared: Prepared, say: Callable[[str], None]) -> Handed:
    """Answer with the equal command, and say what is not in it."""
    launch = prepared.launch
    note = files_note(launch)
    if note:
        say(note)
    command = shell_command(launch, prepared.engine, detached=prepared.record.detached)
    return Handed(exit_code=0, answer=command)
