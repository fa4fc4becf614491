"""An environment of arm64, captured and built on this machine, which emulates it."""

from __future__ import annotations

import contextlib
import uuid
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from snapenv.lock.store import read_snapshot
from tests.command import Command
from tests.end_to_end.containers import build_environment, install_by_pip
from tests.engines.arm64 import emulating, make_arm64, make_qemu, push_arm64
from tests.engines.provide import provide

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.docker
@pytest.mark.full
def test_an_environment_of_arm64_is_captured_and_built_emulated(
    engine_host: str, registry: str, tmp_path: Path
) -> None:
    command, snapshot = Command({"DOCKER_HOST": engine_host}), tmp_path / "snapshot"
    root, qemu = provide(make_arm64), provide(make_qemu)
    repository = f"{registry}/arm64/{uuid.uuid4()}"
    with (
        emulating(qemu),
        contextlib.closing(DockerClient(base_url=engine_host, timeout=1800)) as client,
    ):
        base = push_arm64(root, engine=engine_host, registry=registry)
        image = build_environment(
            *(client, command, base, snapshot), repository=repository, install=install_by_pip
        )
        found = client.images.get(image)
        words = ("-c", "import platform, psutil; print(platform.machine(), psutil.__version__)")
        told = client.containers.run(image, ["python", *words], remove=True)
        client.images.remove(image, force=True)
        client.images.remove(base, force=True)

    assert found.attrs["Architecture"] == "arm64"
    assert told.decode().split()[-2:] == ["aarch64", "7.0.0"]
    lock = read_snapshot(snapshot).lock
    assert lock.hardware.system.machine == "aarch64"
    assert "aarch64" in lock.installer.url
    shown = command.result("show", str(snapshot))
    assert shown["machine"] == "arm64"
