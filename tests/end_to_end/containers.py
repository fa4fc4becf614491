"""Containers in which someone works, as the tests leave them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from uv import find_uv_bin

from snapenv.index.wheels import IndexWheels
from tests.command import certificates
from tests.engines.place import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from docker import DockerClient
    from docker.models.containers import Container

    from tests.command import Command

_UV = "/mnt/uv"


class Working:
    """A container of the base that someone works in, as long as the block lasts.

    It has an environment without pip in /env, and sees a uv with what that keeps: making an
    environment with pip and installing by it takes ten times as long.
    """

    def __init__(self, client: DockerClient, base: str) -> None:
        folder = _uv_folder()
        self._container = client.containers.run(
            base,
            ["sleep", "3600"],
            detach=True,
            network_mode="host",
            init=True,
            volumes=[f"{folder}:{_UV}"],
        )

    def __enter__(self) -> Container:
        if certificates():
            self._container.put_archive("/tmp", certificates())
        run_in(self._container, "python3 -m venv --without-pip /env")
        return self._container

    def __exit__(self, *_: object) -> None:
        self._container.remove(force=True)


def _uv_folder() -> Path:
    """Return a folder with this environment's uv where every engine sees it."""
    folder = Place.default().folder / "uv"
    program, own = folder / "uv", Path(find_uv_bin())
    if not program.exists() or program.stat().st_mtime_ns != own.stat().st_mtime_ns:
        folder.mkdir(parents=True, exist_ok=True)
        made = folder / f"uv-{os.getpid()}"
        shutil.copy2(own, made)
        made.replace(program)
    return folder


def install(container: Container, words: str, *, python: str = "/env/bin/python") -> None:
    """Install by uv, which takes no notice of what an environment has of its base."""
    run_in(container, f"{_UV}/uv pip install --quiet --python {python} {words}")


def install_by_pip(container: Container, words: str) -> None:
    """Install into an environment that has pip, also where this machine's uv does not run."""
    run_in(container, "python3 -m venv --clear /env")
    run_in(container, pip(words))


def build_environment(  # noqa: PLR0913 - two ways to the same
    client: DockerClient,
    command: Command,
    base: str,
    snapshot: Path,
    *,
    repository: str,
    install: Callable[[Container, str], None] = install,
    smoke: bool = False,
) -> str:
    """Capture a small environment into a snapshot, and return the name of its image."""
    with Working(client, base) as container:
        install(container, "packaging==24.0 psutil==7.0.0")
        command.result(
            "capture",
            *("--container", str(container.name), "--python", "/env/bin/python"),
            *("--smoke" if smoke else "--no-smoke", "--base", base, "-o", str(snapshot)),
        )
    words = ("build", str(snapshot), "--repository", repository, "--replace")
    return str(command.result(*words)["image"])


def run_in(container: Container, command: str) -> None:
    code, output = container.exec_run(command, environment=_environment())
    assert code == 0, output


def pip(words: str, *, python: str = "/env/bin/python") -> str:
    return f"/env/bin/pip --python {python} install --quiet --disable-pip-version-check {words}"


def _environment() -> dict[str, str]:
    """Let pip and uv in the container reach the index from here, without the base's constraints."""
    index = IndexWheels(None).variables().get("UV_DEFAULT_INDEX")
    return {
        "PIP_CONSTRAINT": "",
        "UV_CACHE_DIR": f"{_UV}/cache",
        "UV_LINK_MODE": "copy",
        **({"PIP_INDEX_URL": index, "UV_DEFAULT_INDEX": index} if index else {}),
        **({"PIP_CERT": "/tmp/ca.pem", "SSL_CERT_FILE": "/tmp/ca.pem"} if certificates() else {}),
    }
