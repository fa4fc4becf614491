"""A sample of what ``python -m tests.fire`` does to every command."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.command import EXIT_CODES
from tests.engines.provide import provide
from tests.fire.attempts import do_undisturbed
from tests.fire.blows import KINDS, Kind
from tests.fire.burning import Asked, burn
from tests.fire.cases import LOCAL, Case
from tests.fire.faults import Injector, broken_at
from tests.fire.making import furnished

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fire.room import Room

SEED = 19
SERVERS = ("REGISTRY", "DATABASE", "PROMETHEUS")  # which this room does not have
FULL = [case for case in LOCAL if not any(name in " ".join(case.words) for name in SERVERS)]
TIMES = 4  # of each kind, where everything is tried
SAMPLE: dict[str, tuple[Kind, ...]] = {
    "export": ("power", "disk"),
    "import": ("kill", "inodes"),
    "render --force": ("kill", "power"),
}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    with furnished(tmp_path_factory.mktemp("fire")) as made:
        yield made


@pytest.fixture(scope="module")
def injector(room: Room) -> Injector:
    return provide(lambda _: Injector(room.folder.with_name("injector")))


def wrong(room: Room, injector: Injector, case: Case, asked: Asked) -> list[str]:
    return [f"{met.what}: {one}" for met in burn(room, case, injector, asked) for one in met.wrong]


@pytest.mark.parametrize("name", SAMPLE)
def test_what_a_command_makes_is_there_whole_or_not_at_all(
    room: Room, injector: Injector, name: str
) -> None:
    (case,) = (case for case in LOCAL if case.name == name)

    assert wrong(room, injector, case, Asked(SAMPLE[name], 2, SEED)) == []


def test_a_file_that_the_disk_does_not_take_is_named_and_is_no_bug(
    room: Room, injector: Injector
) -> None:
    (case,) = (case for case in LOCAL if case.name == "export")
    calls = do_undisturbed(room, case, injector).calls
    first = next(at for at, call in enumerate(calls, 1) if call.path.endswith("files.tar.zst"))
    room.renew()

    done = room.run(*case.words, variables=injector.arm(broken_at(first), room.folder))

    assert done.code == EXIT_CODES["write"]
    assert "files.tar.zst: Input/output error" in done.stderr


@pytest.mark.full
@pytest.mark.parametrize("case", FULL, ids=lambda case: case.name)
def test_every_command_under_fire(room: Room, injector: Injector, case: Case) -> None:
    assert wrong(room, injector, case, Asked(KINDS, TIMES, SEED)) == []
