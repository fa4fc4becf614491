"""What commands leave in an engine when they are killed, and who takes it away."""

from __future__ import annotations

import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from snapenv.engine.docker import DockerEngine
from snapenv.engine.leftovers import LABEL, take_away
from snapenv.model.launch import RUN_LABEL
from snapenv.ownership.leftovers import take_away_leftovers
from tests.engines.busybox import small_context
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from snapenv.model.image import Image

pytestmark = pytest.mark.docker

RUNS = """
import pathlib, sys
from snapenv.engine.docker import DockerEngine
from snapenv.ownership.interruption import interruptible
from snapenv.ownership.leftovers import ledger
from snapenv.engine.leftovers import take_away
folder, kind, name = sys.argv[1:]
engine = DockerEngine()
with interruptible(), ledger(pathlib.Path(folder), take_away):
    if kind == "image":
        target = engine.image_target(engine.find(name), python="sh", gpus=None)
    else:
        target = engine.container_target(name, python="sh")
    target.run(
        ("sh", "-c", "echo started >&2; sleep 300"),
        files={"file": b"x"},
        on_line=lambda line: print(line, flush=True),
    )
"""

STARTS = """
import os, pathlib, sys, time
from snapenv.engine.docker import DockerEngine
from snapenv.engine.leftovers import take_away
from snapenv.engine.runs import DockerRuns
from snapenv.kept import Kept
from snapenv.model.launch import RUN_LABEL, InImage, Launch
from snapenv.ownership.leftovers import ledger
folder, image, run, moment = sys.argv[1:]
engine = DockerEngine()
client = engine.client
start = client.start
def stop_at(name):
    if moment == "after the start":
        start(name)
    print("there", flush=True)
    time.sleep(300)
client.start = stop_at
place = InImage(id=image, name="small")
argv, labels = ("sleep", "300"), {RUN_LABEL: run}
state = pathlib.Path(folder, "state")
with ledger(pathlib.Path(folder, "running"), take_away):
    runs = DockerRuns(lambda: client, engine.describe, print, Kept(None), state)
    runs.start(Launch(run=run, place=place, argv=argv, shm_bytes=1 << 20, labels=labels))
"""


@pytest.fixture(scope="module")
def image(engine_host: str) -> Image:
    del engine_host
    return DockerEngine().build(
        small_context(
            "RUN mkdir /tmp; cd /bin; busybox ln -s busybox rm; busybox ln -s busybox readlink"
        ),
        FakeTask(),
    )


@pytest.fixture
def client(engine_host: str) -> Iterator[DockerClient]:
    client = DockerClient(base_url=engine_host)
    yield client
    client.close()


def start(running: Path, kind: str, name: str) -> subprocess.Popen[str]:
    """Start a process that runs a program in the engine; give it when the program runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUNS, str(running), kind, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "started\n"
    return process


def containers(client: DockerClient, *ids: str) -> int:
    return sum(
        len(client.containers.list(all=True, filters={"label": f"{LABEL}={one}"})) for one in ids
    )


def test_a_killed_command_s_containers_go_and_those_of_a_living_one_stay(
    tmp_path: Path, image: Image, client: DockerClient
) -> None:
    with start(tmp_path, "image", image.id) as living:
        (of_living,) = (path.name.partition(".")[2] for path in tmp_path.iterdir())
        with start(tmp_path, "image", image.id) as killed:
            killed.kill()
        names = {path.name.rpartition(".")[2] for path in tmp_path.iterdir()}
        of_living, of_killed = of_living.rpartition(".")[2], (names - {of_living}).pop()
        assert (containers(client, of_living), containers(client, of_killed)) == (1, 1)

        take_away_leftovers(tmp_path, take_away)

        assert (containers(client, of_living), containers(client, of_killed)) == (1, 0)
        living.terminate()
    assert containers(client, of_living) == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("moment", "kill"),
    [("before the start", True), ("before the start", False), ("after the start", True)],
)
def test_a_run_that_a_killed_command_never_started_goes_and_others_stay(
    tmp_path: Path, image: Image, client: DockerClient, moment: str, *, kill: bool
) -> None:
    run = uuid.uuid4().hex[:12]
    words = (sys.executable, "-c", STARTS, str(tmp_path), image.id, run, moment)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "there\n"
        if kill:
            process.kill()
            process.wait()

        take_away_leftovers(tmp_path / "running", take_away)

        left = client.containers.list(all=True, filters={"label": f"{RUN_LABEL}={run}"})
        process.kill()
    for container in left:
        container.remove(force=True)
    assert bool(left) == (not kill or moment == "after the start")
    assert len([*tmp_path.glob("running/*")]) == (not kill)


@pytest.mark.parametrize("kill", [True, False])
def test_a_program_in_somebody_s_container_ends_and_the_container_stays(
    tmp_path: Path, image: Image, client: DockerClient, *, kill: bool
) -> None:
    theirs = client.containers.run(
        image.id, ["sleep", "301"], name=f"theirs-{uuid.uuid4().hex}", detach=True
    )
    try:
        with start(tmp_path, "container", str(theirs.name)) as process:
            process.kill() if kill else process.terminate()

        take_away_leftovers(tmp_path, take_away)

        running = theirs.top()["Processes"]
        assert [line[-1] for line in running if "sleep" in line[-1]] == ["sleep 301"]
        assert theirs.exec_run(["sh", "-c", "echo /tmp/*"]).output == b"/tmp/*\n"
        assert list(tmp_path.iterdir()) == []
    finally:
        theirs.remove(force=True)


def test_an_engine_that_is_not_reached_is_asked_another_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")

    assert not take_away("1234", ("containers", "unix:///nonexistent/docker.sock"))
    assert not take_away("1234", ("containers", "unix:///another/docker.sock"))
