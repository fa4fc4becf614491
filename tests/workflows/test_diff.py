from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import (
    EnvironmentMissingError,
    InterpreterError,
    NotFoundError,
    SnapshotDamagedError,
)
from snapenv.lock.store import write_snapshot
from snapenv.model.outcome import Difference
from snapenv.model.results import DiffResult, DiffSide
from snapenv.workflows.build import Build, build
from snapenv.workflows.diff import Diff, diff
from tests.samples import (
    TAG,
    sample_distributions,
    sample_environment,
    sample_facts,
    sample_hardware,
    sample_snapshot,
)
from tests.steady import steady
from tests.workflows.services import BASE, REGISTRY, REPOSITORY, EngineWithBase, services, target

if TYPE_CHECKING:
    from pathlib import Path

SNAPSHOT = sample_snapshot()
OTHER = sample_facts(environment=sample_environment(python="3.12.3"))
BY_UV = sample_facts(
    environment=sample_environment(
        distributions=[replace(one, installer="uv") for one in sample_distributions()]
    ),
    hardware=sample_hardware(driver=None),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "snapshot"
    write_snapshot(SNAPSHOT, place)
    return place


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    place = tmp_path / "venv"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    return place


def between(left: object, right: object, *, rehash: bool = False) -> Diff:
    return Diff(left=str(left), right=str(right), repository=REPOSITORY, rehash=rehash)


def test_a_snapshot_and_the_environment_that_it_is_of_are_the_same(
    folder: Path, venv: Path
) -> None:
    outcome = diff(between(folder, venv), services())

    assert outcome.exit_code == 0
    assert outcome.result == DiffResult(
        left=DiffSide(kind="snapshot", place=str(folder), digest=SNAPSHOT.digest),
        right=DiffSide(kind="environment", place=str(venv / "bin" / "python"), digest=None),
        differences=(),
    )
    assert outcome.lines == ("the same environment",)


def test_what_differs_is_a_no_by_group(folder: Path, venv: Path) -> None:
    outcome = diff(between(folder, venv), services(here=target(OTHER)))

    assert outcome.exit_code == 1
    assert outcome.result.differences == (
        Difference(group="abi", subject="Python", left="cpython 3.11.7", right="cpython 3.12.3"),
    )
    assert [(check.id, check.ok, check.actual) for check in outcome.checks] == [
        ("abi", False, "1 different"),
        ("numerics", True, "the same"),
        ("behaviour", True, "the same"),
        ("cosmetic", True, "the same"),
    ]
    assert [check.fix is None for check in outcome.checks] == [False, True, True, True]
    assert outcome.lines == ("different: 1 ABI",)


def test_what_is_cosmetic_alone_is_a_yes_and_listed(folder: Path, venv: Path) -> None:
    outcome = diff(between(folder, venv), services(here=target(BY_UV)))

    assert outcome.exit_code == 0
    assert outcome.lines == (wording("the same environment; 3 cosmetic"),)
    assert [check.actual for check in outcome.checks][-1] == "3 different"


def test_an_interpreter_and_its_folder_are_the_same_side(venv: Path) -> None:
    outcome = diff(between(venv, venv / "bin" / "python"), services())

    assert outcome.result.left == outcome.result.right


def test_live_is_the_active_environment(
    folder: Path, venv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIRTUAL_ENV", str(venv))

    outcome = diff(between("live", folder), services())

    assert outcome.result.left == DiffSide(
        kind="environment", place=str(venv / "bin" / "python"), digest=None
    )


def test_no_active_environment_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(EnvironmentMissingError) as caught:
        diff(between(folder, "live"), services())

    assert str(caught.value) == wording("no environment is active, and PATH has no other python3")


def test_a_tag_is_read_out_of_its_image_without_running_it(folder: Path) -> None:
    engine = EngineWithBase(inside=target(sample_facts()))
    build(folder, Build(repository=REPOSITORY, mirror=REGISTRY, push=True), services(engine))
    engine.remove(f"{REPOSITORY}:{TAG}")
    engine.gpus.clear()

    outcome = diff(between(folder, TAG), services(engine))

    assert outcome.exit_code == 0
    assert outcome.result.right == DiffSide(
        kind="image", place=f"{REPOSITORY}:{TAG}", digest=SNAPSHOT.digest
    )
    assert engine.gpus == []


def test_an_image_without_a_snapshot_is_named(folder: Path) -> None:
    engine = EngineWithBase(images={f"{REPOSITORY}:old": BASE})

    with pytest.raises(NotFoundError) as caught:
        diff(between(folder, f"{REPOSITORY}:old"), services(engine))

    assert str(caught.value) == wording(
        "localhost:5000/team/env:old holds no snapshot: it was not built by snapenv"
    )


@pytest.mark.parametrize("rehash", [False, True])
def test_every_file_is_read_anew_only_where_that_is_asked_for(venv: Path, *, rehash: bool) -> None:
    here = target(sample_facts())

    diff(between(venv, venv, rehash=rehash), services(here=here))

    assert ["--rehash" in call.argv for call in here.calls] == [rehash, rehash]


def test_a_snapshot_that_holds_a_python_too_is_a_snapshot(folder: Path, venv: Path) -> None:
    (venv / "SHA256SUMS").touch()

    with pytest.raises(SnapshotDamagedError) as caught:
        diff(between(folder, venv), services())

    assert steady(caught.value) == wording("TMP/venv/SHA256SUMS is not of its form")


@pytest.mark.parametrize("name", ["gone/bin/python", "/gone/bin/python3.11"])
def test_an_interpreter_that_is_not_there_is_no_image(folder: Path, name: str) -> None:
    with pytest.raises(InterpreterError) as caught:
        diff(between(folder, name), services())

    assert steady(caught.value, name=name) == wording("there is no Python at NAME")


def test_a_folder_that_holds_neither_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        diff(between(folder, tmp_path), services())

    assert str(caught.value).replace(str(tmp_path), "TMP") == wording(
        "TMP holds neither a snapshot nor an environment: there is no SHA256SUMS and no bin/python"
    )
