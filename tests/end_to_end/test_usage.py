"""What three people used for two projects, some of it killed: nothing is lost, nobody sees more.

Each has a state folder and a ledger of their own, hands it over to the team's, and a GPU that works
as a curve says.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from docker import DockerClient

from tests.command import Command
from tests.end_to_end.usage_month import INTERVAL_S, Person, work
from tests.engines.run_image import run_image
from tests.targets.processes import all_end
from tests.usage.team import Team, new_team
from tests.working_gpus import BUSY, IDLE, PULSES, gpu_uuid, working_gpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.end_to_end.usage_month import Fate
    from tests.engines.postgres import Postgres

IMAGE = "usage-tests:train-py3.13-base-cpu"
_CURVES = (BUSY, PULSES, IDLE)
_PROJECTS = {"ada": ("birds",), "ben": ("birds", "fish"), "cho": ("fish",)}
_PRICES = """
currency = "EUR"
[[gpu]]
model = "H200"
from = 2025-01-01
per_hour = 3.00
"""
_APART_MS = 100  # two clocks are read, one after the other; a look that is lost costs 500


@pytest.fixture
def team(postgres: Postgres) -> Team:
    return new_team(postgres)


@pytest.fixture
def people(tmp_path: Path, team: Team) -> Iterator[tuple[Person, ...]]:
    """Yield people who have run nothing yet; their samplers end with the test."""
    machine = working_gpus(tmp_path, *_CURVES)
    prices = tmp_path / "prices.toml"
    prices.write_text(_PRICES)
    people = tuple(
        Person(
            login=login,
            projects=projects,
            folder=tmp_path / login,
            gpu=gpu,
            variables={
                **machine,
                "SNAPENV_SAMPLE_INTERVAL": f"{INTERVAL_S}",
                "SNAPENV_LEDGER": team.url(login),
                "SNAPENV_PRICES": str(prices),
                "XDG_STATE_HOME": str(tmp_path / login / "state"),
                "XDG_CACHE_HOME": str(tmp_path / login / "cache"),
                "PYTHONPATH": str(Path(__file__).parents[2]),
            },
        )
        for gpu, (login, projects) in enumerate(_PROJECTS.items())
    )
    for person in people:
        person.folder.mkdir()
    yield people
    for sampler in filter(None, (person.sampler() for person in people)):
        with contextlib.suppress(ProcessLookupError):  # it ends by itself too
            os.kill(sampler, signal.SIGKILL)
        assert all_end(sampler)


@pytest.fixture
def venv(tmp_path: Path) -> str:
    place = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    return str(place)


@pytest.fixture
def docker(engine_host: str) -> Iterator[DockerClient]:
    """Return a client that takes away the containers of this image at the end."""
    client = DockerClient(base_url=engine_host)
    yield client
    for left in client.containers.list(all=True, filters={"ancestor": IMAGE}):
        left.remove(force=True)
    client.close()


@pytest.fixture(scope="module")
def image(engine_host: str, base_image: str) -> Iterator[str]:
    with run_image(IMAGE, engine=engine_host, base=base_image) as name:
        yield name


def test_a_month_of_killed_runs_is_counted_to_the_end_of_each(
    people: tuple[Person, ...], venv: str, team: Team
) -> None:
    work(people, venv, runs=(2, 2, 2))

    assert {seen.fate for person in people for seen in person.seen} == {
        *("ends", "fails", "program", "command", "sampler", "all")
    }
    for person in people:
        check_records(person)
        check_report(person)
    check_roles(people, team)


@pytest.mark.docker
@pytest.mark.parametrize("fate", ["container", "command"])
def test_what_is_killed_of_a_container_is_counted_to_its_end(
    people: tuple[Person, ...], image: str, docker: DockerClient, fate: Fate
) -> None:
    ada = people[0]

    ada.run_container(image, "birds", fate, docker)
    ada.settle()

    ((run,), (row,)), (seen,) = ada.records(), ada.seen
    assert run.exit_code == {"container": 137, "command": 7}[fate]
    assert run.tag == IMAGE.partition(":")[2]
    assert seen.alive_s <= row.allocated_ms / 1000 <= seen.spanned_s
    assert (row.gpu, row.allocated_ms) == (gpu_uuid(0), run.duration_ms)


@pytest.mark.full
def test_forty_runs_are_counted_to_the_end_of_each(
    people: tuple[Person, ...], venv: str, team: Team
) -> None:
    work(people, venv, runs=(14, 14, 12))

    for person in people:
        check_records(person)
        check_report(person)
    check_roles(people, team)


def check_records(person: Person) -> None:
    """Compare what a person saw with what the ledger of the machine holds."""
    runs, rows = person.records()
    assert [run.project for run in runs] == [seen.project for seen in person.seen]
    assert [run.key for run in runs] == [row.key for row in rows]
    for run, row, seen in zip(runs, rows, person.seen, strict=True):
        looked_ms = seen.looked_ms - run.started_ms - _APART_MS
        assert looked_ms <= row.allocated_ms <= seen.spanned_s * 1000, seen
        assert row.allocated_ms == run.duration_ms
        # A command that lives tells the end itself; without it the last look before counts.
        assert seen.alive_s * 1000 <= row.allocated_ms or seen.fate in {"command", "all"}, seen
        assert row.covered_ms >= looked_ms - gaps_ms(person, run.key), seen
        assert (row.gpu, row.model) == (gpu_uuid(person.gpu), "NVIDIA H200")
        assert sum(row.buckets) == row.covered_ms <= row.allocated_ms
        codes = {"ends": 0, "fails": 3, "sampler": 0, "program": 137}
        assert run.exit_code == codes.get(seen.fate), seen  # None: nobody has seen it


def gaps_ms(person: Person, key: str) -> int:
    """Return for how long nobody looked at a run, as its events tell."""
    with person.open() as ledger:
        return sum(one.value or 0 for one in ledger.events_of(key) if one.kind == "gap")


def check_report(person: Person) -> None:
    """Compare the report of the machine with the records."""
    runs, rows = person.records()
    result = machine_report(person, "--by", "project")
    total = result["total"]
    assert (total["runs"], total["allocated_ms"], total["energy_mj"]) == (
        len(runs),
        sum(row.allocated_ms for row in rows),
        sum(row.energy_mj or 0 for row in rows),
    )
    assert total["effective_ms"] == sum(sum(row.buckets[7:]) for row in rows)
    assert used_by_name(result) == used_by_project([person])
    assert total["cost"] + result["unallocated_cost"] == result["bill"] > 0
    page = Command({**person.variables, "SNAPENV_LEDGER": ""}).run(
        "usage", "report", "--format", "html"
    )
    assert all(f">{project}<" in page.stdout for project in person.projects)


def machine_report(person: Person, *words: str) -> dict[str, Any]:
    return Command({**person.variables, "SNAPENV_LEDGER": ""}).result("usage", "report", *words)


def check_roles(people: tuple[Person, ...], team: Team) -> None:
    """See that each login is shown what its role may see, and that sums are those of the records."""
    everything = used_by_project(people)
    for login, projects in _PROJECTS.items():
        result = team_report(people, team, login)
        assert result["role"] == "member"
        assert used_by_name(result) == {name: everything[name] for name in projects}
    for login, role in (("mona", "manager"), ("finn", "finance")):
        result = team_report(people, team, login)
        assert (result["role"], result["board"]) == (role, [])
        assert used_by_name(result) == everything
    users = team_report(people, team, "mona", "--by", "user")
    assert sum(used_by_name(users).values()) == sum(everything.values())
    assert not {*_PROJECTS} & {*used_by_name(users)}
    assert "user" in as_login(people, team, "finn").error(
        "usage", *("usage", "report", "--by", "user")
    )
    as_login(people, team, "guest").error("team-ledger", "usage", "report")


def team_report(people: tuple[Person, ...], team: Team, login: str, *words: str) -> dict[str, Any]:
    return as_login(people, team, login).result("usage", "report", *words)


def as_login(people: tuple[Person, ...], team: Team, login: str) -> Command:
    return Command({**people[0].variables, "SNAPENV_LEDGER": team.url(login)})


def used_by_name(result: dict[str, Any]) -> dict[str, int]:
    return {row["name"]: row["totals"]["allocated_ms"] for row in result["rows"]}


def used_by_project(people: Iterable[Person]) -> dict[str, int]:
    used = Counter[str]()
    for person in people:
        for run in person.records()[0]:
            used[run.project or ""] += run.duration_ms or 0
    return dict(used)
