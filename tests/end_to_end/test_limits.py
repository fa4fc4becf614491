"""Runs that snapenv stops itself: at a limit, seen by a sampler, and by the stop rule."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.launch.records import read_record
from snapenv.model.sampling import Moment
from snapenv.model.usage import Sample, UsedGpu
from snapenv.steps.watching import Observation, watch
from snapenv.usage.ledger import open_ledger
from snapenv.usage.stop_rule import Rule
from snapenv_resume.files import damage
from tests.end_to_end.projects import Project
from tests.engines.run_image import run_image
from tests.usage.values import GPU_UUID
from tests.workflows.services import services

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from snapenv.model.usage import UsageRun
    from snapenv.usage.ledger import Ledger

IMAGE = "limit-tests:train-py3.13-base-cpu"
STANDS_STILL = """
from ultralytics import YOLO
YOLO("yolov8n.yaml").train(
    data="data/data.yaml", epochs=400, imgsz=32, batch=8, workers=0, device="cpu", plots=False,
    amp=False, name="train", lr0=0.0, warmup_epochs=0, warmup_bias_lr=0.0, close_mosaic=0,
)
"""
# Whatever the loss does is no improvement: how it is judged is tried elsewhere.
RULE = Rule(window_ms=2000, hold_ms=2000, epochs=3, improvement=1e9, coverage=0.5)


@pytest.fixture(scope="module")
def image(engine_host: str, base_image: str) -> Iterator[str]:
    with run_image(IMAGE, engine=engine_host, base=base_image) as name:
        yield name


@pytest.fixture
def project(exact_python: Path, tmp_path: Path) -> Project:
    return Project(tmp_path, str(exact_python.parents[1]))


@contextlib.contextmanager
def ledger_of(project: Project) -> Iterator[Ledger]:
    with open_ledger(project.state / "snapenv" / "usage.sqlite3") as ledger:
        yield ledger


def counted(project: Project) -> list[UsageRun]:
    with ledger_of(project) as ledger:
        return list(ledger.runs(0, 1 << 60))


def kinds(project: Project, run: UsageRun) -> list[str]:
    with ledger_of(project) as ledger:
        return [one.kind for one in ledger.events_of(run.key)]


def sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let snapenv start samplers, which tests have otherwise switched off."""
    monkeypatch.setenv("SNAPENV_SAMPLE_INTERVAL", "0.3")


