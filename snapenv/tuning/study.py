"""A search that Optuna leads and that goes on after a kill: each trial stands in a journal.

Optuna comes with the extra ``tune`` and is imported when it is used. Killed, it leaves a trial
as running for ever, which its samplers take for measured, and perhaps half a line or its lock:
all three are repaired before a study goes on.

Source: https://optuna.readthedocs.io/en/v4.5.0/reference/storages.html
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec.structs import asdict

from snapenv.errors import UsageError
from snapenv.model.tuning import Settings, Space, Trial
from snapenv.tuning.space import combinations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import optuna


class Measure(Protocol):
    """Measures settings, as the trial of that number of so many."""

    def __call__(self, settings: Settings, *, number: int, total: int) -> Trial:
        """Return what came of it."""


_SEED = 0  # the same study asks for the same trials in the same order
_LOCK = ".lock"  # of Optuna, beside its journal
_SPACE, _TRIAL = "space", "trial"  # names of attributes


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


def search(
    journal: Path,
    question: str,
    *,
    begin: Callable[[], tuple[Space, Trial]],
    measure: Measure,
    budget: int,
) -> tuple[Trial, ...]:
    """Return what was tried, in its order, of this process and those before it.

    ``question`` names a study within the journal: another one begins anew. ``begin`` gives its
    space and the trial of the default, which is in that space. Where the whole space fits into
    ``budget``, all of it is tried; elsewhere Optuna's TPE chooses. The caller sees to it that
    nobody else uses the journal.

    Raises:
        UsageError: Optuna is not installed.
    """
    study = _open(journal, question)
    if _SPACE not in study.user_attrs:
        space, default = begin()
        study.add_trial(_finished(space, default))
        study.set_user_attr(_SPACE, _to_plain(space))
    space = msgspec.convert(study.user_attrs[_SPACE], Space)
    everything = combinations(space)
    total = min(budget, len(everything))
    _repair(study)
    if len(everything) <= budget:
        for settings in everything:
            study.enqueue_trial(asdict(settings), skip_if_exists=True)
    while (number := len(_done(study)) + 1) <= total:
        _try(study, space, partial(measure, number=number, total=total))
    return _done(study)


def _open(journal: Path, question: str) -> optuna.Study:
    check_optuna()
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.with_name(journal.name + _LOCK).unlink(missing_ok=True)
    _cut_half_a_line(journal)
    return optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(journal))),
        study_name=question,
        sampler=optuna.samplers.TPESampler(seed=_SEED, n_startup_trials=5),
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
    """Return what a trial is of; one that waits has it as an attribute only."""
    return trial.params or trial.system_attrs.get("fixed_params", {})


def _try(study: optuna.Study, space: Space, measure: Callable[[Settings], Trial]) -> None:
    from optuna.trial import TrialState

    asked = study.ask(_distributions(space))
    trial = measure(msgspec.convert(asked.params, Settings))
    asked.set_user_attr(_TRIAL, _to_plain(trial))
    if trial.score is None:
        study.tell(asked, state=TrialState.PRUNED)
    else:
        study.tell(asked, trial.score)


def _done(study: optuna.Study) -> tuple[Trial, ...]:
    from optuna.trial import TrialState

    finished = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
    return tuple(msgspec.convert(each.user_attrs[_TRIAL], Trial) for each in finished)


def _finished(space: Space, trial: Trial) -> optuna.trial.FrozenTrial:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.PRUNED if trial.score is None else TrialState.COMPLETE,
        params=asdict(trial.settings),
        distributions=_distributions(space),
        value=trial.score,
        user_attrs={_TRIAL: _to_plain(trial)},
    )


def _distributions(space: Space) -> dict[str, Any]:
    from optuna.distributions import CategoricalDistribution

    return {name: CategoricalDistribution(values) for name, values in asdict(space).items()}


def _to_plain(value: object) -> Any:  # noqa: ANN401 - what JSON has
    return msgspec.to_builtins(value)
