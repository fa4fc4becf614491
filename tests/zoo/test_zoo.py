"""Each odd environment comes back byte for byte, or is refused in words that name the culprit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from snapenv.lock.store import read_snapshot
from snapenv.verify.outside import compare_outside
from tests.command import Command
from tests.zoo.cases import (
    BACK,
    BACK_AS_REGULAR,
    REFUSED,
    TOGETHER,
    editable_with_data,
    move_away,
)
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path


@pytest.fixture
def venv(tmp_path: Path) -> Venv:
    return Venv(tmp_path / "working").make()


def brought_back(venv: Venv, tmp_path: Path, *more: str) -> Venv:
    """Capture, lose the original and everything it came from, and restore."""
    snapshot, into = tmp_path / "snapshot", tmp_path / "restored"
    words = ("--python", str(venv.python), "--no-smoke", "-o", str(snapshot))
    Command().result("capture", *words, *more)
    move_away(venv)
    elsewhere = Command({"UV_CACHE_DIR": str(tmp_path / "cache")})
    elsewhere.result("restore", str(snapshot), "--engine", "venv", "--into", str(into))
    restored, lock = Venv(into), read_snapshot(snapshot).lock
    check = compare_outside(restored.files(), lock.environment, prefix=str(into))
    assert check.ok, check.actual
    return restored


@pytest.mark.parametrize("names", TOGETHER.values(), ids=TOGETHER)
def test_what_one_environment_can_have_at_once_comes_back_byte_for_byte(
    names: tuple[str, ...], venv: Venv, tmp_path: Path
) -> None:
    for name in names:
        BACK[name][0](venv)
    before, said = venv.look(), {name: venv.say(BACK[name][1]) for name in names}

    restored = brought_back(venv, tmp_path)

    assert restored.look() == before
    assert {name: restored.say(BACK[name][1]) for name in names} == said


def some(cases: Iterable[str], *, often: Container[str]) -> list[object]:
    """Return the names of cases; only a full run has those that others stand for."""
    return [name if name in often else pytest.param(name, marks=pytest.mark.full) for name in cases]


ALONE = {*BACK} - {name for names in TOGETHER.values() for name in names}


@pytest.mark.parametrize("name", some(BACK, often=ALONE))
def test_an_odd_environment_comes_back_byte_for_byte(name: str, venv: Venv, tmp_path: Path) -> None:
    make, code = BACK[name]
    make(venv)
    before, said = venv.look(), venv.say(code)

    restored = brought_back(venv, tmp_path)

    assert restored.look() == before
    assert restored.say(code) == said


@pytest.mark.parametrize(
    "name", some(BACK_AS_REGULAR, often={*BACK_AS_REGULAR} - {"two editables"})
)
def test_an_editable_installation_comes_back_as_a_regular_one(
    name: str, venv: Venv, tmp_path: Path
) -> None:
    make, code = BACK_AS_REGULAR[name]
    make(venv)
    before, said = venv.look(), venv.say(code)

    restored = brought_back(venv, tmp_path)

    assert restored.look()["dists"] == before["dists"]
    assert restored.say(code) == said


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_come_back_is_refused_by_name(name: str, venv: Venv, tmp_path: Path) -> None:
    make, culprit = REFUSED[name]
    make(venv)
    output = tmp_path / "snapshot"

    said = Command().error("lock", "capture", "--python", str(venv.python), "-o", str(output))

    assert re.search(culprit, said)
    assert not output.exists()


def test_what_is_carried_beside_a_package_is_found_by_it_as_before(
    venv: Venv, tmp_path: Path
) -> None:
    editable_with_data(venv)
    code = "import animal; print(animal.CONFIG, animal.WEIGHTS)"
    said = venv.say(code)

    restored = brought_back(venv, tmp_path, "--carry", "configs", "--carry", "src/weights.txt")

    assert restored.say(code) == said
