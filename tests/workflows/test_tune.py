"""A search in a venv whose trainings are as fast as a table says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import (
    ArchiveError,
    BenchError,
    NotFoundError,
    PlaceBusyError,
    UsageError,
    WriteError,
)
from snapenv.launch.profile import read_profile
from snapenv.lock.store import write_snapshot
from snapenv.model.bench import BenchOptions
from snapenv.model.tuning import Profile, Settings
from snapenv.ownership.claim import claim
from snapenv.ports import Completed
from snapenv.targets.local import LocalTarget
from snapenv.tuning.measure import Measured
from snapenv.workflows.tune import TuneCommand, tune
from tests.fakes import FakeTarget
from tests.samples import sample_facts, sample_lock, sample_snapshot
from tests.targets.processes import all_end
from tests.tuning.samples import sample_run
from tests.workflows.services import REPOSITORY, services, target

if TYPE_CHECKING:
    from snapenv.model.outcome import Outcome
    from snapenv.model.results import TuneResult

SNAPSHOT = sample_snapshot(sample_lock())
DEFAULT = BenchOptions(batch=4, workers=0, imgsz=64, amp=False, device="cpu")
STAND_IN = Path(__file__).with_name("stand_in_training.py")
VARY = {"batch": "4,8", "workers": "0,2", "cache": "none"}


def by_table(options: BenchOptions) -> float:
    return options.batch * 10 + options.workers


@dataclass
class Training(FakeTarget):
    """Trains as fast as it is told; what gives no figure does not train."""

    images_per_s: Callable[[BenchOptions], float | None] = by_table
    loss: Callable[[BenchOptions], float] = lambda _: 3.0
    asked: list[BenchOptions] = field(default_factory=list)

    def run(self, argv: Any, **more: Any) -> Completed:  # noqa: ANN401
        if "snapenv_bench.pyz" not in (more.get("files") or {}):
            return super().run(argv, **more)
        words = json.loads(argv[-1])
        words.pop("inference")
        options = msgspec.convert(words, BenchOptions)
        self.asked.append(options)
        figure = self.images_per_s(options)
        if figure is None:
            return Completed(exit_code=1, stdout="", stderr="CUDA out of memory")
        run = sample_run(figure, options=options, losses=(self.loss(options),) * 5)
        answer = f"snapenv-bench: {msgspec.json.encode(Measured(run=run)).decode()}\n"
        return Completed(exit_code=0, stdout=answer, stderr="")


@dataclass
class StandIn(FakeTarget):
    """Runs a program in the place of the bench: a real process, with a child as a loader is."""

    step_ms: dict[str, list[float]] = field(default_factory=dict)
    started: Path = Path()

    def run(self, argv: Any, **more: Any) -> Completed:  # noqa: ANN401
        if "snapenv_bench.pyz" not in (more.get("files") or {}):
            return super().run(argv, **more)
        more["files"] = {"snapenv_bench.pyz": STAND_IN.read_bytes()}
        more["environment"] = {"STAND_IN": json.dumps(self.step_ms), "STARTED": str(self.started)}
        words = (sys.executable, "-I", "-S", "snapenv_bench.pyz", argv[-1])
        return LocalTarget(sys.executable).run(words, **more)


@dataclass
class Searching:
    """A folder with a snapshot and a venv, in which searches run."""

    folder: Path

    def search(self, training: Training | StandIn, **options: Any) -> Outcome[TuneResult]:  # noqa: ANN401
        training.answers = {**target(sample_facts()).answers}
        request = TuneCommand(
            ref=str(self.folder / "snapshot"),
            engine="venv",
            into=self.folder / ".venv",
            repository=REPOSITORY,
            options=DEFAULT,
            vary=VARY,
            output=self.profile,
        )
        state, cache = self.folder / "state", self.folder / "cache"
        made = replace(services(here=training), state=state, cache=cache)
        return tune(replace(request, **options), made)

    @property
    def profile(self) -> Path:
        return self.folder / "tuned.toml"


@pytest.fixture
def searching(tmp_path: Path) -> Searching:
    write_snapshot(SNAPSHOT, tmp_path / "snapshot")
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").touch()
    return Searching(tmp_path)


def test_the_fastest_settings_become_a_profile(searching: Searching) -> None:
    training = Training()

    done = searching.search(training)

    best = Settings(batch=8, workers=2, amp=False)
    assert done.result.tuning.chosen == best
    assert len(done.result.tuning.trials) == 4
    assert done.result.tuning.gain
    assert done.result.tuning.gain.ratios == pytest.approx((82 / 40,) * 3)
    assert read_profile(searching.profile) == Profile(
        snapshot=SNAPSHOT.digest,
        machine="2 x Intel(R) Xeon(R) Platinum 8480C",
        objective="speed",
        gain=2.05,
        train=best,
    )
    assert [(each.batch, each.workers) for each in training.asked[-6:]] == [
        *((4, 0), (8, 2), (8, 2), (4, 0), (4, 0), (8, 2))
    ]
    assert [each.augment for each in training.asked].count(False) == 2
    assert list(done.lines[:-1]) == wording(
        [
            "yolov8n.yaml at 64 px on 2 x Intel(R) Xeon(R) Platinum 8480C: 4 trials",
            "82.0 images/s  batch 8, workers 2, cache none, no amp",
            "80.0 images/s  batch 8, workers 0, cache none, no amp",
            "42.0 images/s  batch 4, workers 2, cache none, no amp",
            "40.0 images/s  batch 4, workers 0, cache none, no amp",
            "chosen: batch 8, workers 2, cache none, no amp",
            "2.05 times as good as the default (pairs 2.05, 2.05, 2.05; less than 3% cannot be seen here)",
        ]
    )
    assert str(searching.profile) in done.lines[-1]
    assert len(done.warnings) == 1
    assert [each.images_per_s for each in done.result.tuning.defaults] == [40, 40, 40]
    assert (done.result.tuning.drift, done.result.tuning.drifted) == (0, False)


def test_where_the_default_is_best_there_is_no_profile(searching: Searching) -> None:
    done = searching.search(Training(images_per_s=lambda options: 100 - by_table(options)))

    assert done.result.tuning.chosen == Settings(batch=4, workers=0, amp=False)
    assert (done.result.tuning.gain, done.result.profile) == (None, None)
    assert not searching.profile.exists()
    assert done.lines[-1] == wording(
        "no proven gain: the default is the best, batch 4, workers 0, cache none, no amp"
    )


def test_a_gain_within_the_noise_is_not_proven(searching: Searching) -> None:
    searched = [40, 41, 40, 42, 44, 40]  # with the default in the middle and at the end
    figures = iter([*searched, *[44, 42, 41] * 2, *[40, 44, 38, 41, 39, 42]])

    done = searching.search(
        Training(images_per_s=lambda each: next(figures) if each.augment else 44)
    )

    gain = done.result.tuning.gain
    assert gain
    assert not gain.proven
    assert gain.resolution == pytest.approx(44 / 38 - 1)
    assert done.result.profile is None
    assert not searching.profile.exists()
    assert done.lines[-1] == wording(
        "no proven gain over the default: 1.08 times as good (pairs 1.10, 0.93, 1.08; less than 16% cannot be seen here)"
    )


def test_a_machine_that_got_slower_meanwhile_is_told(searching: Searching) -> None:
    figures = iter([40, 50, 36, 52, 54, 30])

    done = searching.search(Training(images_per_s=lambda each: next(figures, by_table(each))))

    tuning = done.result.tuning
    assert tuning.drift == pytest.approx(40 / 30 - 1)
    assert tuning.drifted
    assert done.warnings[-1] == wording(
        "the machine changed during the search: the default alone made 40.0, 36.0, 30.0 images/s, 33% apart; trust the pairs, not the order of the trials"
    )


def test_what_does_not_train_is_no_candidate(searching: Searching) -> None:
    training = Training(images_per_s=lambda each: None if each.batch == 8 else by_table(each))

    done = searching.search(training)

    assert done.result.tuning.chosen == Settings(batch=4, workers=2, amp=False)
    reasons = [each.reason for each in done.result.tuning.trials if each.score is None]
    assert len(reasons) == 2
    assert all("out of memory" in (reason or "") for reason in reasons)
    with pytest.raises(BenchError):
        searching.search(Training(images_per_s=lambda _: None), vary={"batch": "2"})


def test_settings_that_train_otherwise_are_not_chosen(searching: Searching) -> None:
    training = Training(loss=lambda options: 3.0 + options.workers / 100)

    done = searching.search(training)

    assert done.result.tuning.chosen == Settings(batch=8, workers=0, amp=False)


def test_a_search_goes_on_where_it_was_interrupted(searching: Searching) -> None:
    figures = iter([40.0, 80.0])

    def until_it_is_interrupted(_: BenchOptions) -> float:
        try:
            return next(figures)
        except StopIteration:
            raise KeyboardInterrupt from None

    with pytest.raises(KeyboardInterrupt):
        searching.search(Training(images_per_s=until_it_is_interrupted))
    resumed, whole = Training(), Training()

    done = searching.search(resumed)
    searching.search(whole, images=5, repeat=2)

    assert len(done.result.tuning.trials) == 4
    assert len(resumed.asked) == len(whole.asked) - 2 + 3


def test_a_search_that_is_done_is_only_told_again(searching: Searching) -> None:
    slower = Training(images_per_s=lambda options: 100 - by_table(options))
    first = searching.search(slower, repeat=1)

    again = searching.search(slower, repeat=1)

    at = first.result.tuning.at
    assert replace(again.result, tuning=replace(again.result.tuning, at=at)) == first.result


def test_a_search_that_ended_is_told_again_and_drawn_without_measuring(
    searching: Searching, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, idle = searching.folder / "trials.html", Training()
    with pytest.raises(NotFoundError):
        searching.search(idle, kept=True)
    first = searching.search(Training(), report=page)
    drawn = page.read_text()
    searching.profile.unlink()
    page.unlink()
    monkeypatch.setitem(sys.modules, "optuna", None)  # which nobody needs to look at a search

    told = searching.search(idle, kept=True, report=page, engine="docker")

    assert idle.asked == []
    assert told.result.tuning == first.result.tuning
    assert (told.lines, told.warnings) == (first.lines, first.warnings)
    assert read_profile(searching.profile).train == first.result.tuning.chosen
    assert page.read_text() == drawn
    assert drawn.count('class="dot') > 4 + 4 + 3


def test_a_page_that_cannot_be_written_is_refused_before_the_search(searching: Searching) -> None:
    training = Training()
    with pytest.raises(WriteError):
        searching.search(training, report=searching.folder / "none" / "trials.html")
    assert training.asked == []


def test_one_search_at_a_time(searching: Searching) -> None:
    journal = searching.folder / f"state/tune/{SNAPSHOT.digest.removeprefix('sha256:')}.journal"
    with (
        claim(searching.folder / "cache/locks", "x", key=str(journal)),
        pytest.raises(PlaceBusyError),
    ):
        searching.search(Training())


def test_energy_that_nobody_measures_is_refused_at_once(searching: Searching) -> None:
    training = Training()
    with pytest.raises(UsageError):
        searching.search(training, objective="energy")
    assert len(training.asked) == 1


def test_a_file_that_is_no_profile_is_not_replaced(searching: Searching) -> None:
    searching.profile.write_text("[project]\n")
    training = Training()
    with pytest.raises(ArchiveError):
        searching.search(training)
    assert training.asked == []
    assert searching.profile.read_text() == "[project]\n"


def test_trials_that_are_behind_end_early_with_all_that_they_started(searching: Searching) -> None:
    images_per_s = {
        Settings(batch=batch, workers=workers, amp=False): by_batch + workers
        for batch, by_batch in ((1, 300), (2, 800), (4, 1000))
        for workers in (0, 1, 2)
    }
    step_ms = {
        f"{each.batch}/{each.workers}/{each.cache}": [1000 * each.batch / figure]
        for each, figure in images_per_s.items()
    }
    training = StandIn(step_ms=step_ms, started=searching.folder / "started")
    options = replace(DEFAULT, steps=12)
    vary = {"batch": "1,2,4", "workers": "0,1,2", "cache": "none"}

    done = searching.search(training, options=options, vary=vary, repeat=1, pairs=2)

    tuning = done.result.tuning
    assert tuning.chosen == Settings(batch=4, workers=2, amp=False)
    assert len(tuning.trials) == 9
    ended = [trial for trial in tuning.trials if trial.ended_after is not None]
    assert {trial.ended_after for trial in ended} <= {5, 10}
    assert len(ended) >= 2
    assert all(each.score == pytest.approx(images_per_s[each.settings]) for each in ended)
    assert [each.after for each in tuning.defaults] == [1, 4, 9]
    started = training.started.read_text().split()
    assert len(started) == 2 * (9 + 2 + 2 + 4)
    assert all_end(*map(int, started))
