"""What is measured, by a real training in an environment with torch and ultralytics."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import BenchError
from snapenv.model.bench import BenchOptions
from snapenv.ports import Completed
from snapenv.targets.local import LocalTarget
from snapenv.tuning.measure import Ended, measure, measure_while
from tests.fakes import FakeTarget, FakeTask
from tests.targets.processes import all_end, group_of_child

if TYPE_CHECKING:
    from snapenv.model.bench import BenchStep
    from snapenv.tuning.measure import Measured

SMALL = BenchOptions(imgsz=64, batch=4, workers=1, amp=False, warmup_steps=2, steps=6)


@pytest.fixture(scope="module")
def measured(exact_python: Path) -> Measured:
    return measure(LocalTarget(str(exact_python)), SMALL, FakeTask(), inference=True)


@pytest.mark.exact
def test_every_step_is_timed_and_its_phases_are_within_it(measured: Measured) -> None:
    run = measured.run
    phases = run.phases

    assert (len(run.step_ms), len(run.losses)) == (6, 8)
    assert all(loss > 0 for loss in run.losses)
    assert min(phases.forward, phases.backward, phases.optimizer) > 0.01
    whole = phases.wait + phases.preprocess + phases.forward + phases.backward + phases.optimizer
    assert 0.5 < whole < 1.01
    assert run.images_per_s == pytest.approx(4000 / sorted(run.step_ms)[3], rel=0.5)
    assert run.validation_ms
    assert run.gpu is None


@pytest.mark.exact
def test_a_cpu_trains_with_the_workers_that_were_asked_for(measured: Measured) -> None:
    assert measured.run.options == SMALL
    assert measured.run.cpu.loaders_ms > 0


@pytest.mark.exact
def test_a_training_of_which_enough_was_seen_ends_with_its_loaders(exact_python: Path) -> None:
    started: set[int] = set()

    def goes_on(steps: tuple[BenchStep, ...]) -> bool:
        started.update(group_of_child("snapenv_bench.pyz"))
        return len(steps) < 3

    options = replace(SMALL, workers=2, steps=200)
    done = measure_while(LocalTarget(str(exact_python)), options, FakeTask(), goes_on=goes_on)

    assert isinstance(done, Ended)
    assert len(done.steps) == 3
    assert all(each.step_ms > 0 and each.setup_ms > 100 for each in done.steps)
    assert len(started) >= 3
    assert all_end(*started)


@pytest.mark.exact
def test_the_trained_model_predicts(measured: Measured) -> None:
    inference = measured.inference
    assert inference
    assert 0 < inference.latency_ms <= inference.latency_p95_ms
    assert inference.images_per_s >= 900 / inference.latency_ms


@pytest.mark.exact
def test_a_dataset_of_ones_own_is_trained_on_for_as_long_as_asked(
    exact_python: Path, tmp_path: Path
) -> None:
    data = dataset(exact_python, tmp_path, images=40)
    options = replace(SMALL, data=str(data), workers=0, steps=4)

    run = measure(LocalTarget(str(exact_python)), options, FakeTask()).run

    assert len(run.step_ms) == 4
    assert run.validation_ms is None
    too_long = replace(options, steps=40)
    with pytest.raises(BenchError) as caught:
        measure(LocalTarget(str(exact_python)), too_long, FakeTask())
    assert "the data holds fewer than 42 batches of 4" in caught.value.message


def dataset(python: Path, folder: Path, *, images: int) -> Path:
    """Make a dataset with the environment's own OpenCV."""
    program = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1]); "
        "from snapenv_bench.images import make_data; "
        "make_data(pathlib.Path(sys.argv[2]), train=int(sys.argv[3]), val=4)"
    )
    programs = Path(__file__).parents[2] / "snapenv" / "travel" / "programs"
    words = (str(python), "-c", program, str(programs), str(folder / "data"), str(images))
    assert LocalTarget(str(python)).run(words).exit_code == 0
    return folder / "data" / "data.yaml"


def failing(exit_code: int, stderr: str) -> FakeTarget:
    return FakeTarget(
        answers={"snapenv_bench.pyz": Completed(exit_code=exit_code, stdout="", stderr=stderr)}
    )


@pytest.mark.parametrize(
    ("exit_code", "stderr", "problem"),
    [
        (3, "", "ultralytics is not installed"),
        (4, "", "torch is not installed"),
        (6, "snapenv-bench: torch 2", "torch sees no GPU: torch 2"),
        (1, "a\nsnapenv-bench: ValueError: batch\nb", "exit code 1: ValueError: batch"),
        (137, "", "exit code 137: no output"),
    ],
)
def test_what_does_not_train_is_told(exit_code: int, stderr: str, problem: str) -> None:
    with pytest.raises(BenchError) as caught:
        measure(failing(exit_code, stderr), SMALL, FakeTask())

    assert problem in caught.value.message


def test_steps_are_heard_behind_a_progress_bar_and_past_what_was_cut() -> None:
    lines = (
        "snapenv-bench: step 1",
        '50%|##\rsnapenv-bench-step: {"step_ms": 20.5, "setup_ms": 900}',
        'snapenv-bench-step: {"step_ms": 2',
        'snapenv-bench-step: {"step_ms": 30, "setup_ms": 900}',
        'snapenv-bench-step: {"step_ms": 40, "setup_ms": 900}',
    )
    target, task = failing(1, "\n".join(lines)), FakeTask()

    done = measure_while(target, SMALL, task, goes_on=lambda steps: len(steps) < 2)

    assert isinstance(done, Ended)
    assert [(each.step_ms, each.setup_ms) for each in done.steps] == [(20.5, 900), (30, 900)]
    assert task.notes == ["step 1"]
    with pytest.raises(BenchError):
        measure_while(target, SMALL, task, goes_on=lambda _: True)


def test_an_answer_that_is_none_is_a_bug() -> None:
    done = Completed(exit_code=0, stdout=f"snapenv-bench: {json.dumps({})}\n", stderr="")

    with pytest.raises(BenchError) as caught:
        measure(FakeTarget(answers={"snapenv_bench.pyz": done}), SMALL, FakeTask())

    assert "cannot be read" in caught.value.message
