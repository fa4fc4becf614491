"""An image as ``snapenv build --push`` leaves it, small, for files that are rendered and run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from snapenv.model.snapshot import SNAPSHOT_LABEL
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator

SNAPSHOT = f"sha256:{'1' * 64}"
# An image that is to snapenv one of its own, with programs that serve in the place of large ones.
DOCKERFILE = """
FROM {base}
RUN mkdir -p /opt/snapenv/venv/bin /opt/snapenv/bin /opt/tools/jupyterlab /home/snapenv \
    && chmod 1777 /home/snapenv && ln -s /usr/bin/python3 /opt/snapenv/venv/bin/python
COPY snapenv-check /opt/snapenv/bin/snapenv-check
COPY __main__.py /opt/tools/jupyterlab/__main__.py
RUN chmod 755 /opt/snapenv/bin/snapenv-check \
    && echo /opt/tools > $(python3 -c 'import site; print(site.getsitepackages()[0])')/tools.pth
ENV PATH=/opt/snapenv/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/home/snapenv USER=snapenv
USER 1000:1000
ENTRYPOINT []
"""
CHECK = b"#!/bin/sh\nexec test ! -e /tmp/changed\n"
SERVING = b"""\
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api" else 404)
        self.end_headers()
        self.wfile.write(" ".join(sys.argv[1:]).encode())
http.server.HTTPServer(("0.0.0.0", 8888), Answer).serve_forever()
"""


@pytest.fixture(scope="session")
def workspace_image(engine_host: str, base_image: str, registry: str) -> Iterator[str]:
    """Push an image to the registry, as a build with --push does."""
    name = ImageRef(repository=f"{registry}/compose/env", tag="train-py3.13-base-cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", engine_host)
        engine = DockerEngine()
        context = BuildContext(
            files={
                "Dockerfile": DOCKERFILE.format(base=base_image).encode(),
                "snapenv-check": CHECK,
                "__main__.py": SERVING,
            },
            labels={SNAPSHOT_LABEL: SNAPSHOT},
        )
        engine.tag(engine.build(context, FakeTask()), name)
        engine.push(name, FakeTask())
        yield str(name)
        engine.remove(str(name))
