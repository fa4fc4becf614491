"""What is said of an environment before a run starts in it, and while it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import NotAsLockedError
from snapenv.lock.store import write_snapshot
from snapenv.model.launch import InImage, InVenv, Launch, RunRecord, RunState
from snapenv.ports import Completed
from snapenv.steps.still_locked import check_before, check_running, keep_as_locked
from tests.fakes import FakeRuns, FakeTarget
from tests.samples import TAG, sample_distribution, sample_environment, sample_snapshot
from tests.workflows.services import BASE, LOCK, EngineWithBase, services, target

if TYPE_CHECKING:
    from pathlib import Path

    from snapenv.model.launch import Place
    from snapenv.ports import Services

OTHER = f"{TAG}: not as locked: numpy 2.4.6 became 2.4.5"
REPOSITORY = "snapenv"


def answer(code: int, *, ok: bool | None) -> Completed:
    document = {"schema": 1, "ok": ok, "summary": f"snapenv-check: {OTHER}"}
    return Completed(exit_code=code, stdout=f"a banner\n{json.dumps(document)}\n", stderr="")


YES, NO, UNKNOWN = answer(0, ok=True), answer(1, ok=False), answer(3, ok=None)
OLDER = Completed(exit_code=99, stdout="", stderr="")
BROKEN = Completed(exit_code=1, stdout="", stderr="Fatal Python error")


def record(place: Place, ref: str = TAG) -> RunRecord:
    return RunRecord(
        run="r",
        kind="run",
        ref=ref,
        snapshot=None,
        created="2026-03-01T12:00:00Z",
        engine=None,
        results=None,
        detached=False,
        launch=Launch(run="r", place=place, argv=("true",)),
    )


IMAGE = record(InImage(id=BASE.id, name=TAG))


def with_image(said: Completed | None, tmp_path: Path) -> tuple[Services, FakeTarget]:
    inside = FakeTarget(answers={"sh": said} if said else {})
    engine = EngineWithBase(inside=inside)
    engine.images[BASE.id] = BASE
    return replace(services(engine), cache=tmp_path / "cache"), inside


def test_an_image_is_asked_once(tmp_path: Path) -> None:
    there, inside = with_image(NO, tmp_path)

    told = [check_before(IMAGE, REPOSITORY, there, strict=False) for _ in range(3)]

    assert told == [(OTHER,)] * 3
    assert len(inside.calls) == 1


def test_one_that_was_proved_is_not_asked(tmp_path: Path) -> None:
    there, inside = with_image(NO, tmp_path)

    keep_as_locked(BASE.id, there)

    assert check_before(IMAGE, REPOSITORY, there, strict=True) == ()
    assert inside.calls == []


def test_strict_refuses_what_is_not_as_locked(tmp_path: Path) -> None:
    there, _ = with_image(NO, tmp_path)

    with pytest.raises(NotAsLockedError) as caught:
        check_before(IMAGE, REPOSITORY, there, strict=True)

    assert (caught.value.exit_code, caught.value.message) == (5, OTHER)


@pytest.mark.parametrize("said", [OLDER, UNKNOWN, BROKEN, None])
def test_what_cannot_be_told_stops_nothing_unless_asked(
    said: Completed | None, tmp_path: Path
) -> None:
    there, inside = with_image(said, tmp_path)

    assert check_before(IMAGE, REPOSITORY, there, strict=False) == ()
    with pytest.raises(NotAsLockedError):
        check_before(IMAGE, REPOSITORY, there, strict=True)
    assert len(inside.calls) == 2


def test_strict_says_why_it_cannot_be_told(tmp_path: Path) -> None:
    there, _ = with_image(OLDER, tmp_path)

    with pytest.raises(NotAsLockedError) as caught:
        check_before(IMAGE, REPOSITORY, there, strict=True)

    assert caught.value.message == wording(
        "train-yolov8.4.190-base-cu130: the image is older than snapenv-check"
    )


@pytest.mark.parametrize(("said", "told"), [(YES, ()), (NO, (OTHER,)), (OLDER, ())])
def test_a_container_that_runs_is_asked_each_time(said: Completed, told: tuple[str, ...]) -> None:
    runs = FakeRuns(answer=lambda _: said, states={"r": RunState(run="r", status="running")})

    assert check_running(IMAGE, runs, strict=False) == told
    runs.answer = lambda _: NO
    with pytest.raises(NotAsLockedError):
        check_running(IMAGE, runs, strict=True)


def test_a_venv_is_looked_at_only_where_that_is_asked_for(tmp_path: Path) -> None:
    write_snapshot(sample_snapshot(LOCK), tmp_path / "snapshot")
    venv = record(InVenv(folder="/env"), str(tmp_path / "snapshot"))
    older = sample_distribution(version="2.4.5")
    changed = sample_environment(distributions=(older, *sample_environment().distributions[1:]))
    same = services(here=target(LOCK.facts))
    other = services(here=target(replace(LOCK.facts, environment=changed)))

    assert check_before(venv, REPOSITORY, same, strict=True) == ()
    assert check_before(venv, REPOSITORY, other, strict=False) == ()
    with pytest.raises(NotAsLockedError) as caught:
        check_before(venv, REPOSITORY, other, strict=True)
    assert "distribution.numpy: 2.4.6 became 2.4.5" in caught.value.message


def test_a_venv_without_a_snapshot_cannot_be_told(tmp_path: Path) -> None:
    venv = record(InVenv(folder=str(tmp_path)), str(tmp_path))

    with pytest.raises(NotAsLockedError):
        check_before(venv, REPOSITORY, services(), strict=True)
