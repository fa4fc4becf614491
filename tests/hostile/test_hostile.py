"""A sample of what ``python -m tests.hostile`` lets a registry and an index answer."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from tests.engines.provide import provide
from tests.hostile.cases import CASES, Asks, Case
from tests.hostile.lies import LIES
from tests.hostile.making import stage
from tests.hostile.trials import attempt, do_undisturbed, wrongs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.making import Scene

_QUICK = ("pull", "push", "restore venv")
_SAMPLE, _MANY = 4, 60  # of each command, here and with --full
_EVERY = [case for cases in CASES.values() for case in cases]


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Asks, Scene]]:
    made: dict[Asks, Scene] = {}
    with contextlib.ExitStack() as held:
        for asks in CASES:
            staged = stage(tmp_path_factory.mktemp(f"hostile-{asks}"), asks)
            made[asks] = provide(lambda _, staged=staged: held.enter_context(staged))  # type: ignore[misc]
        yield made


def wrong(scene: Scene, case: Case, many: int) -> list[str]:
    usual = do_undisturbed(scene, case)
    every = list(wrongs(usual, LIES, for_ever=(False, True)))
    chosen = random.Random(case.name).sample(every, min(many, len(every)))
    return [f"{each}: {one}" for each in chosen for one in attempt(scene, case, each, usual).wrong]


@pytest.mark.parametrize("name", _QUICK)
def test_wrong_answers_lead_to_no_wrong_yes_and_to_no_bug(
    scenes: dict[Asks, Scene], name: str
) -> None:
    (case,) = (case for case in _EVERY if case.name == name)

    assert wrong(scenes[case.asks], case, _SAMPLE) == []


@pytest.mark.full
@pytest.mark.parametrize("case", _EVERY, ids=lambda case: case.name)
def test_every_command_is_answered_wrongly(scenes: dict[Asks, Scene], case: Case) -> None:
    assert wrong(scenes[case.asks], case, _MANY) == []
