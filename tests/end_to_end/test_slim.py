"""Isolated environments on a plain Debian instead of NVIDIA's PyTorch image."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from tests.command import Command
from tests.end_to_end.containers import Working, install, run_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.docker

PINS = "numpy==2.3.5 six==1.17.0"
LOOK = """
import json, os, shutil, ssl, sys, numpy
names = ("LD_LIBRARY_PATH", "NVIDIA_DRIVER_CAPABILITIES", "NVIDIA_VISIBLE_DEVICES")
print(json.dumps({
    **{name: os.environ.get(name) for name in names},
    "python": os.path.realpath(sys.executable),
    "has authorities": bool(ssl.create_default_context().get_ca_certs()),
    "tools": [name for name in ("uv", "gcc") if shutil.which(name)],
}))
"""


@pytest.fixture(scope="module")
def client(engine_host: str) -> Iterator[DockerClient]:
    with contextlib.closing(DockerClient(base_url=engine_host, timeout=600)) as client:
        yield client


@pytest.fixture(scope="module")
def command(engine_host: str) -> Command:
    return Command({"DOCKER_HOST": engine_host})


@pytest.fixture(scope="module")
def snapshot(
    client: DockerClient,
    command: Command,
    base_image: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Return a capture for the family slim, with the Python of Debian 13."""
    folder = tmp_path_factory.mktemp("slim") / "snapshot"
    with Working(client, base_image) as container:
        run_in(container, "python3 -m venv --without-pip /work")
        install(container, f"--no-deps {PINS}", python="/work/bin/python")
        command.result(
            "capture",
            *("--container", str(container.name), "--python", "/work/bin/python"),
            *("--no-smoke", "--base-family", "slim", "-o", str(folder)),
        )
    return folder


@pytest.fixture(scope="module")
def image(
    snapshot: Path, client: DockerClient, command: Command, plain_image: str, registry: str
) -> Iterator[str]:
    assert plain_image.startswith(f"{registry}/library/debian:")
    words = ("--mirror", registry, "--repository", "snapenv-slim", "--replace")
    name = command.result("build", str(snapshot), *words)["image"]
    yield name
    client.images.remove(name, force=True)


def test_it_is_built_on_a_plain_debian_and_proved_there(
    image: str, snapshot: Path, command: Command, client: DockerClient, plain_image: str
) -> None:
    verified = command.document("verify", image, "--no-smoke", "--rehash")

    assert [check["id"] for check in verified["checks"] if not check["ok"]] == []
    assert "outside" in {check["id"] for check in verified["checks"]}
    built, plain = client.images.get(image).attrs, client.images.get(plain_image).attrs
    lowest = plain["RootFS"]["Layers"]
    assert built["RootFS"]["Layers"][: len(lowest)] == lowest
    assert built["Config"]["Labels"]["org.opencontainers.image.base.name"] == plain_image
    assert "FROM debian:13-slim AS base\n" in (snapshot / "Dockerfile").read_text()


def test_it_has_apt_s_python_authorities_and_what_gives_it_gpus(
    image: str, client: DockerClient
) -> None:
    told = client.containers.run(image, ["python", "-c", LOOK], remove=True)

    assert json.loads(told) == {
        "LD_LIBRARY_PATH": "/usr/local/nvidia/lib:/usr/local/nvidia/lib64",
        "NVIDIA_DRIVER_CAPABILITIES": "compute,utility,video",
        "NVIDIA_VISIBLE_DEVICES": "all",
        "python": "/usr/bin/python3.13",
        "has authorities": True,
        "tools": [],
    }


def test_a_name_that_an_image_of_one_family_has_is_not_moved_to_another(
    image: str, snapshot: Path, command: Command
) -> None:
    words = ("build", str(snapshot), "--repository", image.partition(":")[0])

    told = command.error("tag-taken", *words, "--base-family", "pytorch")

    assert "library/debian:13-slim" in told


@pytest.mark.full
@pytest.mark.exact
def test_torch_and_ultralytics_train_there_with_the_same_losses(
    exact_python: Path, plain_bookworm: str, command: Command, client: DockerClient, tmp_path: Path
) -> None:
    folder, registry = tmp_path / "snapshot", plain_bookworm.partition("/")[0]
    asked = ("--smoke", "--device", "cpu", "--base-family", "slim", "-o", str(folder))
    captured = command.result("capture", "--python", str(exact_python), *asked)
    assert f'image = "{plain_bookworm.rpartition("/")[2]}"' in (folder / "snapenv.toml").read_text()

    words = ("--mirror", registry, "--repository", "snapenv-slim-torch", "--device", "cpu")
    restored = command.result("restore", str(folder), *words)

    client.images.remove(f"snapenv-slim-torch:{captured['tag']}", force=True)
    assert restored["tier"] == "identical"
