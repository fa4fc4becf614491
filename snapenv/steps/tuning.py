"""Search for the settings with which a training goes fastest in a locked environment."""

from __future__ import annotations

import platform
import tempfile
from contextlib import ExitStack
from datetime import datetime, timezone
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from snapenv.errors import BenchError, UsageError
from snapenv.model.snapshot import Snapshot
from snapenv.model.tuning import DefaultRun, Gain, Objective, Settings, Trial, Tuning
from snapenv.ownership.claim import claim
from snapenv.probe.host import probe_host
from snapenv.steps.benching import BenchRequest, Ready, machine_name, ready
from snapenv.steps.runnable import Runnable
from snapenv.tuning.measure import Ended, measure, measure_while
from snapenv.tuning.space import make_space, settings_of, with_settings
from snapenv.tuning.study import Begun, check_optuna, search
from snapenv.tuning.verdict import (
    LEAST_GAIN,
    REPORT_EVERY,
    best,
    drift,
    judge,
    judge_pairs,
    pair_order,
    reports,
    same_losses,
    score,
    so_far,
    speed,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.bench import BenchOptions, BenchRun, BenchStep
    from snapenv.ports import Services
    from snapenv.tuning.study import IsBehind

_CANDIDATES = 3  # so many of the best are measured again
_LOSS_STEPS = 5


class TuneRequest(BenchRequest, frozen=True, kw_only=True):
    """What a user may ask of a search; ``options`` are the default, which it is to beat."""

    vary: Mapping[str, str] = field(default_factory=dict)  # values by setting: "8,16"
    objective: Objective = "speed"
    images: int = 100_000  # of the objective "time"
    trials: int = 24  # at most, with those of an interrupted search
    pairs: int = 3


class Tuned(Struct, frozen=True, kw_only=True):
    """What a search found, and where."""

    snapshot: Snapshot
    runnable: Runnable
    tuning: Tuning


def tune(request: TuneRequest, services: Services) -> Tuned:
    """Try settings, measure the best again, and compare it with the default in alternation.

    An interrupted search goes on when it is asked for again.

    Raises:
        BenchError: The default did not train.
        NotFoundError: There is no such environment, or no such data, here.
        PlaceBusyError: The same search runs already.
        UsageError: Optuna is not installed, or there is nothing of that to be measured.
    """
    check_optuna()
    with ExitStack() as stack:
        found = stack.enter_context(ready(request, services))
        folder = services.state or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        name = found.snapshot.digest.removeprefix("sha256:")
        journal = folder / "tune" / f"{name}.journal"
        what = f"the search for {request.ref}"
        stack.enter_context(claim(services.kept("locks"), what, key=str(journal)))
        return _Search(request, found, services).run(journal)


class _Search:
    """One search: what it asks for, and what measures it."""

    def __init__(self, request: TuneRequest, found: Ready, services: Services) -> None:
        self._request = request
        self._found = found
        self._services = services
        self._default = settings_of(found.options)
        self._aim = (request.objective, request.images)
        self._last: BenchRun | None = None  # that was measured

    def run(self, journal: Path) -> Tuned:
        """Search, choose and compare."""
        found, request = self._found, self._request
        question = _question(found, request)
        searched = search(journal, question, self, budget=request.trials)
        trials = searched.trials
        defaults = (*_first(trials[0]), *searched.defaults)
        chosen = self._choose(trials)
        gain = None if chosen == self._default else self._pairs(chosen)
        hardware = probe_host(found.runnable.target).hardware
        last = self._last or self._train(found.options, "The default again")
        tuning = Tuning(
            options=found.options,
            objective=request.objective,
            images=request.images,
            machine=machine_name(hardware, [last]),
            trials=trials,
            defaults=defaults,
            drift=drift(defaults),
            drifted=drift(defaults) > (gain.resolution if gain else LEAST_GAIN),
            chosen=chosen,
            gain=gain,
            at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        return Tuned(snapshot=found.snapshot, runnable=found.runnable, tuning=tuning)

    def begin(self) -> Begun:
        """Measure the default, and make the space around it."""
        run = self._train(self._found.options, "The default")
        self._score(run)
        return Begun(
            space=make_space(run, _available_bytes(), self._request.vary),
            trial=self._judge(run, self._default),
            reports=reports(run, *self._aim),
        )

    def measure_default(self, after: int) -> DefaultRun:
        """Measure the default, after so many trials."""
        run = self._train(self._found.options, f"The default, after {after} trials")
        return DefaultRun(after=after, score=self._score(run), images_per_s=run.images_per_s)

    def measure(self, settings: Settings, *, number: int, total: int, is_behind: IsBehind) -> Trial:
        """Measure settings; what does not train is invalid, what is behind ends early."""
        options = with_settings(self._found.options, settings)
        title = f"Trial {number} of {total}: {settings.label}"

        def goes_on(steps: tuple[BenchStep, ...]) -> bool:
            if len(steps) % REPORT_EVERY or len(steps) >= options.steps:
                return True
            score = self._so_far(settings, steps)
            return score is None or not is_behind(len(steps), score)

        try:
            with self._services.progress.task(title) as task:
                done = measure_while(self._found.runnable.target, options, task, goes_on=goes_on)
        except BenchError as error:
            return Trial(settings=settings, score=None, reason=error.message)
        if isinstance(done, Ended):
            return self._ended(settings, done.steps)
        self._last = done
        return self._judge(done, settings)

    def _ended(self, settings: Settings, steps: tuple[BenchStep, ...]) -> Trial:
        return Trial(
            settings=settings,
            score=self._so_far(settings, steps),
            ended_after=len(steps),
            images_per_s=speed(settings.batch, [each.step_ms for each in steps]),
            setup_s=steps[-1].setup_ms / 1000,
        )

    def _so_far(self, settings: Settings, steps: tuple[BenchStep, ...]) -> float | None:
        times = [each.step_ms for each in steps]
        return so_far(settings.batch, times, steps[-1].setup_ms, *self._aim)

    def _choose(self, trials: tuple[Trial, ...]) -> Settings:
        """Measure the best again, and return the best of those that train the same."""
        finalists = best(trials, _CANDIDATES)
        if not finalists:
            raise BenchError(
                "no settings trained with losses that are numbers",
                hint="See what the training does: snapenv bench.",
            )
        options = {each: with_settings(self._found.options, each) for each in finalists}
        again = [
            self._judge(self._train(options[each], f"Again: {each.label}"), each)
            for _ in range(1, self._request.repeat)
            for each in finalists
        ]
        known = [trial for trial in trials if trial.settings in finalists]
        ranked = best((*known, *again), _CANDIDATES)
        return next(filter(self._trains_the_same, ranked), self._default)

    def _trains_the_same(self, settings: Settings) -> bool:
        """Compare its losses with those of the default's ways, for the same batches."""
        usual = replace(self._default, batch=settings.batch)
        if settings == usual:
            return True
        steps = replace(self._found.options, augment=False, warmup_steps=2, steps=_LOSS_STEPS)
        reference, run = (
            self._train(with_settings(steps, each), f"Losses: {each.label}")
            for each in (usual, settings)
        )
        return same_losses(reference, run)

    def _pairs(self, chosen: Settings) -> Gain:
        order = pair_order(self._request.pairs)
        scores = []
        for number, letter in enumerate(order, start=1):
            settings = chosen if letter == "C" else self._default
            title = f"Compare {number} of {len(order)}: {settings.label}"
            run = self._train(with_settings(self._found.options, settings), title)
            scores.append(self._score(run))
        return judge_pairs(order, scores)

    def _judge(self, run: BenchRun, settings: Settings) -> Trial:
        return judge(run, settings, *self._aim)

    def _score(self, run: BenchRun) -> float:
        made = score(run, *self._aim)
        if made is None:
            raise UsageError(
                "no energy can be measured on this device",
                hint="Search for --objective speed or time.",
            )
        return made

    def _train(self, options: BenchOptions, title: str) -> BenchRun:
        with self._services.progress.task(title) as task:
            self._last = measure(self._found.runnable.target, options, task).run
        return self._last


def _first(default: Trial) -> tuple[DefaultRun, ...]:
    """Return the first trial as a run of the default; its losses may be no numbers."""
    if default.score is None or default.images_per_s is None:
        return ()
    return (DefaultRun(after=1, score=default.score, images_per_s=default.images_per_s),)


def _question(found: Ready, request: TuneRequest) -> str:
    """Name a search: another environment, machine, training or aim makes it another one."""
    options, digest = found.options, found.snapshot.digest
    aim = (request.objective, request.images, dict(sorted(request.vary.items())))
    where = (platform.node(), str(request.into), request.container)
    return sha256(msgspec.json.encode((digest, options, aim, where))).hexdigest()[:16]


def _available_bytes() -> int | None:
    """Return the memory that this machine could give a program; None where it does not tell."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None
