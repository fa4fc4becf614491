"""Search for the settings with which a training goes fastest, and write them as a profile."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from snapenv.errors import NotFoundError, WriteError
from snapenv.launch.profile import read_profile
from snapenv.model.outcome import Outcome
from snapenv.model.results import TuneResult
from snapenv.model.tuning import Profile
from snapenv.ownership.staging import replace_file
from snapenv.places import exists
from snapenv.report.html import check_place, write_page
from snapenv.report.tune_text import drift_warning, tune_lines
from snapenv.report.tune_view import tune_html
from snapenv.steps.kept_tunings import keep_tuning, kept_tuning
from snapenv.steps.snapshots import read_source
from snapenv.steps.source import resolve_source
from snapenv.steps.tuning import TuneRequest
from snapenv.steps.tuning import tune as search
from snapenv.toml import write_toml

if TYPE_CHECKING:
    from snapenv.model.tuning import Tuning
    from snapenv.ports import Services

_ON_CPU = (
    "ultralytics sets workers to 0 on a CPU, whatever it is told: a program of yours has to set "
    "trainer.args.workers in on_pretrain_routine_start"
)


class TuneCommand(TuneRequest, frozen=True, kw_only=True):
    """What a user may ask of the command."""

    output: Path = Path("tuned.toml")
    report: Path | None = None  # a page
    kept: bool = False  # of the search that ended last; nothing is measured


def tune(request: TuneCommand, services: Services) -> Outcome[TuneResult]:
    """Search, and write a profile where a gain is proven; the lock never changes.

    Raises:
        ArchiveError: At the profile's place is something else.
        BenchError: The default did not train.
        LeakError: The page would hold a secret.
        NotFoundError: There is no such environment or data here, or no search is kept.
        PlaceBusyError: The same search runs already.
        UsageError: Optuna is not installed, or there is nothing of that to be measured.
        WriteError: The profile or the page cannot be written.
    """
    check_place(request.output)
    check_place(request.report)
    if exists(request.output):
        read_profile(request.output)
    result = _read(request, services) if request.kept else _search(request, services)
    tuning, digest = result.tuning, result.snapshot
    if tuning.gain and tuning.gain.proven:
        _write(request.output, _profile(tuning, digest, tuning.gain.median))
        result = replace(result, profile=str(request.output))
    idle = tuning.options.device == "cpu" and result.profile and tuning.chosen.workers
    warnings = tuple(filter(None, (_ON_CPU if idle else None, drift_warning(tuning))))
    if request.report:
        write_page(request.report, tune_html(result, warnings), services.secrets())
    return Outcome(command="tune", result=result, lines=tune_lines(result), warnings=warnings)


def _search(request: TuneCommand, services: Services) -> TuneResult:
    done = search(request, services)
    keep_tuning(services.state, done.snapshot.digest, done.tuning)
    return TuneResult(
        snapshot=done.snapshot.digest,
        image=done.runnable.result.image,
        path=done.runnable.result.path,
        tuning=done.tuning,
        profile=None,
    )


def _read(request: TuneCommand, services: Services) -> TuneResult:
    source = resolve_source(request.ref, repository=request.repository, services=services)
    digest = read_source(source, services).digest
    tuning = kept_tuning(services.state, digest)
    if tuning is None:
        raise NotFoundError(
            f"no search for {request.ref} is kept here", hint="Leave out --kept to search."
        )
    return TuneResult(snapshot=digest, image=None, path=None, tuning=tuning, profile=None)


def _profile(tuning: Tuning, digest: str, gain: float) -> Profile:
    return Profile(
        snapshot=digest,
        machine=tuning.machine,
        objective=tuning.objective,
        gain=round(gain, 3),
        train=tuning.chosen,
    )


def _write(path: Path, profile: Profile) -> None:
    text = write_toml(msgspec.to_builtins(profile))
    try:
        replace_file(path, text.encode(), mode=0o666)
    except OSError as error:
        raise WriteError(
            f"cannot write {path}: {error.strerror}", hint="Name another place with --output."
        ) from error
