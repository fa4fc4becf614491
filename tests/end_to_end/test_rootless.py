"""An engine without root: its root is the user, who owns what a program writes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from tests.command import Command
from tests.end_to_end.containers import build_environment
from tests.engines.place import install
from tests.engines.provide import provide
from tests.engines.rootless import start_rootless

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker

REPOSITORY = "snapenv-rootless-world"


@dataclass(frozen=True)
class World:
    """An environment in an engine without root, and a project of the engine's user."""

    command: Command
    project: Path
    image: str
    uid: int

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.command.run("run", self.image, *words, folder=self.project)


@pytest.fixture(scope="module")
def world(engine_host: str, base_image: str) -> Iterator[World]:
    rootless = provide(start_rootless)
    folder = Path(tempfile.mkdtemp(prefix="project-", dir=rootless.home))
    folder.chmod(0o755)
    home = {"HOME": str(folder), "XDG_STATE_HOME": f"{folder}/state"}
    with (
        contextlib.closing(DockerClient(base_url=engine_host, timeout=600)) as client,
        contextlib.closing(DockerClient(base_url=rootless.address, timeout=600)) as own,
    ):
        snapshot = folder / "snapshot"
        there = Command({"DOCKER_HOST": engine_host})
        image = build_environment(client, there, base_image, snapshot, repository=REPOSITORY)
        own.images.load(b"".join(client.images.get(image).save(named=True)))
        client.images.remove(image, force=True)
        project = folder / "project"
        project.mkdir()
        os.chown(project, rootless.uid, rootless.uid)
        yield World(
            Command({"DOCKER_HOST": rootless.address, **home}), project, image, rootless.uid
        )
        own.images.remove(image, force=True)
    shutil.rmtree(folder)


def test_root_inside_is_the_user_outside(world: World) -> None:
    script = (
        "id -u; ulimit -s; echo mine > made; mkdir -p runs/train; echo result > runs/train/result"
    )

    done = world.run("--", "sh", "-c", script)

    assert done.returncode == 0
    assert done.stdout.split()[-2:] == ["0", "65536"]
    made = [world.project / name for name in ("made", "runs/train", "runs/train/result")]
    assert {path.stat().st_uid for path in made} == {world.uid}


def test_a_code_comes_through_and_nothing_is_left(world: World) -> None:
    done = world.run("--", "python", "-c", "import sys; sys.exit(7)")
    missing = world.run("--", "nosuch")

    assert (done.returncode, missing.returncode) == (7, 127)
    assert world.command.result("ps")["runs"] == []


def test_limits_that_it_cannot_hold_are_told(world: World) -> None:
    """Its cgroups are another user's, where the machine has not handed them on."""
    done = world.run("--memory", "256m", "--cpus", "1", "--", "true")

    limited = (Path("/sys/fs/cgroup") / "cgroup.controllers").exists()
    notes = [line for line in done.stderr.splitlines() if "no cgroups" in line]
    assert done.returncode == 0
    assert len(notes) == (0 if limited else 2)


def test_a_folder_that_the_engine_may_not_enter_is_named(world: World) -> None:
    closed = world.project.parent / "closed" / "project"
    closed.mkdir(parents=True)
    closed.parent.chmod(0o700)  # root's, outside

    done = world.run("--workdir", str(closed), "--", "true")

    assert done.returncode == 125
    assert f"the engine may not enter {closed}" in done.stderr


@pytest.mark.full
def test_a_workspace_lets_its_user_in_by_ssh(world: World) -> None:
    provide(lambda _: install({"openssh-client": "ssh"}))
    home = Path(world.command.environment["HOME"])
    key = home / ".ssh" / "id_ed25519"
    key.parent.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    words = ("up", world.image, "--ssh", "--jupyter", "--name", "own", "--yes")
    config = home / "state" / "snapenv" / "ssh" / "own.conf"
    login = ("ssh", "-F", str(config), "-i", str(key), "-o", "BatchMode=yes", "own.snapenv")

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(world.project)
        result = world.command.result(*words)
    done = subprocess.run(
        [*login, "id -u; command -v python"], capture_output=True, text=True, check=False
    )
    world.command.result("down", "own")

    assert str(result["jupyter"]).startswith("http://127.0.0.1:")
    assert done.stdout.split() == ["0", "/opt/snapenv/venv/bin/python"]
