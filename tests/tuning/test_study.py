"""A search on Optuna's own journal; what is measured is made up, as a table of figures."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from snapenv.model.tuning import DefaultRun, Settings, Space, Trial
from snapenv.tuning.space import combinations
from snapenv.tuning.study import Begun, search
from snapenv.tuning.verdict import best
from tests.report.tune_results import SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from snapenv.tuning.study import IsBehind, Searched

SPACE = Space(batch=(4, 8, 16), workers=(0, 2), cache=("none", "ram"))
DEFAULT = Settings(batch=4, workers=0)
REPORTED = (5, 10, 15)


def figure(settings: Settings) -> float:
    return settings.batch + settings.workers + (0.5 if settings.cache == "ram" else 0)


class Measuring:
    """Measures by a table, and remembers of what."""

    def __init__(
        self,
        *,
        invalid: int = 0,
        interrupt_at: int = 0,
        figure: Callable[[Settings], float] = figure,
    ) -> None:
        self.figure = figure
        self.asked: list[Settings] = []
        self.told: list[tuple[int, int]] = []
        self.defaults: list[int] = []
        self.begun = 0
        self.invalid, self.interrupt_at = invalid, interrupt_at

    def begin(self) -> Begun:
        self.begun += 1
        score = self.figure(DEFAULT)
        trial = Trial(settings=DEFAULT, score=score)
        return Begun(space=SPACE, trial=trial, reports=dict.fromkeys(REPORTED, score))

    def measure(self, settings: Settings, *, number: int, total: int, is_behind: IsBehind) -> Trial:
        self.asked.append(settings)
        self.told.append((number, total))
        score = self.figure(settings)
        if len(self.asked) == self.interrupt_at:
            raise KeyboardInterrupt
        if settings.batch == self.invalid:
            return Trial(settings=settings, score=None)
        for steps in REPORTED:
            if is_behind(steps, score):
                return Trial(settings=settings, score=score, ended_after=steps)
        return Trial(settings=settings, score=score)

    def measure_default(self, after: int) -> DefaultRun:
        self.defaults.append(after)
        return DefaultRun(after=after, score=4, images_per_s=4)

    def search(self, journal: Path, *, budget: int = 24, question: str = "q") -> tuple[Trial, ...]:
        return self.searched(journal, budget=budget, question=question).trials

    def searched(self, journal: Path, *, budget: int = 24, question: str = "q") -> Searched:
        return search(journal, question, self, budget=budget)


def test_a_small_space_is_tried_whole_and_the_default_once(tmp_path: Path) -> None:
    measuring = Measuring(invalid=8)

    trials = measuring.search(tmp_path / "new" / "journal")

    assert trials[0] == Trial(settings=DEFAULT, score=4)
    assert len({trial.settings for trial in trials}) == len(trials) == 12
    assert len(measuring.asked) == 11
    assert measuring.told[0] == (2, 12)
    assert measuring.asked != sorted(measuring.asked)
    assert [trial.score for trial in trials].count(None) == 4
    assert max(trial.score or 0 for trial in trials) == 18.5


def test_what_is_behind_ends_early_once_three_ran_whole(tmp_path: Path) -> None:
    measuring, resumed = Measuring(), Measuring()

    trials = measuring.search(tmp_path / "journal")

    ended = [trial.ended_after for trial in trials]
    assert ended[:3] == [None] * 3
    assert set(ended[3:]) == {5, None}
    whole = [figure(trial.settings) for trial in trials if trial.is_candidate]
    assert max(whole) == max(map(figure, combinations(SPACE)))
    assert resumed.search(tmp_path / "journal") == trials
    assert resumed.asked == []


class Replaying(Measuring):
    """Measures what was measured once; the rest of the space does not train."""

    def measure(self, settings: Settings, *, number: int, total: int, is_behind: IsBehind) -> Trial:
        if (settings.batch, settings.workers, settings.cache) not in SHOWN:
            return Trial(settings=settings, score=None)
        return super().measure(settings, number=number, total=total, is_behind=is_behind)


def test_ending_early_finds_the_same_best_of_what_was_once_measured(tmp_path: Path) -> None:
    replaying = Replaying(figure=lambda each: SHOWN[each.batch, each.workers, each.cache])

    trials = replaying.search(tmp_path / "journal")

    assert best(trials, 1) == (Settings(batch=16, workers=2, cache="ram"),)
    assert [trial.ended_after for trial in trials].count(5) >= 1


def test_the_default_is_one_of_those_that_a_trial_may_be_behind(tmp_path: Path) -> None:
    figures = iter([100, 10, 50, 40])  # of which the first is the default's
    measuring = Measuring(figure=lambda _: next(figures))

    trials = measuring.search(tmp_path / "journal", budget=4)

    assert [trial.ended_after for trial in trials] == [None, None, None, 5]


def test_the_default_is_measured_at_half_of_the_trials_and_after_the_last(tmp_path: Path) -> None:
    stopped, resumed, more = Measuring(interrupt_at=9), Measuring(), Measuring()
    with pytest.raises(KeyboardInterrupt):
        stopped.search(tmp_path / "journal", budget=10)

    searched = resumed.searched(tmp_path / "journal", budget=10)
    longer = more.searched(tmp_path / "journal", budget=12)

    assert (stopped.defaults, resumed.defaults, more.defaults) == ([5], [10], [12])
    assert [each.after for each in searched.defaults] == [5, 10]
    assert [each.after for each in longer.defaults] == [5, 10, 12]


def test_a_large_space_is_searched_within_the_budget_in_the_same_order(tmp_path: Path) -> None:
    first, second = Measuring(), Measuring()

    trials = first.search(tmp_path / "a", budget=6)
    second.search(tmp_path / "b", budget=6)

    assert len(trials) == 6
    assert first.asked == second.asked


def test_a_study_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    stopped, resumed, again = Measuring(interrupt_at=5), Measuring(), Measuring()
    with pytest.raises(KeyboardInterrupt):
        stopped.search(tmp_path / "journal")

    trials = resumed.search(tmp_path / "journal")

    assert resumed.begun == 0
    assert len(resumed.asked) == 11 - 4
    assert len({trial.settings for trial in trials}) == len(trials) == 12
    assert again.search(tmp_path / "journal") == trials
    assert again.asked == []
    assert len(again.search(tmp_path / "journal", question="another")) == 12
    assert again.begun == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.tuning.test_study import Measuring
class Killed(Measuring):
    def measure(self, settings, *, number, **more):
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().measure(settings, number=number, **more)
Killed().search(Path(sys.argv[1]), budget=int(sys.argv[2]))
"""


