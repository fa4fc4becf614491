"""Continue the training of an earlier run: find its folder, and prepare the run that goes on."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from snapenv.errors import NotFoundError, PlaceBusyError
from snapenv.launch.records import new_run_id, now
from snapenv.launch.training import (
    continue_launch,
    program_path,
    program_words,
    same_launch,
)
from snapenv.model.launch import InVenv, LimitOptions
from snapenv.places import is_file
from snapenv.steps.launching import Prepared, find_run
from snapenv.steps.limiting import choose_limits
from snapenv.travel.answer import AnswerError, read_answer
from snapenv.travel.pack import pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.launch.training import Changes
    from snapenv.model.launch import RunRecord
    from snapenv.ports import Runs, Services

_ANSWER = "snapenv-resume: "
_POLL_S = 1.0
_LAST = Path("weights", "last.pt")


def prepare_resumed(
    run: str,
    changes: Changes,
    services: Services,
    *,
    detached: bool,
    limits: LimitOptions = LimitOptions(),  # noqa: B008 - frozen
) -> Prepared:
    """Decide everything of a run that continues the training of an earlier one.

    Its limits are those of then where they are not changed, and count from its own start.

    Raises:
        NotFoundError: There is no such run, or it has left no checkpoint.
        PlaceBusyError: It goes on.
        UsageError: The data of then cannot be told from what is named now.
    """
    record, runs = find_run(run, services)
    state = runs.state(run)
    if state and state.running:
        raise PlaceBusyError(f"run {run} goes on", hint=f"Stop it first: snapenv stop {run}")
    training = find_training(record)
    if training is None:
        raise NotFoundError(
            f"run {run} has left no checkpoint that could be continued",
            hint="Only trainings of ultralytics are continued, from their first epoch on; start it "
            f"anew: snapenv run {record.ref} -- COMMAND",
        )
    new, created = new_run_id(), now()
    launch = continue_launch(
        same_launch(record.launch, run=new, created=created),
        changes,
        training=str(training),
        program=pack("snapenv_resume"),
    )
    in_venv = isinstance(launch.place, InVenv)
    return Prepared(
        record=replace(
            record,
            run=new,
            kind="run",
            created=created,
            detached=detached,
            launch=launch,
            resumed_from=run,
            training=str(training),
            limits=choose_limits(limits, launch, services, earlier=record.limits),
        ),
        runs=runs,
        engine=None if in_venv else services.engine.describe(),
    )


def keep_next_checkpoint(record: RunRecord, runs: Runs, services: Services) -> str | None:
    """Wait in a run for the next checkpoint of its training; return the copy of it that is kept.

    None where the run has ended meanwhile.
    """
    launch = record.launch
    with services.progress.task("Waiting for the next checkpoint") as task:
        training = find_training(record)
        while training is None:
            task.note("the first epoch is not done")
            if runs.wait(record.run, _POLL_S) is None or not _goes_on(record.run, runs):
                return None
            training = find_training(record)
        try:
            runs.put(record.run, {program_path(launch): pack("snapenv_resume")})
            done = runs.execute(record.run, program_words(launch, str(training), "--keep-next"))
            return read_answer(done.stdout, _ANSWER, str)
        except (NotFoundError, AnswerError):
            if _goes_on(record.run, runs):
                raise
            return None


def keep_saved_checkpoint(record: RunRecord, runs: Runs) -> str | None:
    """Keep a copy of the checkpoint of a run's last epoch that is done; None where it has none."""
    launch, training = record.launch, find_training(record)
    if training is None:
        return None
    try:
        runs.put(record.run, {program_path(launch): pack("snapenv_resume")})
        done = runs.execute(record.run, program_words(launch, str(training), "--keep-saved"))
        return read_answer(done.stdout, _ANSWER, str) or None
    except (NotFoundError, AnswerError):
        return None


def _goes_on(run: str, runs: Runs) -> bool:
    state = runs.state(run)
    return state is not None and state.running


def find_training(record: RunRecord) -> Path | None:
    """Return the folder of the training whose checkpoint is the newest of a run; None without one.

    A run that continued a training has that one.
    """
    if record.training:
        return Path(record.training)
    since = datetime.fromisoformat(record.created.replace("Z", "+00:00")).timestamp()
    trainings = (folder for top in _written_by(record) for folder in _trainings(top))
    written = [((folder / _LAST).stat().st_mtime, folder) for folder in trainings]
    newer = [(at, folder) for at, folder in written if at >= since]
    return max(newer)[1] if newer else None


def _written_by(record: RunRecord) -> list[Path]:
    """Return the folders of this machine in which a run could write, none within another."""
    bound = (
        mount for mount in record.launch.mounts if mount.kind == "bind" and not mount.read_only
    )
    named = (record.results, record.launch.folder, *(each.source for each in bound))
    folders = {Path(name) for name in named if name}
    return [folder for folder in folders if folders.isdisjoint(folder.parents)]


def _trainings(top: Path) -> Iterator[Path]:
    for place, below, _ in os.walk(top):
        below[:] = [name for name in below if not name.startswith(".")]
        if is_file(Path(place) / _LAST):
            yield Path(place)
