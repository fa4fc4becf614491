from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from snapenv.errors import ArchiveError, EngineError, StartError, UsageError
from snapenv.launch.records import list_records
from snapenv.launch.settings import MARK
from snapenv.model.launch import MODEL_LABEL, PROJECT_LABEL, PURPOSE_LABEL
from snapenv.ports import Completed, Services
from snapenv.workflows.run import Run, run
from tests.fakes import FakeRuns, FakeTarget
from tests.workflows.services import services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.launch import Ended, Launch


DECLARED = (PROJECT_LABEL, PURPOSE_LABEL, MODEL_LABEL)


class LostRuns(FakeRuns):
    """Its connection is lost while the program goes on."""

    def run(self, launch: Launch) -> Ended:
        self._begin(launch)
        raise EngineError("the engine went away", hint="See it.")


@pytest.fixture
def request_(tmp_path: Path) -> Run:
    """A run in a venv, with results in another folder."""
    python = tmp_path / "env/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    return Run(
        ref=str(tmp_path / "env"),
        repository="snapenv",
        argv=("true",),
        folder=tmp_path,
        runs=tmp_path / "runs",
    )


def with_runs(runs: FakeRuns, tmp_path: Path) -> Services:
    answer = Completed(exit_code=0, stdout=f"a banner\n{MARK}null\n", stderr="")
    here = FakeTarget(answers={"/env/bin/python": answer})
    return replace(services(here=here), processes=runs, state=tmp_path / "state")


def test_a_run_ends_with_its_code_and_is_written_down(request_: Run, tmp_path: Path) -> None:
    runs = FakeRuns(exit_code=7)
    given = with_runs(runs, tmp_path)

    handed = run(request_, given, lambda _: None)

    (record,) = list_records(tmp_path / "state")
    assert (handed.exit_code, handed.answer) == (7, None)
    assert runs.removed == [record.run]
    assert record.launch == runs.launches[0]


def test_what_was_not_started_leaves_nothing(request_: Run, tmp_path: Path) -> None:
    runs = FakeRuns(refusal=StartError("it did not start", hint="See it."))

    with pytest.raises(StartError):
        run(request_, with_runs(runs, tmp_path), lambda _: None)
    assert list_records(tmp_path / "state") == ()


def test_what_goes_on_although_its_engine_was_lost_stays(request_: Run, tmp_path: Path) -> None:
    runs = LostRuns()

    with pytest.raises(EngineError):
        run(request_, with_runs(runs, tmp_path), lambda _: None)
    (record,) = list_records(tmp_path / "state")
    assert runs.removed == []
    assert runs.states[record.run].running


def test_an_engine_that_is_lost_before_the_start_leaves_nothing(
    request_: Run, tmp_path: Path
) -> None:
    runs = FakeRuns(refusal=EngineError("the engine went away", hint="See it."))

    with pytest.raises(EngineError):
        run(request_, with_runs(runs, tmp_path), lambda _: None)
    assert list_records(tmp_path / "state") == ()


def test_a_dry_run_writes_and_starts_nothing(request_: Run, tmp_path: Path) -> None:
    runs = FakeRuns()

    handed = run(replace(request_, dry_run=True), with_runs(runs, tmp_path), lambda _: None)

    assert handed.answer
    assert handed.answer.endswith(" true")
    assert (runs.launches, list_records(tmp_path / "state")) == ([], ())


def test_whom_a_run_is_for_is_written_down(request_: Run, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(
        "[tool.snapenv.usage]\nproject = 'vision'\npurpose = 'ablation'\npseudonym = true",
        encoding="utf-8",
    )
    given = with_runs(FakeRuns(), tmp_path)

    run(replace(request_, project="other", model="yolov8n"), given, lambda _: None)

    (record,) = list_records(tmp_path / "state")
    assert {name: record.launch.labels[name] for name in DECLARED} == {
        PROJECT_LABEL: "other",
        PURPOSE_LABEL: "ablation",
        MODEL_LABEL: "yolov8n",
    }
    assert re.fullmatch("[0-9a-f]{12}", record.user)


def test_without_a_project_that_is_required_nothing_starts(request_: Run, tmp_path: Path) -> None:
    runs = FakeRuns()

    with pytest.raises(UsageError, match="no project"):
        run(replace(request_, require_project=True), with_runs(runs, tmp_path), lambda _: None)
    assert (runs.launches, list_records(tmp_path / "state")) == ([], ())


PROFILE = """
snapshot = "sha256:another"
machine = "m"
objective = "speed"
gain = 1.2
[train]
batch = 8
workers = 2
"""


def test_a_training_runs_with_the_settings_of_a_profile(request_: Run, tmp_path: Path) -> None:
    runs, told = FakeRuns(), list[str]()
    path = tmp_path / "tuned.toml"
    path.write_text(PROFILE)
    argv = ("yolo", "train", "batch=4")

    run(replace(request_, argv=argv, profile=path), with_runs(runs, tmp_path), told.append)

    assert runs.launches[0].argv == (*argv, "workers=2", "cache=False", "amp=True")
    assert [str(path) in line for line in told].count(True) == 1  # of another environment


def test_what_is_no_profile_starts_nothing(request_: Run, tmp_path: Path) -> None:
    runs = FakeRuns()
    path = tmp_path / "tuned.toml"
    path.write_text("[train]\n")

    with pytest.raises(ArchiveError):
        run(replace(request_, profile=path), with_runs(runs, tmp_path), lambda _: None)

    assert runs.launches == []
