"""Whatever an engine answers, it is a value or is refused by one line, and never a traceback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING, ClassVar

import pytest

from snapenv.engine.containers import ImageTarget
from snapenv.engine.docker import DockerEngine, has_buildkit
from snapenv.engine.runs import DockerRuns
from snapenv.engine.stream import Patience
from snapenv.errors import EngineError, EngineMissingError
from snapenv.kept import Kept
from snapenv.model.image import BuildContext, Image, ImageRef
from tests.fakes import FakeTask
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

RUN = "261101-101500-ab12"
REF = ImageRef.parse("localhost:5000/x:a")
DIGEST = f"sha256:{'ab' * 32}"
CONTEXT = BuildContext(files={"Dockerfile": b"FROM scratch\n"}, labels={})
IMAGE = Image(
    id=DIGEST, diff_ids=(), digests=(), labels={}, variables={}, machine="amd64", size_bytes=1
)
VERSION = {"Version": "28.5.2", "ApiVersion": "1.51"}
ODD: tuple[object, ...] = (
    None,
    True,
    7,
    "text",
    [],
    ["text"],
    [7],
    {},
    {"Id": 7},
    [{"Id": "a"}],
    [{"Id": {}}],
)
DEEP = "[" * 100_000


class Odd(BaseHTTPRequestHandler):
    """Gives its version as an engine does, and one answer to all else."""

    protocol_version = "HTTP/1.1"
    answer: ClassVar[str] = ""

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = (json.dumps(VERSION) if self.path == "/version" else self.answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - as the standard library calls them

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingUnixStreamServer):
    """Waits for no connection at its end: clients keep theirs."""

    daemon_threads = True
    block_on_close = False


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerEngine]:
    with serving(Server(str(tmp_path / "s"), Odd)):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
        yield DockerEngine(patience=Patience(before_retries_s=()))


def _runs(engine: DockerEngine, folder: Path) -> DockerRuns:
    return DockerRuns(
        lambda: engine.client, engine.describe, lambda _: None, Kept(None), folder / "state"
    )


def _target(engine: DockerEngine) -> ImageTarget:
    return ImageTarget(
        client=engine.client, describe=engine.describe, image=IMAGE, python="python", gpus="all"
    )


ASKED: Mapping[str, Callable[[DockerEngine, Path], object]] = {
    "build": lambda engine, _: engine.build(CONTEXT, FakeTask()),
    "container": lambda engine, _: engine.container_target("a", python="python").run(["true"]),
    "describe": lambda engine, _: engine.describe(),
    "find": lambda engine, _: engine.find("a"),
    "image": lambda engine, _: _target(engine).run(["true"]),
    "insecure": lambda engine, _: engine.is_insecure("localhost:5000"),
    "leaving": lambda engine, _: list(engine.read_leaving(IMAGE, base=IMAGE)),
    "load": lambda engine, _: engine.load(iter([b"tar"])),
    "made": lambda engine, _: engine.list_made(),
    "names": lambda engine, _: engine.list_names(label="a"),
    "pull": lambda engine, _: engine.pull(REF, FakeTask()),
    "push": lambda engine, _: engine.push(REF, FakeTask()),
    "execute": lambda engine, folder: _runs(engine, folder).execute(RUN, ["true"]),
    "attach": lambda engine, folder: _runs(engine, folder).attach(RUN),
    "list runs": lambda engine, folder: _runs(engine, folder).list_runs(),
    "logs": lambda engine, folder: list(_runs(engine, folder).logs(RUN, follow=False, tail=1)),
    "put": lambda engine, folder: _runs(engine, folder).put(RUN, {"/a": b""}),
    "state": lambda engine, folder: _runs(engine, folder).state(RUN),
    "wait": lambda engine, folder: _runs(engine, folder).wait(RUN),
}


@pytest.mark.parametrize("name", ASKED)
def test_whatever_an_engine_answers_is_a_value_or_an_error_of_one_line(
    engine: DockerEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    refused = 0
    for answer in (*map(json.dumps, ODD), "no JSON", DEEP):
        monkeypatch.setattr(Odd, "answer", answer)
        try:
            ASKED[name](engine, tmp_path)
        except EngineError as error:
            refused += 1
            assert "\n" not in error.message  # noqa: PT017 - some answers are values
            assert len(error.message) < 1_000  # noqa: PT017

    assert refused


@pytest.mark.parametrize(
    "version",
    [
        {"Components": ["Podman Engine"], **VERSION},
        {"Components": {"Name": "Podman Engine"}, **VERSION},
        {"Version": 28, "ApiVersion": "1.51"},
        {"ApiVersion": ["1.51"]},
        {"ApiVersion": "newest"},
    ],
)
def test_what_is_no_version_of_an_engine_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: object
) -> None:
    monkeypatch.setattr("tests.engine.test_answers.VERSION", version)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/s")
    server = Server(str(tmp_path / "s"), Odd)

    with serving(server), pytest.raises(EngineMissingError):
        DockerEngine().check()


@pytest.mark.parametrize("version", ["", "newest", "1", "1.x", "²"])
def test_a_version_that_is_no_number_builds_nothing(version: str) -> None:
    assert not has_buildkit({"Api-Version": version})
