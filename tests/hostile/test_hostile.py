"""A sample of what ``python -m tests.hostile`` lets registries and indexes answer."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.engines.provide import provide
from tests.hostile.cases import CASES, Case, Stage
from tests.hostile.lies import LIES
from tests.hostile.making import stage
from tests.hostile.trials import attempt, do_undisturbed, wrongs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.making import Scene

SceneOf: TypeAlias = Callable[[Stage], "Scene"]

_QUICK = ("pull", "push", "restore venv", "audit")
_SAMPLE, _MANY, _WITH_ENGINE = 4, 60, 10  # of each command; the last two with --full
_EVERY = [(which, case) for which, cases in CASES.items() for case in cases]
_ALONE = [pytest.param(*each, id=each[1].name) for each in _EVERY if each[0] != "engine"]
_ENGINE = CASES["engine"]


@pytest.fixture(scope="module")
def scene_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SceneOf]:
    """Return what sets up a stage, where that is not done."""
    made: dict[Stage, Scene] = {}
    with contextlib.ExitStack() as held:

        def find(which: Stage) -> Scene:
            if which not in made:
                staged = stage(tmp_path_factory.mktemp(f"hostile-{which}"), which)
                made[which] = provide(lambda _: held.enter_context(staged))
            return made[which]

        yield find


def wrong(scene: Scene, case: Case, many: int) -> list[str]:
    usual = do_undisturbed(scene, case)
    every = list(wrongs(usual, LIES, for_ever=(False, True)))
    chosen = random.Random(case.name).sample(every, min(many, len(every)))
    return [f"{each}: {one}" for each in chosen for one in attempt(scene, case, each, usual).wrong]


@pytest.mark.parametrize("name", _QUICK)
def test_wrong_answers_lead_to_no_wrong_yes_and_to_no_bug(scene_of: SceneOf, name: str) -> None:
    ((which, case),) = (each for each in _EVERY if each[1].name == name)

    assert wrong(scene_of(which), case, _SAMPLE) == []


@pytest.mark.full
@pytest.mark.parametrize(("which", "case"), _ALONE)
def test_every_command_is_answered_wrongly(scene_of: SceneOf, which: Stage, case: Case) -> None:
    assert wrong(scene_of(which), case, _MANY) == []


@pytest.mark.full
@pytest.mark.docker
@pytest.mark.parametrize("case", _ENGINE, ids=lambda case: case.name)
def test_every_command_with_an_engine_is_answered_wrongly(scene_of: SceneOf, case: Case) -> None:
    assert wrong(scene_of("engine"), case, _WITH_ENGINE) == []
