"""A search on Optuna's own journal; what is measured is made up, as a table of figures."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest

from snapenv.model.tuning import Settings, Space, Trial
from snapenv.tuning.study import search

if TYPE_CHECKING:
    from pathlib import Path

SPACE = Space(batch=(4, 8, 16), workers=(0, 2), cache=("none", "ram"))
DEFAULT = Settings(batch=4, workers=0)


def figure(settings: Settings) -> float:
    return settings.batch + settings.workers + (0.5 if settings.cache == "ram" else 0)


class Measuring:
    """Measures by a table, and remembers of what."""

    def __init__(self, *, invalid: int = 0, end_at: int = 0) -> None:
        self.asked: list[Settings] = []
        self.told: list[tuple[int, int]] = []
        self.begun = 0
        self.invalid, self.end_at = invalid, end_at

    def begin(self) -> tuple[Space, Trial]:
        self.begun += 1
        return SPACE, Trial(settings=DEFAULT, score=figure(DEFAULT))

    def measure(self, settings: Settings, *, number: int, total: int) -> Trial:
        self.asked.append(settings)
        self.told.append((number, total))
        if len(self.asked) == self.end_at:
            raise KeyboardInterrupt
        is_invalid = settings.batch == self.invalid
        return Trial(settings=settings, score=None if is_invalid else figure(settings))

    def search(self, journal: Path, *, budget: int = 24, question: str = "q") -> tuple[Trial, ...]:
        return search(journal, question, begin=self.begin, measure=self.measure, budget=budget)


def test_a_small_space_is_tried_whole_and_the_default_once(tmp_path: Path) -> None:
    measuring = Measuring(invalid=8)

    trials = measuring.search(tmp_path / "new" / "journal")

    assert trials[0] == Trial(settings=DEFAULT, score=4)
    assert len({trial.settings for trial in trials}) == len(trials) == 12
    assert len(measuring.asked) == 11
    assert measuring.told[0] == (2, 12)
    assert [trial.score for trial in trials].count(None) == 4
    assert max(trial.score or 0 for trial in trials) == 18.5


def test_a_large_space_is_searched_within_the_budget_in_the_same_order(tmp_path: Path) -> None:
    first, second = Measuring(), Measuring()

    trials = first.search(tmp_path / "a", budget=6)
    second.search(tmp_path / "b", budget=6)

    assert len(trials) == 6
    assert first.asked == second.asked


def test_a_study_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    stopped, resumed, again = Measuring(end_at=5), Measuring(), Measuring()
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
    def measure(self, settings, *, number, total):
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().measure(settings, number=number, total=total)
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


def test_a_study_that_was_killed_more_than_once_loses_nothing(tmp_path: Path) -> None:
    for end_at in (1, 2, 1):
        with pytest.raises(KeyboardInterrupt):
            Measuring(end_at=end_at).search(tmp_path / "journal")

    trials = Measuring().search(tmp_path / "journal")

    assert len({trial.settings for trial in trials}) == len(trials) == 12
