from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import docker
import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import ImageRef
from tests.engines.engine import containerd_pid_file, stop_engine
from tests.engines.place import Place, Service, call
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapenv.model.image import Image


@pytest.fixture
def engine(engine_host: str) -> DockerEngine:
    assert engine_host
    return DockerEngine()


@pytest.fixture
def base(engine: DockerEngine, base_image: str) -> ImageRef:
    """The stand-in base, pinned, and here."""
    ref = engine.resolve(ImageRef.parse(base_image), FakeTask())
    if engine.find(str(ref)) is None:
        engine.pull(ref, FakeTask())
    return ref


@pytest.fixture
def image(engine: DockerEngine, base: ImageRef) -> Image:
    found = engine.find(str(base))
    assert found is not None
    return found


@pytest.fixture
def witness(engine_host: str) -> Iterator[docker.DockerClient]:
    """docker-py itself, to see what our engine did."""
    client = docker.DockerClient(base_url=engine_host)
    yield client
    client.close()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """A place for an engine that a test may kill; DOCKER_HOST names it."""
    place = Place(tmp_path)
    with place.lock():
        monkeypatch.setenv("DOCKER_HOST", f"unix://{place.run}/docker.sock")
        yield place
        stop_engine(place)
        _end_containerd(place)
        for mounted in _mounted_below(tmp_path, place.run):
            call("umount", "--lazy", mounted)
        shutil.rmtree(place.run, ignore_errors=True)


def _end_containerd(place: Place) -> None:
    """End what a killed engine has left behind, and wait until it is gone."""
    left = Service(name="containerd", pid_file=containerd_pid_file(place), log=place.folder / "log")
    left.stop()


def _mounted_below(*folders: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    places = [line.split()[1] for line in lines]
    return [one for one in reversed(places) if one.startswith(tuple(f"{f}/" for f in folders))]
