"""A search that Optuna leads and that goes on after a kill: each trial stands in a journal.

Optuna comes with the extra ``tune`` and is imported when it is used. Killed, it leaves a trial
as running for ever, which its samplers take for measured, and perhaps half a line or its lock:
all three are repaired before a study goes on.

Source: https://optuna.readthedocs.io/en/v4.5.0/reference/storages.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from snapenv.errors import UsageError
from snapenv.model.tuning import DefaultRun, Settings, Space, Trial
from snapenv.tuning.space import combinations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import optuna


class IsBehind(Protocol):
    """Says whether a trial is worse than half of those that ran whole, at the same step."""

    def __call__(self, steps: int, score: float) -> bool:
        """Return that, of its score after so many steps."""


class Measures(Protocol):
    """Measures what a search asks for."""

    def begin(self) -> Begun:
        """Measure the default, for the first time."""
        ...

    def measure(self, settings: Settings, *, number: int, total: int, is_behind: IsBehind) -> Trial:
        """Measure settings, as the trial of that number; it may end early if it ``is_behind``."""
        ...

    def measure_default(self, after: int) -> DefaultRun:
        """Measure the default once more, after so many trials."""
        ...


class Begun(Struct, frozen=True, kw_only=True):
    """What the first run of the default tells."""

    space: Space
    trial: Trial  # of the default, which is in that space
    reports: Mapping[int, float]  # its score after so many steps


class Searched(Struct, frozen=True, kw_only=True):
    """What was tried, in its order, of this process and those before it."""

    trials: tuple[Trial, ...]
    defaults: tuple[DefaultRun, ...]


_SEED = 0  # the same study asks for the same trials in the same order
_SPACE, _TRIAL, _DEFAULTS = "space", "trial", "defaults"  # names of attributes
_WHOLE_TRIALS = 3  # before one is ended early


def check_optuna() -> None:
    """See that Optuna is installed, before the long work that needs it.

    Raises:
        UsageError: It is not.
    """
    try:
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise UsageError(
            "a search needs Optuna", hint="Install it: pip install 'snapenv[tune]'"
        ) from error


def search(journal: Path, question: str, measures: Measures, *, budget: int) -> Searched:
    """Search, or go on with a search.

    ``question`` names a study within the journal: another one begins anew. Where the whole space
    fits into ``budget``, all of it is tried, in a random order that is always the same; elsewhere
    Optuna's TPE chooses. The default is measured once more in the middle, and at the end. The
    caller sees to it that nobody else uses the journal.

    Raises:
        UsageError: Optuna is not installed.
    """
    study = _open(journal, question)
    space = _known_space(study)
    if space is None:
        begun = measures.begin()
        study.add_trial(_finished(begun))
        space = begun.space
    everything = combinations(space)
    total = min(budget, len(everything))
    _repair(study)
    if len(everything) <= budget:
        for settings in _shuffled(everything):
            study.enqueue_trial(asdict(settings), skip_if_exists=True)
    while (done := len(_done(study))) < total:
        _repeat_default(study, measures, done=done, total=total)
        _try(study, space, partial(measures.measure, number=done + 1, total=total))
    _repeat_default(study, measures, done=done, total=total)
    return Searched(trials=_done(study), defaults=_defaults(study))


def _known_space(study: optuna.Study) -> Space | None:
    """Return the space that is searched; None before the default was measured.

    It stands in the default's trial, which the journal has whole or not at all.
    """
    spaces = (trial.user_attrs.get(_SPACE) for trial in study.get_trials(deepcopy=False))
    known = next(filter(None, spaces), None)
    return msgspec.convert(known, Space) if known else None


def _shuffled(everything: tuple[Settings, ...]) -> list[Settings]:
    """Mix the order, so that a machine that gets slower meanwhile does so for all values alike."""
    return Random(_SEED).sample(everything, len(everything))  # noqa: S311 - no secret


def _repeat_default(study: optuna.Study, measures: Measures, *, done: int, total: int) -> None:
    """Measure the default where that is due: when half of the trials are done, and all."""
    known = _defaults(study)
    last = known[-1].after if known else 1
    if any(last < due <= done for due in (total // 2, total)):
        study.set_user_attr(_DEFAULTS, _to_plain((*known, measures.measure_default(done))))


def _defaults(study: optuna.Study) -> tuple[DefaultRun, ...]:
    """Return the runs of the default after the first one."""
    return msgspec.convert(study.user_attrs.get(_DEFAULTS, ()), tuple[DefaultRun, ...])


def _open(journal: Path, question: str) -> optuna.Study:
    check_optuna()
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

    class NoLock(JournalFileSymlinkLock):
        """Take none: nobody else uses the journal, and where one fails Optuna does not say why."""

        def acquire(self) -> bool:
            return True

        def release(self) -> None:
            return

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    _cut_half_a_line(journal)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal), NoLock(str(journal)))),
        study_name=question,
        sampler=optuna.samplers.TPESampler(seed=_SEED, n_startup_trials=5),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_WHOLE_TRIALS),
        direction="maximize",
        load_if_exists=True,
    )


def _cut_half_a_line(journal: Path) -> None:
    """Cut off what a writer that was killed has left, after which no line could be read."""
    if journal.exists():
        content = journal.read_bytes()
        os.truncate(journal, content.rfind(b"\n") + 1)


def _repair(study: optuna.Study) -> None:
    """Give up trials that nobody runs any more, and ask for theirs again."""
    from optuna.trial import TrialState

    for running in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(running.number, state=TrialState.FAIL)
    lost = study.get_trials(states=(TrialState.FAIL,))
    known = [_asked(each) for each in study.get_trials() if each.state != TrialState.FAIL]
    for params in map(_asked, lost):
        if len(params) == len(Settings.__struct_fields__) and params not in known:
            study.enqueue_trial(params)
            known.append(params)


def _asked(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """Return what a trial is of: what was asked for is whole where a kill cut its parameters."""
    return trial.system_attrs.get("fixed_params") or trial.params


def _try(study: optuna.Study, space: Space, measure: Callable[..., Trial]) -> None:
    from optuna.trial import TrialState

    asked = study.ask(_distributions(space))

    def is_behind(steps: int, score: float) -> bool:
        asked.report(score, steps)
        return asked.should_prune()

    trial = measure(msgspec.convert(asked.params, Settings), is_behind=is_behind)
    asked.set_user_attr(_TRIAL, _to_plain(trial))
    if trial.is_candidate:
        study.tell(asked, trial.score)
    else:
        study.tell(asked, state=TrialState.PRUNED)


def _done(study: optuna.Study) -> tuple[Trial, ...]:
    from optuna.trial import TrialState

    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return tuple(msgspec.convert(each.user_attrs[_TRIAL], Trial) for each in finished)


def _finished(begun: Begun) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    trial = begun.trial
    return create_trial(
        state=TrialState.COMPLETE if trial.is_candidate else TrialState.PRUNED,
        params=asdict(trial.settings),
        distributions=_distributions(begun.space),
        value=trial.score,
        intermediate_values=dict(begun.reports),
        user_attrs={_TRIAL: _to_plain(trial), _SPACE: _to_plain(begun.space)},
    )


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution

    return {name: CategoricalDistribution(values) for name, values in asdict(space).items()}


def _to_plain(value: object) -> Any:  # noqa: ANN401 - what JSON has
    return msgspec.to_builtins(value)
