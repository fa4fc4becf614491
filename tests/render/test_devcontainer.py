"""Development containers, read and started by the real program of containers.dev."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import pytest

from snapenv.errors import UsageError
from snapenv.launch.portable import PortableRequest
from snapenv.model.launch import Mount, Port
from snapenv.render.devcontainer import DevcontainerOptions, render_devcontainer
from tests.command import Command
from tests.engines.engine import start_engine
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.node import npm_tool
from tests.engines.place import Place
from tests.engines.provide import provide
from tests.render.workloads import IMAGE, content, differing, workload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from docker.models.containers import Container

    from snapenv.model.rendering import Rendered

WARNING = "The environment is no longer as it was locked."
OWN = DevcontainerOptions()
GPU, CPU = (f".devcontainer/{kind}/devcontainer.json" for kind in ("gpu", "cpu"))
# Source: https://containers.dev/implementors/json_reference/
DOCUMENTED = {
    *("name", "image", "init", "runArgs", "mounts", "workspaceMount", "workspaceFolder"),
    *("containerEnv", "containerUser", "updateRemoteUserUID", "forwardPorts"),
    *("postStartCommand", "customizations"),
}


def read(rendered: Rendered, name: str) -> dict[str, Any]:
    """Return a configuration without its comments, which JSON does not have."""
    lines = content(rendered, name).splitlines()
    document: dict[str, Any] = json.loads(
        "\n".join(line for line in lines if not line.startswith("//"))
    )
    assert set(document) <= DOCUMENTED
    return document


def options(document: dict[str, Any]) -> dict[str, str]:
    """Return the options of docker run, by name."""
    words = document["runArgs"]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_both_configurations_are_rendered_as_the_goldens() -> None:
    asked = workload(data=("/datasets/coco",), cpus=8.0, memory_bytes=32 << 30, project="vision")

    assert differing(render_devcontainer(asked, OWN), "devcontainer") == {}


def test_the_gpus_are_all_that_tells_them_apart() -> None:
    rendered = render_devcontainer(workload(device="0,1"), OWN)

    gpu, cpu = read(rendered, GPU), read(rendered, CPU)

    assert options(gpu) == {"--gpus": '"device=0,1"', **options(cpu)}
    assert gpu["containerEnv"] | {"NVIDIA_VISIBLE_DEVICES": "void"} == cpu["containerEnv"]
    assert {name for name in gpu if gpu[name] != cpu[name]} == {"name", "runArgs", "containerEnv"}
    assert gpu["image"] == str(IMAGE)


def test_without_gpus_there_is_one_configuration() -> None:
    rendered = render_devcontainer(workload(device="cpu"), OWN)

    assert [file.name for file in rendered.files] == [CPU]
    assert rendered.start.endswith(f"--config {CPU}")


def test_what_is_asked_for_is_in_the_words_of_docker_run() -> None:
    asked = workload(
        user=(1234, 100),
        host_ipc=True,
        folder="/projects/yolo",
        mounts=(Mount(source="weights", target="/weights", kind="volume"),),
        ports=(Port(inside=6006),),
        variables={"ODD": 'a "b" $c'},
        project="vision",
    )

    document = read(render_devcontainer(asked, OWN), GPU)

    assert options(document) == {
        "--gpus": "all",
        "--ipc": "host",
        "--ulimit": f"stack={64 << 20}:{64 << 20}",
        "--cap-drop": "ALL",
        "--security-opt": "no-new-privileges",
        "--label": "io.snapenv.project=vision",
    }
    assert (document["containerUser"], document["updateRemoteUserUID"]) == ("1234:100", False)
    assert document["workspaceMount"] == "source=/projects/yolo,target=/projects/yolo,type=bind"
    assert document["workspaceFolder"] == "/projects/yolo"
    assert document["mounts"] == ["type=volume,source=weights,target=/weights"]
    assert document["forwardPorts"] == [6006]
    assert document["containerEnv"]["ODD"] == 'a "b" $c'


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (PortableRequest(argv=("yolo", "train")), "yolo"),
        (PortableRequest(variables={"X": "${localEnv:TOKEN}"}), "--env"),
        (PortableRequest(project="${x}"), "--project"),
        (PortableRequest(data=("/data/${x}",)), "--mount"),
        (PortableRequest(data=("/data/a,b",)), "/data/a,b"),
    ],
)
def test_what_a_development_container_cannot_say_is_refused(
    asked: PortableRequest, named: str
) -> None:
    fields = {name: getattr(asked, name) for name in asked.__struct_fields__ if name != "argv"}

    with pytest.raises(UsageError, match=named.replace("$", r"\$")):
        render_devcontainer(workload(*asked.argv, **fields), OWN)


@pytest.mark.docker
@pytest.mark.parametrize("engine", ["docker20", pytest.param(NEWER.name, marks=pytest.mark.full)])
def test_a_development_container_starts_and_programs_run_in_it(
    engine: str, workspace_image: str
) -> None:
    programs = provide(lambda place: npm_tool(place, "@devcontainers/cli@0.89.0"))
    host = provide(start_engine if engine == "docker20" else lambda at: start_newer(at, NEWER))

    def devcontainer(word: str, *words: str) -> subprocess.CompletedProcess[str]:
        where = ("--workspace-folder", str(folder), "--config", str(folder / CPU))
        return subprocess.run(
            [programs / "devcontainer", word, *where, *words],
            env={**os.environ, "DOCKER_HOST": host},
            capture_output=True,
            text=True,
            check=False,
        )

    with _folder(host) as folder:
        words = ("--as", "devcontainer", "--user", "1234:100", "--memory", "512m")
        Command({"DOCKER_HOST": host}).result(
            "render", workspace_image, *words, "--shm-size", "64m", "-o", str(folder)
        )

        up = devcontainer("up")
        script = "id -u; pwd; df -k /dev/shm; touch made /tmp/changed; exit 7"
        ran = devcontainer("exec", "sh", "-c", script)

        assert up.returncode == 0, up.stderr
        assert json.loads(up.stdout)["outcome"] == "success"
        assert not _warns(up)
        user, place, *shm = ran.stdout.splitlines()
        assert (ran.returncode, user, place) == (7, "1234", "/workspace")
        assert shm[-1].split()[1] == str(64 << 10)
        assert (folder / "made").stat().st_uid == 1234

        (container,) = _containers(host, folder)
        container.stop(timeout=0)
        again = devcontainer("up")

        assert again.returncode == 0, again.stderr
        assert _warns(again)


@contextlib.contextmanager
def _folder(host: str) -> Iterator[Path]:
    """Yield a folder that both engines see; its containers are removed at the end."""
    with tempfile.TemporaryDirectory(dir=Place.default().folder, prefix="devcontainer-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        try:
            yield folder
        finally:
            for container in _containers(host, folder):
                container.remove(force=True)


def _warns(done: subprocess.CompletedProcess[str]) -> bool:
    """Return whether the check said no; a line begins with its time."""
    return any(line.endswith(f"] {WARNING}") for line in done.stderr.splitlines())


def _containers(host: str, folder: Path) -> list[Container]:
    label = f"devcontainer.local_folder={folder}"
    client = docker.DockerClient(base_url=host)
    return client.containers.list(all=True, filters={"label": label})
