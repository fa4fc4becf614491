"""An engine that goes away in the middle of an answer."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest

from snapenv.engine.docker import DockerEngine
from snapenv.engine.stream import Patience
from snapenv.errors import EngineError
from snapenv.model.image import BuildContext, ImageRef
from tests.fakes import FakeTask
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REF = ImageRef.parse("localhost:5000/x:a")
DIGEST = f"sha256:{'ab' * 32}"
CONTEXT = BuildContext(files={"Dockerfile": b"FROM scratch\n"}, labels={})


class Breaking(BaseHTTPRequestHandler):
    """Gives its version and digests, has no image, and breaks off every stream.

    Of a stream come one message and half of the next. ``streams`` are those that were asked for.
    """

    protocol_version = "HTTP/1.1"
    streams: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        found = "/images/" not in self.path
        body = json.dumps(
            {"ApiVersion": "1.41", "Version": "20.10.24", "Descriptor": {"digest": DIGEST}}
            if found
            else {"message": "no such image"}
        ).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.streams.append(self.path)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        message = b'{"status":"Downloading","id":"a"}\r\n'
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"%x\r\n%s\r\n40\r\n{" % (len(message), message))
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - theirs
        pass


@pytest.fixture
def _breaking(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Breaking.streams.clear()
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Breaking)) as server:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
        yield


@pytest.mark.usefixtures("_breaking")
@pytest.mark.parametrize(
    ("ask", "stream"),
    [
        (lambda engine: engine.pull(REF, FakeTask()), "/images/create"),
        (lambda engine: engine.push(REF, FakeTask()), "/images/localhost:5000/x/push"),
        (lambda engine: engine.build(CONTEXT, FakeTask()), "/build"),
        (lambda engine: engine.load(iter([b"tar"])), "/images/load"),
    ],
    ids=["pull", "push", "build", "load"],
)
def test_a_stream_that_breaks_off_is_a_failure(
    ask: Callable[[DockerEngine], object], stream: str
) -> None:
    with pytest.raises(EngineError, match="the Docker engine went away"):
        ask(DockerEngine(patience=Patience(before_retries_s=())))

    (asked,) = Breaking.streams
    assert asked.partition("?")[0] == f"/v1.41{stream}"
