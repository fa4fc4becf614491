"""An environment of conda, with pip's packages on top and edits by hand, as an image."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from tests.command import Command
from tests.zoo.conda_cases import Prefix, everything

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from docker.models.containers import Container

pytestmark = pytest.mark.docker

INSIDE = "/opt/snapenv/venv"


@dataclass(frozen=True)
class Built:
    client: DockerClient
    image: str
    command: Command
    before: Mapping[str, object]  # as the prefix was where it was captured
    restored: dict[str, object]


@pytest.fixture(scope="module")
def built(  # noqa: PLR0913, PLR0917 - all that it is made of
    engine_host: str,
    registry: str,
    base_image: str,
    conda_channel: Path,
    conda_cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("conda")
    prefix = Prefix(folder / "working", (conda_channel.as_uri(),), conda_cache / "pkgs")
    everything(prefix)
    command, snapshot = Command({"DOCKER_HOST": engine_host}), str(folder / "snapshot")
    words = ("--python", str(prefix.python), "--no-smoke", "--base", base_image)
    command.result("capture", *words, "-o", snapshot)
    repository = f"{registry}/team/conda"
    restored = command.result("restore", snapshot, "--repository", repository, "--no-preflight")
    client = DockerClient(base_url=engine_host, timeout=600)
    image = f"{repository}:{restored['tag']}"
    yield Built(client, image, command, prefix.look(), restored)
    client.images.remove(image, force=True)
    client.close()


@pytest.fixture(scope="module")
def running(built: Built) -> Iterator[Container]:
    """Run a container that does nothing, for commands in it."""
    container = built.client.containers.run(
        built.image, ["sleep", "600"], detach=True, init=True, network_mode="none"
    )
    yield container
    container.remove(force=True)


def run(container: Container, command: str) -> list[str]:
    code, said = container.exec_run(["sh", "-c", command])
    assert code == 0, said
    assert isinstance(said, bytes)
    return said.decode().splitlines()


def test_every_file_is_the_same_but_for_the_prefix(
    built: Built, running: Container, tmp_path: Path
) -> None:
    stream, _ = running.get_archive(INSIDE)
    with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as tar:
        tar.extractall(tmp_path, filter="fully_trusted")

    assert Prefix(tmp_path / "venv", named=INSIDE).look() == built.before


def test_the_environment_is_active_in_every_command(running: Container) -> None:
    lines = run(
        running,
        "command -v python; command -v zoo-roar; zoo-roar; zoo-config;"
        'echo "$CONDA_PREFIX $ZOO_THREADS $ZOO_GREETING $ZOO_HOME"',
    )

    assert lines == [
        f"{INSIDE}/bin/python",
        f"{INSIDE}/bin/zoo-roar",
        "roar 1.0",
        f"zoo-config of {INSIDE}",
        f"{INSIDE} 4 hello there {INSIDE}/share/zoo",
    ]


def test_nothing_that_installed_it_is_in_the_image(running: Container) -> None:
    lines = run(running, "ls -A /mnt; find / -xdev -name '*rattler*' 2>&- || true")

    assert lines == []


def test_verify_compares_conda_s_packages_once_more(built: Built) -> None:
    checks = built.command.document("verify", built.image, "--device", "cpu")["checks"]

    assert [check["id"] for check in checks if not check["ok"]] == []
    assert "conda" in {check["id"] for check in checks}