@pytest.mark.docker
def test_a_container_in_the_background_is_stopped_at_its_limit(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled(monkeypatch)
    project = Project(tmp_path, image)
    words = ("--detach", "--max-hours", "0.0002", "--stop-timeout", "5", "--", "sleep", "60")
    started = project.program.run("run", project.environment, *words, folder=project.folder)
    assert started.returncode == 0, started.stderr
    name = started.stdout.strip()

    try:
        wait_until(lambda: project.written("end.json"))
        (listed,) = project.program.result("ps", "--all")["runs"]
    finally:
        project.program.run("stop", name)

    (run,) = counted(project)
    assert (run.run, run.failure) == (name, "max-hours")
    assert listed["status"] == "exited"
    assert listed["cause"] == wording(
        "snapenv stopped it, as it would last longer than 0.0002 h (--max-hours)"
    )


@pytest.mark.exact
def test_a_run_is_stopped_at_its_limit_with_a_code_of_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled(monkeypatch)
    notify = 'printf %s "$SNAPENV_NOTICE" > told.json'
    words = ("--max-hours", "0.0002", "--notify", notify, "--", "sleep", "600")

    with project.running(project.environment, *words) as process:
        _, err = process.communicate(timeout=300)

    (run,) = counted(project)
    assert process.returncode == 75, err
    assert (run.exit_code, run.failure, run.max_duration_ms) == (130, "max-hours", 720)
    assert run.duration_ms is not None
    assert 720 <= run.duration_ms < 300_000
    # Both are written by the process that stops it, which may still be at it.
    wait_until(lambda: kinds(project, run) == ["stopped"])
    told = json.loads((project.folder / "told.json").read_text())
    assert (told["event"], told["by"], told["run"]) == ("stopped", "max-hours", run.run)
    assert "checkpoint" not in told


def wait_until(holds: Any, limit_s: float = 300) -> None:  # noqa: ANN401
    end = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.exact
@pytest.mark.full
def test_a_training_that_was_stopped_at_its_limit_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled(monkeypatch)
    words = ("--max-hours", "0.01", "--", "python", "train.py", "2000")
    with project.running(project.environment, *words) as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    done = len(project.epochs())
    (first,) = counted(project)

    again = ("--resume", first.run, "--max-hours", "0.008")
    with project.running(*again) as process:
        _, err = process.communicate(timeout=120)

    first, second = counted(project)
    assert process.returncode == 75, err
    assert (second.resumed_from, second.failure, second.max_duration_ms) == (
        first.run,
        "max-hours",
        28_800,
    )
    assert project.epochs() == list(range(1, len(project.epochs()) + 1))
    assert len(project.epochs()) > done
    with ledger_of(project) as ledger:
        before, after = ([row.epoch for row in ledger.epochs(one.key)] for one in (first, second))
    assert before == list(range(1, before[-1] + 1))
    assert after == list(range(after[0], after[-1] + 1))
    assert before[-1] - 1 <= after[0] - 1 <= before[-1]  # at most the last epoch was not saved
    assert first.training
    assert (first.training.batch, first.training.images, first.training.epochs) == (8, 8, 2000)


@pytest.mark.exact
@pytest.mark.full
def test_a_training_that_stands_still_is_paused_and_goes_on(project: Project) -> None:
    (project.folder / "train.py").write_text(STANDS_STILL)
    words = (project.environment, "--stop-rule", "pause", "--", "python", "train.py")
    with project.running(*words) as process:
        project.wait_for_epochs(1, process)
        (run,) = counted(project)
        stop = watched_until_stopped(project, run)
        done = project.program.run(*stop)
        assert done.returncode == 0, done.stderr
        _, err = process.communicate(timeout=300)

    (run,) = counted(project)
    assert process.returncode == 75, err
    assert run.failure == "stop-rule"
    assert (kinds(project, run)[0], kinds(project, run)[-1]) == ("warned", "stopped")
    (kept,) = (project.save_dir / "snapenv").glob("kept-*.pt")
    assert damage(kept) is None
    trained = len(project.epochs())

    with project.running("--resume", run.run) as process:
        project.wait_for_epochs(trained + 1, process)
        process.terminate()
        process.communicate(timeout=300)
    assert counted(project)[1].resumed_from == run.run


def watched_until_stopped(project: Project, run: UsageRun) -> Sequence[str]:
    """Watch as the sampler does, with a GPU that is hardly used; return how it is stopped."""
    record = read_record(project.state / "snapenv", run.run)
    started: list[Sequence[str]] = []
    outside = replace(services(), start_aside=started.append)
    with ledger_of(project) as ledger:
        run = ledger.change_run(run.key, gpus=(UsedGpu(uuid=GPU_UUID, model="NVIDIA H200"),))
        seen, end = None, time.monotonic() + 120
        while not started or "--warn" in started[-1]:
            assert time.monotonic() < end, seen
            now_ms = time.time_ns() // 1_000_000
            boot_ms = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
            ledger.add_samples((Sample(key=run.key, gpu=GPU_UUID, at_ms=now_ms, utilization=10),))
            look = Observation(
                record=record,
                run=run,
                ledger=ledger,
                services=outside,
                at=Moment(wall_ms=now_ms, boot_ms=boot_ms),
                rule=RULE,
            )
            seen = watch(look, seen)
            time.sleep(0.2)
    assert len(started) >= 2
    return started[-1]
