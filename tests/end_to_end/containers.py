"""Containers in which someone works, as the tests leave them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapenv.index.wheels import IndexWheels
from tests.command import certificates

if TYPE_CHECKING:
    from pathlib import Path

    from docker import DockerClient
    from docker.models.containers import Container

    from tests.command import Command


class Working:
    """A container of the base that someone works in, as long as the block lasts."""

    def __init__(self, client: DockerClient, base: str) -> None:
        self._container = client.containers.run(
            base, ["sleep", "3600"], detach=True, network_mode="host", init=True
        )

    def __enter__(self) -> Container:
        if certificates():
            self._container.put_archive("/tmp", certificates())
        run_in(self._container, "python3 -m venv /env")
        return self._container

    def __exit__(self, *_: object) -> None:
        self._container.remove(force=True)


def build_environment(
    client: DockerClient, command: Command, base: str, snapshot: Path, *, repository: str
) -> str:
    """Capture a small environment into a snapshot, and return the name of its image."""
    with Working(client, base) as container:
        run_in(container, pip("packaging==24.0 psutil==7.0.0"))
        command.result(
            "capture",
            *("--container", str(container.name), "--python", "/env/bin/python"),
            *("--no-smoke", "--base", base, "-o", str(snapshot)),
        )
    words = ("build", str(snapshot), "--repository", repository, "--replace")
    return str(command.result(*words)["image"])


def run_in(container: Container, command: str) -> None:
    code, output = container.exec_run(command, environment=_pip_environment())
    assert code == 0, output


def pip(words: str, *, python: str = "/env/bin/python") -> str:
    return f"/env/bin/pip --python {python} install --quiet --disable-pip-version-check {words}"


def _pip_environment() -> dict[str, str]:
    """Let pip in the container reach the index from here, without the base's constraints."""
    index = IndexWheels(None).variables().get("UV_DEFAULT_INDEX")
    return {
        "PIP_CONSTRAINT": "",
        **({"PIP_INDEX_URL": index} if index else {}),
        **({"PIP_CERT": "/tmp/ca.pem"} if certificates() else {}),
    }
