"""Runs that fail are continued, or started anew: with runs in memory, and real folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotFoundError, PlaceBusyError
from snapenv.launch.records import mark_stopped, read_end, read_record, write_record
from snapenv.model.launch import (
    PROJECT_LABEL,
    USER_LABEL,
    Counted,
    RunState,
)
from snapenv.steps.launching import end_run
from snapenv.steps.resuming import find_training
from snapenv.usage.ledger import open_ledger
from snapenv.workflows.run import run
from tests.fakes import DESCRIBED
from tests.workflows.failing_runs import Failing, checkpoint, record, request
from tests.workflows.services import EngineWithBase, services

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.ports import Services


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def failing(tmp_path: Path) -> tuple[Failing, Services]:
    runs = Failing()
    return runs, replace(services(), containers=runs, state=tmp_path / "state")


def test_the_newest_training_of_a_run_is_found(project: Path) -> None:
    checkpoint(project / "runs" / "train")
    newest = checkpoint(project / "else" / "train2", at=1_900_000_000)
    checkpoint(project / ".hidden" / "train3", at=1_950_000_000)
    checkpoint(project / "runs" / "before", at=1_700_000_000)

    assert find_training(record(project)) == newest


def test_without_a_checkpoint_since_its_start_there_is_none(project: Path) -> None:
    checkpoint(project / "runs" / "before", at=1_700_000_000)

    assert find_training(record(project)) is None


def test_a_run_is_continued_and_its_record_says_of_what(
    failing: tuple[Failing, Services], project: Path
) -> None:
    runs, services_ = failing
    training = checkpoint(project / "runs" / "train")
    assert services_.state
    write_record(services_.state, record(project))
    runs.codes = [137, 0]
    said: list[str] = []

    handed = run(request(project, resume="first", restarts=3), services_, said.append)

    first, second = (read_record(services_.state, one.run) for one in runs.launches)
    assert handed.exit_code == 0
    assert (first.resumed_from, first.training) == ("first", str(training))
    assert (second.resumed_from, second.training) == (first.run, str(training))
    assert first.launch.argv[-1] == second.launch.argv[-1] == str(training)
    assert said[0] == wording(
        "exit code 137: it was killed: by docker kill, by a stop after its grace time, or by somebody here"
    )
    assert said[2] == f"restart 1 of 3, from {training}: run {second.run}"


def test_each_attempt_is_counted_for_whom_the_first_was(
    failing: tuple[Failing, Services], project: Path
) -> None:
    runs, services_ = failing
    checkpoint(project / "runs" / "train")
    assert services_.state
    first = record(project)
    labels = {PROJECT_LABEL: "vision", USER_LABEL: "ann"}
    old = Counted(key="old", started_ms=1, boot_ms=1, boot_id="")
    launch = replace(first.launch, labels=labels)
    write_record(
        services_.state,
        replace(first, launch=launch, user="5ad0c1", tag="tag", image="sha256:a", counted=old),
    )
    runs.codes = [137, 0]

    run(request(project, resume="first", restarts=3), services_, lambda _: None)

    with open_ledger(services_.state / "usage.sqlite3") as ledger:
        written = ledger.runs(0, 1 << 62)
    assert [(one.exit_code, one.failure, one.resumed_from) for one in written] == [
        (137, "killed", "first"),
        (0, None, written[0].run),
    ]
    assert len({one.key for one in written} | {"old"}) == 3
    for one in written:
        assert (one.user, one.project, one.tag, one.image) == (
            *("5ad0c1", "vision", "tag", "sha256:a"),
        )


def test_what_left_no_checkpoint_is_not_continued(
    failing: tuple[Failing, Services], project: Path
) -> None:
    _, services_ = failing
    assert services_.state
    write_record(services_.state, record(project))

    with pytest.raises(NotFoundError) as caught:
        run(request(project, resume="first"), services_, lambda _: None)

    assert str(caught.value) == wording("run first has left no checkpoint that could be continued")
    with pytest.raises(NotFoundError, match="no run second"):
        run(request(project, resume="second"), services_, lambda _: None)


def test_what_goes_on_is_not_continued(failing: tuple[Failing, Services], project: Path) -> None:
    runs, services_ = failing
    assert services_.state
    write_record(services_.state, record(project))
    runs.states["first"] = RunState(run="first", status="running")

    with pytest.raises(PlaceBusyError) as caught:
        run(request(project, resume="first"), services_, lambda _: None)

    assert str(caught.value) == wording("run first goes on")


def test_a_problem_of_the_continued_is_the_cause_of_its_end(
    failing: tuple[Failing, Services], project: Path
) -> None:
    runs, services_ = failing
    training = checkpoint(project / "runs" / "train")
    (training / "snapenv").mkdir()
    answer = '{"problem": "it is finished", "hint": "Start a new one."}'
    (training / "snapenv" / "resumed.json").write_text(answer)
    assert services_.state
    write_record(services_.state, record(project))
    runs.codes = [3]
    said: list[str] = []

    handed = run(request(project, resume="first"), services_, said.append)

    end = read_end(services_.state, runs.launches[0].run)
    assert handed.exit_code == 3
    assert said == wording(["exit code 3: it is finished", "Start a new one."])
    assert end
    assert (end.cause, end.hint) == ("it is finished", wording("Start a new one."))


def test_what_somebody_stops_is_not_restarted(
    failing: tuple[Failing, Services], project: Path
) -> None:
    runs, services_ = failing
    checkpoint(project / "runs" / "train")
    state = services_.state
    assert state
    write_record(state, record(project))
    runs.codes = [130]
    runs.before_end = lambda one: mark_stopped(state, one)
    said: list[str] = []

    handed = run(request(project, resume="first", restarts=3), services_, said.append)

    assert (handed.exit_code, said) == (130, [])


def test_restarts_have_an_end(failing: tuple[Failing, Services], project: Path) -> None:
    runs, services_ = failing
    checkpoint(project / "runs" / "train")
    assert services_.state
    write_record(services_.state, record(project))
    runs.codes = [1, 1, 1]

    handed = run(request(project, resume="first", restarts=2), services_, lambda _: None)

    assert handed.exit_code == 1
    assert len(runs.launches) == 3


@pytest.mark.parametrize(("local", "cause"), [(True, "the GPU 0 failed"), (False, None)])
def test_the_kernel_of_this_machine_is_asked_for_its_own_containers(
    tmp_path: Path, *, local: bool, cause: str | None
) -> None:
    engine = EngineWithBase(described=replace(DESCRIBED, local=local))
    here = replace(services(engine), kernel_log=lambda _: ("NVRM: Xid (0): 79, gone",))
    started = record(tmp_path)
    with_gpu = replace(started, launch=replace(started.launch, gpus="all"))

    end = end_run(with_gpu, RunState(run="first", status="exited", exit_code=1), here)

    assert (end.cause and end.cause.partition(":")[0]) == cause
