"""Run a program in an environment, in the foreground or in the background, or show how."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.launch.command import files_note, shell_command
from snapenv.launch.ending import handed_code
from snapenv.launch.profile import read_profile, with_profile
from snapenv.launch.records import new_run_id, now
from snapenv.launch.training import Changes, same_launch
from snapenv.model.outcome import Handed
from snapenv.steps.estimating import estimate_run, note_estimate
from snapenv.steps.launching import LaunchRequest, prepare, run_launch, say_end, start_launch
from snapenv.steps.resuming import find_training, prepare_resumed
from snapenv.steps.still_locked import check_before

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.ports import Services
    from snapenv.steps.launching import Prepared


class Run(LaunchRequest, frozen=True, kw_only=True):
    """What a user may ask of a run."""

    dry_run: bool = False
    estimate: bool = False  # say what it will take, and start nothing
    profile: Path | None = None  # settings of a search, for a training
    resume: str | None = None  # the id of the run to continue, instead of what is asked for
    changes: Changes = Changes()  # of that
    restarts: int = 0  # after a failure, at most


def run(request: Run, services: Services, say: Callable[[str], None]) -> Handed:
    """Run a program, and hand on its exit code; 0 once it is started in the background.

    ``say`` hears what a person should know before the program prints.

    Raises:
        ArchiveError: The profile is none.
        CommandMissingError, CommandRefusedError, StartError: It was not started.
        NotAsLockedError: It is not what its lock says, and --strict is given.
        NotFoundError: The REF was never restored here, or a folder is not there.
        PriceListError: The price list is wrong, or has no price for a GPU.
        UsageError: More is asked for than there is.
    """
    prepared = _prepare(request, services, say)
    for note in prepared.notes:
        say(note)
    prices = request.limits.prices
    if request.estimate:
        return Handed(exit_code=0, answer=estimate_run(prepared.record, services, prices))
    if request.dry_run:
        return _shown(prepared, say)
    for note in check_before(prepared.record, request.repository, services, strict=request.strict):
        say(note)
    estimate = None if request.resume else note_estimate(prepared.record, services, prices)
    if estimate:
        say(estimate)
    if request.detached:
        return Handed(exit_code=0, answer=start_launch(prepared, services).run)
    return _run(prepared, services, say, restarts=request.restarts)


def _run(
    prepared: Prepared, services: Services, say: Callable[[str], None], *, restarts: int
) -> Handed:
    """Run in the foreground, and again after failures."""
    end = run_launch(prepared, services)
    for number in range(1, restarts + 1):
        if end is None or end.stopped or not end.exit_code:
            break
        say_end(end, say)
        prepared = _again(prepared, services)
        how = f"from {prepared.record.training}" if prepared.record.training else "from the start"
        say(f"restart {number} of {restarts}, {how}: run {prepared.record.run}")
        end = run_launch(prepared, services)
    if end is None:
        run = prepared.record.run
        say(f"{run} goes on; come back with: snapenv attach {run}")
        return Handed(exit_code=0)
    say_end(end, say)
    return Handed(exit_code=handed_code(end))


def _prepare(request: Run, services: Services, say: Callable[[str], None]) -> Prepared:
    if request.resume:
        return prepare_resumed(
            request.resume,
            request.changes,
            services,
            detached=request.detached,
            limits=request.limits,
        )
    if request.profile is None:
        return prepare(request, services)
    profile = read_profile(request.profile)
    prepared = prepare(replace(request, argv=with_profile(request.argv, profile)), services)
    if profile.snapshot != prepared.record.snapshot:
        say(f"{request.profile} was found in another environment, and may not be the fastest here")
    return prepared


def _again(prepared: Prepared, services: Services) -> Prepared:
    """Return what goes on where a run has ended, or starts it anew where it left no checkpoint."""
    record = prepared.record
    if find_training(record):
        return prepare_resumed(record.run, Changes(), services, detached=False)
    run, created = new_run_id(), now()
    launch = same_launch(record.launch, run=run, created=created)
    return replace(prepared, record=replace(record, run=run, created=created, launch=launch))


def _shown(prepared: Prepared, say: Callable[[str], None]) -> Handed:
    """Answer with the equal command, and say what is not in it."""
    launch = prepared.launch
    note = files_note(launch)
    if note:
        say(note)
    command = shell_command(launch, prepared.engine, detached=prepared.record.detached)
    return Handed(exit_code=0, answer=command)