@pytest.mark.parametrize("budget", [24, 8])
def test_what_a_kill_has_interrupted_is_measured_again(tmp_path: Path, budget: int) -> None:
    journal = tmp_path / "journal"
    words = (sys.executable, "-c", KILLED, str(journal), str(budget))
    pid = os.posix_spawn(sys.executable, words, os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    journal.with_name("journal.lock").symlink_to(
        journal
    )  # as Optuna leaves it, killed while it writes
    with journal.open("a") as file:
        file.write('{"op_code": 6, "work')
    resumed = Measuring()

    trials = resumed.search(journal, budget=budget)

    assert resumed.begun == 0
    assert len(trials) == min(budget, 12)
    if budget == 24:
        assert len({trial.settings for trial in trials}) == 12


def test_a_study_takes_no_lock_whose_failure_could_not_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "symlink", fail)

    assert len(Measuring().search(tmp_path / "journal")) == 12


def test_a_study_that_was_killed_more_than_once_loses_nothing(tmp_path: Path) -> None:
    for at in (1, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            Measuring(interrupt_at=at).search(tmp_path / "journal")

    trials = Measuring().search(tmp_path / "journal")

    assert len({trial.settings for trial in trials}) == len(trials) == 12


def test_a_study_that_was_killed_after_any_of_its_lines_tries_each_setting_once(
    tmp_path: Path,
) -> None:
    Measuring().search(tmp_path / "journal")
    lines = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    tried = dict[int, list[Settings]]()
    for kept in (1, 2, 3, 15, 18, 23, 28):  # with the default, and the parameters of two trials
        cut = tmp_path / f"journal{kept}"
        cut.write_bytes(b"".join(lines[:kept]))
        tried[kept] = [trial.settings for trial in Measuring().search(cut)]

    every = set(combinations(SPACE))
    assert [kept for kept, each in tried.items() if set(each) != every or len(each) != 12] == []
    assert {each[0] for each in tried.values()} == {DEFAULT}
