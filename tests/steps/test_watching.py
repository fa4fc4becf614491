"""Trainings watched from outside: real folders and a real ledger; what stops them is noted."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.model.launch import InImage, Launch, Limits, RunRecord
from snapenv.model.sampling import Moment
from snapenv.model.usage import Sample, UsedGpu
from snapenv.steps.watching import Observation, Watched, watch
from snapenv.usage.ledger import Ledger, open_ledger
from snapenv.usage.stop_rule import Rule
from tests.usage.training_folder import ARGUMENTS, checkpoint
from tests.usage.values import GPU_UUID, KEY, STARTED_MS, sample_usage_run
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from snapenv.model.launch import StopRule

MINUTE_MS = 60_000
RULE = Rule(window_ms=20 * MINUTE_MS, hold_ms=10 * MINUTE_MS)
HEADER = "epoch,time,train/box_loss,metrics/mAP50-95(B)\n"


@dataclass
class Watching:
    """A run that started at STARTED_MS and is looked at, with the rows of its training."""

    ledger: Ledger
    training: Path
    limits: Limits = field(default_factory=Limits)
    resumed: bool = False
    before: Watched | None = None
    started: list[tuple[str, ...]] = field(default_factory=list)
    told_minutes: list[float] = field(default_factory=list)
    minute: float = 0.0

    def look(self, minute: float, *, jumped_ms: int = 0) -> Watched:
        self.minute = minute
        at = Moment(
            wall_ms=STARTED_MS + round(minute * MINUTE_MS) + jumped_ms,
            boot_ms=round(minute * MINUTE_MS),
        )
        record = RunRecord(
            run="run",
            kind="run",
            ref="tag",
            snapshot=None,
            created="2026-11-01T14:00:00Z",
            engine="unix:///x",
            results=str(self.training.parent),
            detached=False,
            launch=Launch(run="run", place=InImage(id="sha256:a", name="tag"), argv=("train",)),
            training=str(self.training) if self.resumed else None,
            limits=self.limits,
        )
        run = self.ledger.run(KEY)
        assert run
        self.before = watch(
            Observation(
                record=record,
                run=run,
                ledger=self.ledger,
                services=replace(services(), start_aside=self.note),
                at=at,
                rule=RULE,
            ),
            self.before,
        )
        return self.before

    def note(self, words: Sequence[str]) -> None:
        self.started.append(tuple(words))
        self.told_minutes.append(self.minute)

    def write(self, rows: str, *, minute: float, header: str = HEADER) -> None:
        """Write results.csv as it is at a minute, and the checkpoint."""
        weights = self.training / "weights" / "last.pt"
        if not weights.exists():
            checkpoint(weights, {"train_args": {"batch": 8}})
        path = self.training / "results.csv"
        path.write_text(header + rows)
        seconds = STARTED_MS / 1000 + minute * 60
        for each in (path, weights):
            os.utime(each, (seconds, seconds))

    def flat_epochs(self, count: int) -> None:
        """Write epochs of two minutes each that stand still."""
        rows = "".join(f"{n},{n * 120},2.5,0.4\n" for n in range(1, count + 1))
        self.write(rows, minute=2 * count)

    def sample(self, *, until_minute: int, utilization: int) -> None:
        self.ledger.add_samples(
            Sample(
                key=KEY,
                gpu=GPU_UUID,
                at_ms=STARTED_MS + at * 15_000,
                utilization=utilization,
                util_source="nvml",
            )
            for at in range(until_minute * 4 + 1)
        )

    @property
    def epochs(self) -> list[tuple[int, int, float]]:
        """The rows of the ledger: attempt, epoch, and in which minute."""
        return [
            (row.attempt, row.epoch, (row.at_ms - STARTED_MS) / MINUTE_MS)
            for row in self.ledger.epochs(KEY)
        ]

    @property
    def events(self) -> list[tuple[str, int | None]]:
        return [(one.kind, one.value) for one in self.ledger.events_of(KEY)]


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    training = tmp_path / "runs" / "train"
    training.mkdir(parents=True)
    (training / "args.yaml").write_text(ARGUMENTS.replace("epochs: 12", "epochs: 300"))
    with open_ledger(tmp_path / "usage.sqlite3") as ledger:
        ledger.put_run(sample_usage_run(ended_ms=None, duration_ms=None, training=None, model=None))
        yield Watching(ledger, training)


def test_epochs_of_a_training_are_written_down_as_they_come(watching: Watching) -> None:
    watching.look(0)
    watching.write("1,60,3,0.1\n", minute=1)
    watching.look(1.2)
    watching.write("1,60,3,0.1\n2,180,2,0.3\n3,240,2.5,0.2\n", minute=4)
    watching.look(4.1)
    watching.look(5)

    run = watching.ledger.run(KEY)
    assert run
    assert run.training
    assert watching.epochs == [(1, 1, 1.0), (1, 2, 3.0), (1, 3, 4.0)]
    assert (run.model, run.training.batch, run.training.epochs) == ("yolov8n.yaml", 8, 300)
    assert (run.training.best, run.training.best_epoch, run.training.epochs_done) == (0.3, 2, 3)
    assert (run.training.metric, run.training.epoch_ms) == ("mAP50-95(B)", 90_000)
    assert watching.events == [("batch", 8)]
    assert run.rev == 3  # nothing is written where nothing has changed


def test_a_model_that_was_declared_stays(watching: Watching) -> None:
    watching.ledger.change_run(KEY, model="our own")
    watching.write("1,60,3,0.1\n", minute=1)

    watching.look(1.2)

    run = watching.ledger.run(KEY)
    assert run
    assert run.model == "our own"


def test_another_sampler_goes_on_where_one_has_ended(watching: Watching) -> None:
    watching.write("1,60,3,0.1\n", minute=1)
    watching.look(1.2)
    watching.before = None
    watching.write("1,60,3,0.1\n2,120,2,0.3\n", minute=2)
    watching.look(2.2)

    assert watching.epochs == [(1, 1, 1.0), (1, 2, 2.0)]
    assert watching.events == [("batch", 8)]


def test_what_begins_again_is_another_attempt(watching: Watching) -> None:
    first = "1,60,3,0.1\n2,120,2,0.3\n"
    watching.write(first, minute=2)
    watching.look(2.1)
    watching.write(f"{first}2,30,2.2,0.3\n3,60,2.1,0.3\n", minute=4)
    watching.look(4.1)

    assert watching.epochs == [(1, 1, 1.0), (1, 2, 2.0), (2, 2, 3.5), (2, 3, 4.0)]


def test_another_training_of_the_same_run_is_another_attempt(watching: Watching) -> None:
    watching.write("1,60,3,0.1\n2,120,2,0.3\n", minute=2)
    watching.look(2.1)
    watching.training = watching.training.with_name("train2")
    watching.write("1,60,3,0.1\n", minute=4)
    watching.look(4.1)
    watching.look(4.3)

    assert watching.epochs == [(1, 1, 1.0), (1, 2, 2.0), (2, 1, 4.0)]


def test_epochs_of_the_run_that_is_continued_are_not_counted_twice(watching: Watching) -> None:
    watching.resumed = True
    header = "epoch, train/box_loss\n"
    answer = watching.training / "snapenv" / "resumed.json"
    answer.parent.mkdir()
    answer.write_text('{"epoch": 1, "epochs": 300}')  # of the run before that
    os.utime(answer, (STARTED_MS / 1000 - 60,) * 2)
    watching.write("1, 3\n2, 2\n3, 1\n", minute=0, header=header)
    watching.look(0.1)
    answer.write_text('{"epoch": 2, "epochs": 300}')
    os.utime(answer, (STARTED_MS / 1000 + 10,) * 2)
    watching.write("1, 3\n2, 2\n", minute=0.2, header=header)
    watching.look(0.5)
    watching.write("1, 3\n2, 2\n3, 1.5\n", minute=2, header=header)
    watching.look(2.5)

    assert watching.epochs == [(1, 3, 2.0)]


def test_a_training_of_an_earlier_run_is_left_alone(watching: Watching) -> None:
    watching.write("1,60,3,0.1\n", minute=-5)

    watching.look(1)

    assert watching.epochs == []


def test_a_run_is_told_to_stop_before_its_next_checkpoint_would_come_too_late(
    watching: Watching,
) -> None:
    watching.limits = Limits(max_duration_ms=10 * MINUTE_MS)
    watching.write("1,120,3,0.1\n2,240,2,0.3\n3,360,2,0.3\n", minute=6)
    watching.look(6.1)
    assert watching.started == []
    watching.write("1,120,3,0.1\n2,240,2,0.3\n3,360,2,0.3\n4,490,2,0.3\n", minute=8.2)

    watching.look(8.3)

    words = ("usage", "pause", "run", "--by", "max-hours", "--reason")
    reason = wording("it would last longer than 0.1667 h (--max-hours)")
    assert watching.started == [(*words, reason)]
    watching.look(9)
    assert len(watching.started) == 1
    watching.look(9.5)  # it goes on although it was told
    assert len(watching.started) == 2


def test_a_clock_that_jumps_neither_stops_a_run_nor_lets_it_go_on(watching: Watching) -> None:
    watching.limits = Limits(max_duration_ms=10 * MINUTE_MS)
    day_ms = 24 * 60 * MINUTE_MS
    watching.look(1)
    watching.look(9, jumped_ms=day_ms)
    assert watching.started == []

    watching.look(10, jumped_ms=-day_ms)

    assert len(watching.started) == 1


def test_a_cost_is_told_in_its_currency(watching: Watching) -> None:
    watching.limits = Limits(max_cost=45_500_000, currency="EUR", cost_duration_ms=10 * MINUTE_MS)

    watching.look(10)

    reason = wording("it would cost more than 45.50 EUR (--max-cost)")
    assert watching.started == [("usage", "pause", "run", "--by", "max-cost", "--reason", reason)]


def judged(watching: Watching, mode: StopRule, *, utilization: int = 10) -> list[tuple[str, ...]]:
    """Let a training stand still for an hour; return what was started, without the reason."""
    watching.limits = Limits(stop_rule=mode)
    watching.ledger.change_run(KEY, gpus=(UsedGpu(uuid=GPU_UUID, model="NVIDIA H200"),))
    watching.sample(until_minute=60, utilization=utilization)
    for epoch in range(1, 31):
        watching.flat_epochs(epoch)
        watching.look(2 * epoch + 0.2)
    return [(*words[:5], *words[7:]) for words in watching.started]


WARNED = ("usage", "pause", "run", "--by", "stop-rule", "--warn")
PAUSED = WARNED[:-1]


def test_a_training_that_goes_on_for_nothing_is_warned_of_and_then_paused(
    watching: Watching,
) -> None:
    started = judged(watching, "pause")

    assert started[:2] == [WARNED, PAUSED]
    assert watching.told_minutes[:2] == pytest.approx([26.2, 36.2])
    assert ("warned", None) in watching.events
    assert watching.started[0][6] == wording(
        "its best loss improved by less than 0.1 % in 0.333 h, and no GPU was used at more than 10 %"
    )
    warned = next(one for one in watching.ledger.events_of(KEY) if one.kind == "warned")
    # 20 minutes of 2-minute epochs, of which three make a median before them.
    assert (warned.at_ms - STARTED_MS) / MINUTE_MS == pytest.approx(26.2)


def test_what_is_an_improvement_may_be_said_in_the_losss_own_unit(watching: Watching) -> None:
    watching.limits = Limits(stop_rule="warn", min_improvement=0.5)
    watching.ledger.change_run(KEY, gpus=(UsedGpu(uuid=GPU_UUID, model="NVIDIA H200"),))
    watching.sample(until_minute=60, utilization=10)
    chance, rows = random.Random(1), ""
    for epoch in range(1, 31):
        rows += f"{epoch},{epoch * 120},{2.5 + 0.3 * chance.random()},0.4\n"
        watching.write(rows, minute=2 * epoch)
        watching.look(2 * epoch + 0.2)

    assert watching.started[0][6] == wording(
        "its best loss improved by less than 0.5 in 0.333 h, and no GPU was used at more than 10 %"
    )


def test_with_warn_a_training_is_only_warned_of_once(watching: Watching) -> None:
    assert judged(watching, "warn") == [WARNED]


def test_a_training_of_which_it_is_hard_to_tell_is_not_warned_of_all_the_time(
    watching: Watching,
) -> None:
    watching.limits = Limits(stop_rule="warn")
    watching.ledger.change_run(KEY, gpus=(UsedGpu(uuid=GPU_UUID, model="NVIDIA H200"),))
    watching.sample(until_minute=240, utilization=10)
    chance, rows, begun = random.Random(4), "", set[int | None]()
    for epoch in range(1, 121):
        rows += f"{epoch},{epoch * 120},{2.5 + chance.gauss(0, 0.1)},0.4\n"
        watching.write(rows, minute=2 * epoch)
        begun.add(watching.look(2 * epoch + 0.2).holds_boot_ms)

    warned = [one.at_ms for one in watching.ledger.events_of(KEY) if one.kind == "warned"]
    assert len(begun) - 1 > len(warned) > 1
    assert min(after - before for before, after in pairwise(warned)) >= RULE.window_ms


def test_the_rule_is_off_unless_it_is_asked_for(watching: Watching) -> None:
    assert judged(watching, "off") == []


def test_a_gpu_that_is_used_keeps_a_training_going(watching: Watching) -> None:
    assert judged(watching, "pause", utilization=70) == []
