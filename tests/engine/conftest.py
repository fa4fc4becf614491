from __future__ import annotations

from typing import TYPE_CHECKING

import docker
import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import ImageRef
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
