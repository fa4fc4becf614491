"""An image that is to snapenv one of its own, with Python and without ultralytics."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

_DOCKERFILE = """
FROM {base}
RUN mkdir -p /opt/snapenv/venv/bin /home/snapenv && chmod 1777 /home/snapenv \
    && ln -s /usr/bin/python3 /opt/snapenv/venv/bin/python
ENV HOME=/home/snapenv PATH=/opt/snapenv/venv/bin:/usr/local/bin:/usr/bin:/bin
ENTRYPOINT []
"""


@contextmanager
def run_image(name: str, *, engine: str, base: str) -> Iterator[str]:
    """Yield the name of the image, which is removed with the block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine)
        docker = DockerEngine()
        context = BuildContext(
            files={"Dockerfile": _DOCKERFILE.format(base=base).encode()},
            labels={SNAPSHOT_LABEL: f"sha256:{'1' * 64}"},
        )
        docker.tag(docker.build(context, FakeTask()), ImageRef.parse(name))
        yield name
        docker.remove(name)
