"""Pushing and pulling a snapshot alone: tags that are taken, and what is none."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import (
    EngineMissingError,
    PlaceTakenError,
    SnapshotDamagedError,
    TagTakenError,
    UsageError,
)
from snapenv.lock.store import read_snapshot, write_snapshot
from snapenv.model.image import kept_tag
from snapenv.model.snapshot import SNAPSHOT_LABEL
from snapenv.workflows.build import Build, build
from snapenv.workflows.doctor import Doctor, doctor
from snapenv.workflows.pull import Pull, pull
from snapenv.workflows.push import Push, push
from snapenv.workflows.restore import Restore, restore
from tests.samples import TAG, sample_lock, sample_snapshot
from tests.steady import steady
from tests.workflows.services import (
    NAME,
    REGISTRY,
    REPOSITORY,
    EngineWithBase,
    FakeRegistry,
    NoEngine,
    remote,
    services,
)

if TYPE_CHECKING:
    from snapenv.model.results import PushResult
    from snapenv.ports import Services

SNAPSHOT = sample_snapshot()
LATER = sample_snapshot(replace(sample_lock(), allowed=("site/x.py",)))


@dataclass(kw_only=True)
class Team:
    """A registry, with machines that have no Docker, and a folder with a snapshot."""

    registry: FakeRegistry = field(default_factory=FakeRegistry)

    @property
    def services(self) -> Services:
        return services(NoEngine(), registry=self.registry)

    def push(self, ref: str = "mine", **options: object) -> PushResult:
        request = Push(ref=ref, repository=REPOSITORY)
        return push(replace(request, **options), self.services).result

    def digest(self) -> str:
        return str(self.registry.snapshots[NAME].ref.digest)


@pytest.fixture
def team(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Team:
    monkeypatch.chdir(tmp_path)
    write_snapshot(SNAPSHOT, tmp_path / "mine")
    write_snapshot(LATER, tmp_path / "later")
    return Team()


def test_a_snapshot_is_pushed_and_pulled_without_an_engine(team: Team, tmp_path: Path) -> None:
    pushed = push(Push(ref="mine", repository=REPOSITORY), team.services)
    pulled = pull(Pull(ref=NAME, repository="snapenv"), team.services)

    assert pushed.result.kind == pulled.result.kind == "snapshot"
    assert (pushed.result.ref, pushed.result.digest) == (NAME, team.digest())
    assert pushed.result.snapshot == pulled.result.snapshot == SNAPSHOT.digest
    assert (pushed.result.present, pushed.result.replaced) == (False, None)
    assert pulled.result.folder == f"snapshots/{TAG}"
    names = sorted(path.name for path in (tmp_path / "snapshots" / TAG).iterdir())
    assert names == sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert read_snapshot(tmp_path / "snapshots" / TAG).digest == SNAPSHOT.digest


def test_the_same_snapshot_is_there_already(team: Team) -> None:
    team.push()
    sent = len(team.registry.asked)

    again = push(Push(ref="mine", repository=REPOSITORY), team.services)

    assert again.result.present
    assert team.registry.asked[sent:] == [NAME]


def test_a_tag_is_never_moved_silently(team: Team) -> None:
    team.push()
    before = team.digest()

    with pytest.raises(TagTakenError) as caught:
        team.push("later")

    assert before in caught.value.message
    assert LATER.digest in caught.value.message
    assert team.digest() == before
    assert team.registry.kept == {}


def test_what_a_tag_named_stays_reachable(team: Team) -> None:
    team.push()
    before = team.digest()

    moved = push(Push(ref="later", repository=REPOSITORY, replace=True), team.services)

    assert moved.result.replaced == before != team.digest()
    assert team.registry.kept == {kept_tag(before): before}
    assert steady(moved.lines[-1], before=before) == wording(
        "what it replaced stays as localhost:5000/team/env@BEFORE"
    )


def test_an_image_s_tag_is_taken_too(team: Team) -> None:
    image = remote()
    team.registry.images[NAME] = replace(image, ref=image.ref.at(f"sha256:{'7' * 64}"))

    with pytest.raises(TagTakenError, match="7777"):
        team.push()


def test_a_repository_without_a_registry_is_refused(team: Team) -> None:
    with pytest.raises(UsageError):
        team.push(repository="snapenv")


def test_a_place_that_is_taken_is_left_as_it_is(team: Team, tmp_path: Path) -> None:
    team.push()
    (tmp_path / "there").mkdir()

    with pytest.raises(PlaceTakenError):
        pull(Pull(ref=NAME, repository="snapenv", output=tmp_path / "there"), team.services)


def test_what_lies_here_is_not_pulled(team: Team) -> None:
    with pytest.raises(UsageError):
        pull(Pull(ref="mine", repository="snapenv"), team.services)


def test_an_image_is_not_pulled_without_an_engine(team: Team) -> None:
    team.registry.images[NAME] = remote()

    with pytest.raises(EngineMissingError):
        pull(Pull(ref=NAME, repository="snapenv"), team.services)


def test_a_tag_of_a_repository_is_restored_as_a_venv_without_an_engine(
    team: Team, tmp_path: Path
) -> None:
    team.push()

    request = Restore(
        ref=TAG, repository=REPOSITORY, engine="venv", into=tmp_path / "back", preflight=False
    )
    result = restore(request, team.services).result

    assert (result.path, result.snapshot) == (str(tmp_path / "back"), SNAPSHOT.digest)


def test_a_look_ahead_says_whether_it_runs_here(team: Team) -> None:
    team.push()

    asked = doctor(Doctor(ref=NAME, repository="snapenv", venv=True), team.services)

    assert asked.result.needs
    assert (asked.result.ref, asked.result.needs.torch) == (NAME, "2.11.0+cu130")


def test_an_image_is_built_of_what_lies_in_the_registry(team: Team) -> None:
    team.push()
    engine = EngineWithBase()

    built = build(
        Path(NAME),
        Build(repository="snapenv", mirror=REGISTRY),
        services(engine, registry=team.registry),
    )

    assert built.result.snapshot == SNAPSHOT.digest


def test_a_snapshot_that_is_another_than_its_manifest_says_is_refused(team: Team) -> None:
    team.push()
    lying = team.registry.snapshots[NAME]
    team.registry.snapshots[NAME] = replace(
        lying, annotations={**lying.annotations, SNAPSHOT_LABEL: LATER.digest}
    )

    with pytest.raises(SnapshotDamagedError) as caught:
        pull(Pull(ref=NAME, repository="snapenv"), team.services)

    assert steady(caught.value.message) == wording(
        "localhost:5000/team/env:train-yolov8.4.190-base-cu130 says it holds snapshot sha256:DIGEST, and holds sha256:DIGEST"
    )
