"""A rendered workspace, started by the real Docker Compose on both engines."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from tests.command import Command
from tests.engines.engine import start_engine
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.place import Place
from tests.engines.provide import provide

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.docker

COMPOSE = Path(sys.executable).parent / "docker-compose"


@dataclass(frozen=True)
class Project:
    """A folder with rendered files, and an engine that sees it."""

    folder: Path
    host: str

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "DOCKER_HOST": self.host,
            "SNAPENV_CHECK_INTERVAL": "1s",
            "SNAPENV_JUPYTER_PORT": "0",
        }
        return subprocess.run(
            [COMPOSE, "--progress", "quiet", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def inspect(self, service: str) -> dict[str, Any]:
        """Return what the engine says of a service's container."""
        container = self.run("ps", "-q", service).stdout.strip()
        with contextlib.closing(docker.DockerClient(base_url=self.host)) as client:
            attributes: dict[str, Any] = client.api.inspect_container(container)
        return attributes

    def containers(self) -> list[str]:
        """Return the names of all containers that come of the files."""
        label = f"com.docker.compose.project.working_dir={self.folder}"
        with contextlib.closing(docker.DockerClient(base_url=self.host)) as client:
            return [str(one.name) for one in client.containers.list(filters={"label": label})]


@pytest.fixture(params=["docker20", NEWER.name])
def project(request: pytest.FixtureRequest, workspace_image: str) -> Iterator[Project]:
    """Yield a folder that the engine sees, with the files of a workspace and of a program."""
    start = start_engine if request.param == "docker20" else _start_newer
    host = provide(start)
    with tempfile.TemporaryDirectory(dir=Place.default().folder, prefix="compose-") as name:
        folder = Path(name, f"project-{uuid.uuid4().hex[:8]}")
        folder.mkdir()
        folder.chmod(0o777)  # for the user of the image
        words = ("--as", "compose", "--device", "cpu", "--memory", "512m", "--cpus", "1")
        Command({"DOCKER_HOST": host}).result(
            *("render", workspace_image, *words, "--shm-size", "64m", "-o", str(folder), "--"),
            *("sh", "-c", "id -u; touch made; exit 7"),
        )
        project = Project(folder, host)
        try:
            yield project
        finally:
            project.run("--profile", "*", "down", "--timeout", "0", "--volumes")
            if request.param == NEWER.name:
                project.run("--profile", "*", "down", "--rmi", "all")


def _start_newer(place: Place) -> str:
    return start_newer(place, NEWER)


def test_a_workspace_starts_serves_runs_programs_and_ends(project: Project) -> None:
    started = project.run("--profile", "jupyter", "up", "--detach", "--wait")

    assert started.returncode == 0, started.stderr
    workspace = project.inspect("workspace")
    assert workspace["State"]["Health"]["Status"] == "healthy"
    host, config = workspace["HostConfig"], workspace["Config"]
    assert (host["ShmSize"], host["Memory"], host["MemorySwap"]) == (64 << 20, 512 << 20, 512 << 20)
    assert (host["NanoCpus"], host["Init"], host["CapDrop"]) == (10**9, True, ["ALL"])
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGINT", 120)

    ran = project.run("run", "--rm", "run")

    assert (ran.returncode, ran.stdout.strip()) == (7, "1000")
    assert (project.folder / "made").stat().st_uid == 1000

    address = project.run("port", "jupyter", "8888").stdout.strip()
    with urllib.request.urlopen(f"http://{address}/api", timeout=10) as answer:
        words = answer.read().decode()
    assert address.startswith("127.0.0.1:")
    assert "--ServerApp.allow_remote_access=False" in words

    project.run("exec", "-T", "workspace", "touch", "/tmp/changed")
    until = time.monotonic() + 30
    while project.inspect("workspace")["State"]["Health"]["Status"] == "healthy":
        assert time.monotonic() < until
        time.sleep(0.2)

    head = (project.folder / "compose.yaml").read_text(encoding="utf-8").partition("\n\n")[0]
    (end,) = [line for line in head.splitlines() if line.startswith("# End:")]
    ended = project.run(*shlex.split(end.partition("docker compose")[2]))

    assert ended.returncode == 0, ended.stderr
    assert project.containers() == []
