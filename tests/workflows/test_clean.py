"""What is freed, of what snapenv has made: with an engine in memory, and real folders."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from inline_snapshot import snapshot as wording
from msgspec.structs import replace

from snapenv.errors import EngineError, NotFoundError
from snapenv.launch.records import list_records, write_end, write_record
from snapenv.model.clean import Freeable
from snapenv.model.launch import InImage, Launch, RunEnd, RunRecord, RunState
from snapenv.workflows.clean import Cleaning, choose, clean
from tests.fakes import FakeRuns
from tests.workflows.services import EngineWithBase, NoEngine, services

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from snapenv.model.clean import Kind
    from snapenv.ports import Services

NOW = datetime(2026, 3, 31, tzinfo=timezone.utc)
DAY_S = 86400.0
REPOSITORY = "example.com/team/env"


def thing(
    name: str, kind: Kind = "environment", *, used: str = "2026-03-30", in_use: bool = False
) -> Freeable:
    return Freeable(
        kind=kind,
        id=f"sha256:{name}",
        names=(f"{REPOSITORY}:{name}",) if name else (),
        size_bytes=10,
        last_used=f"{used}T00:00:00Z",
        in_use=in_use,
    )


OLD, NEW = thing("old", used="2026-03-01"), thing("new")
NAMELESS = thing("", used="2026-03-30")
BEING_MADE = replace(NAMELESS, last_used="2026-03-30T23:59:00Z")
LAYER, DOWNLOADS = thing("w", "workspace"), thing("b", "build-cache")
RUN, CACHE = thing("r", "run", used="2026-03-01"), thing("c", "cache")
BUSY = thing("busy", used="2025-01-01", in_use=True)
ALL = (OLD, NEW, NAMELESS, BEING_MADE, LAYER, DOWNLOADS, RUN, CACHE, BUSY)


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        (Cleaning(), (NAMELESS, LAYER, DOWNLOADS, CACHE)),
        (Cleaning(older_than_s=7 * DAY_S), (OLD, RUN)),
        (Cleaning(older_than_s=365 * DAY_S), ()),
        (Cleaning(older_than_s=7 * DAY_S, keep=("old",)), (RUN,)),
        (Cleaning(older_than_s=7 * DAY_S, keep=(f"{REPOSITORY}:old",)), (RUN,)),
        (Cleaning(keep_newest=3), (OLD, LAYER, DOWNLOADS, CACHE)),
        (Cleaning(keep_newest=0, older_than_s=7 * DAY_S), (OLD, RUN)),
        (Cleaning(keep_newest=3, keep=("old",)), (LAYER, DOWNLOADS, CACHE)),
    ],
)
def test_what_is_chosen(request_: Cleaning, chosen: Sequence[Freeable]) -> None:
    assert choose(ALL, request_, now=NOW) == tuple(chosen)


def test_a_name_that_is_not_there_frees_nothing() -> None:
    with pytest.raises(NotFoundError) as caught:
        choose(ALL, Cleaning(keep=("newest",)), now=NOW)

    assert str(caught.value) == wording("there is no environment newest to keep; nothing was freed")


def record(run: str, *, image: str) -> RunRecord:
    return RunRecord(
        run=run,
        kind="run",
        ref="tag",
        snapshot=None,
        created="2026-03-30T12:00:00Z",
        engine="unix:///x",
        results=None,
        detached=True,
        launch=Launch(run=run, place=InImage(id=image, name="tag"), argv=("true",)),
    )


@pytest.fixture
def made(tmp_path: Path) -> Services:
    """Return an engine with environments, a run that has ended, one that goes on, and caches."""
    engine = EngineWithBase(freeable=[OLD, NEW, LAYER, BUSY])
    containers = FakeRuns(states={"on": RunState(run="on", status="running")})
    state, cache = tmp_path / "state", tmp_path / "cache"
    write_record(state, record("ended", image=OLD.id))
    write_end(state, "ended", RunEnd(exit_code=0, finished="2026-03-30T13:00:00Z"))
    write_record(state, record("on", image=NEW.id))
    for name, age_s in (
        ("bytecode/env/c", 0),
        ("wheels/a", 10 * DAY_S),
        ("wheels/b", 0),
        ("locks/a", 10 * DAY_S),
    ):
        path = cache / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
        os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    for name in ("used", "unused"):
        (cache / "workspaces" / name).mkdir(parents=True)
    up = record("up", image="")
    argv = ("python", str(cache / "workspaces" / "used" / "workspace.pyz"))
    write_record(state, replace(up, kind="up", engine=None, launch=replace(up.launch, argv=argv)))
    processes = FakeRuns(states={"up": RunState(run="up", status="running")})
    return replace(
        services(engine), containers=containers, processes=processes, state=state, cache=cache
    )


def test_all_is_listed_and_nothing_freed(made: Services) -> None:
    outcome = clean(Cleaning(), made)

    rows = [(row.thing.kind, row.thing.in_use, row.chosen) for row in outcome.result.things]
    assert rows == [
        ("environment", False, False),
        ("environment", False, False),
        ("workspace", False, True),
        ("environment", True, False),
        ("run", True, False),
        ("run", True, False),
        ("run", False, False),
        ("tools", False, True),
        ("tools", True, False),
        ("cache", False, True),
        ("cache", False, True),
    ]
    assert outcome.result.things[0].thing.last_used == "2026-03-30T12:00:00Z"
    assert outcome.result.freed_bytes == 0
    assert outcome.lines[-1] == "25 B can be freed; nothing was, without --yes"
    assert len(made.engine.list_made()) == 4
    assert made.state
    assert len(list_records(made.state)) == 3


def test_what_is_chosen_is_freed_and_nothing_else(made: Services) -> None:
    outcome = clean(Cleaning(yes=True), made)

    assert [row.thing.kind for row in outcome.result.things if row.freed] == [
        "workspace",
        "tools",
        "cache",
        "cache",
    ]
    assert outcome.lines[-1] == "freed 25 B"
    assert made.engine.list_made() == (OLD, NEW, BUSY)
    assert made.cache
    assert sorted(path.name for path in made.cache.rglob("?")) == ["a"]
    assert (made.cache / "locks" / "a").exists()
    assert [path.name for path in (made.cache / "workspaces").iterdir()] == ["used"]


def test_with_an_age_runs_go_too_but_for_those_that_go_on(made: Services) -> None:
    clean(Cleaning(older_than_s=7 * DAY_S, keep=("old",), yes=True), made)

    assert made.state
    assert made.cache
    assert sorted(one.run for one in list_records(made.state)) == ["on", "up"]
    assert isinstance(made.containers, FakeRuns)
    assert made.containers.removed == ["ended"]
    assert sorted(path.name for path in (made.cache / "wheels").iterdir()) == ["b"]
    assert made.engine.list_made() == (OLD, BUSY)


class Holding(EngineWithBase):
    """Has begun to use each image."""

    def remove_made(self, made: Freeable) -> None:
        raise EngineError(f"conflict: {made.id} is in use", hint="Try again.")


def test_what_the_engine_does_not_let_go_of_stays(made: Services) -> None:
    outcome = clean(Cleaning(yes=True), replace(made, engine=Holding(freeable=[LAYER])))

    assert [row.thing.kind for row in outcome.result.things if row.freed] == [
        "tools",
        "cache",
        "cache",
    ]
    assert outcome.warnings == wording(
        ("example.com/team/env:w stays: conflict: sha256:w is in use",)
    )


def test_without_an_engine_the_rest_is_freed(made: Services) -> None:
    outcome = clean(Cleaning(yes=True), replace(made, engine=NoEngine()))

    assert [row.thing.kind for row in outcome.result.things if row.freed] == [
        "tools",
        "cache",
        "cache",
    ]
    assert outcome.warnings == wording(("no Docker engine answers at x: images are not listed",))
