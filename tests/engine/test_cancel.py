"""Ctrl-C of ``snapenv build`` itself, in the middle of a step that would never end.

Each Python that starts in the build reports to this test and waits for its leave. So the test
knows which steps run, holds one of them, and hears the end of its process.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from queue import Queue
from typing import TYPE_CHECKING

import pytest
from docker import DockerClient

from snapenv.engine.docker import DockerEngine
from snapenv.model.image import BuildContext, ImageRef
from tests.command import Command
from tests.end_to_end.containers import Working, install, run_in
from tests.engines.engine import BRIDGE, Bridge, start_engine
from tests.engines.newer_engine import NEWER, start_newer
from tests.engines.provide import provide
from tests.fakes import FakeTask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.engines.place import Place

pytestmark = pytest.mark.docker

WAIT_S = 120
HELD = "apply.py"  # a word of the step that is held: the overlay's
REPORTING = """\
import socket, sys
try:
    with socket.create_connection(("{host}", {port}), timeout=10) as gate:
        gate.settimeout(None)
        gate.sendall(" ".join(sys.orig_argv).encode() + b"\\n")
        gate.recv(1)
except OSError:
    pass
"""


@dataclass
class Gate:
    """Hears of each Python of a build, and lets all go on but those that it holds."""

    server: socket.socket
    holds: bool = True
    started: list[str] = field(default_factory=list)
    held: Queue[str] = field(default_factory=Queue)
    ended: Queue[str] = field(default_factory=Queue)

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            words = connection.makefile().readline().strip()
            self.started.append(words)
            if self.holds and HELD in words:
                self.held.put(words)
                connection.recv(1)  # nothing comes but the end
                self.ended.put(words)


@pytest.fixture
def gate() -> Iterator[Gate]:
    with socket.create_server(("0.0.0.0", 0)) as server:
        gate = Gate(server)
        threading.Thread(target=gate.serve, daemon=True).start()
        yield gate


@dataclass(frozen=True)
class Engine:
    """One of the engines, with the address at which its containers see this machine."""

    address: str
    host: str


def _engine(name: str, place: Place) -> Engine:
    bridge: Bridge = BRIDGE if name == "docker20" else NEWER.bridge
    address = start_engine(place) if name == "docker20" else start_newer(place, NEWER)
    return Engine(address, bridge.address.partition("/")[0])


@pytest.fixture(params=["docker20", NEWER.name])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = provide(lambda place: _engine(request.param, place))
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    return engine


@pytest.fixture(scope="module")
def snapshot(engine_host: str, base_image: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a snapshot like no other that a build needs no network for, one file of it edited."""
    folder = tmp_path_factory.mktemp("cancel") / "snapshot"
    client = DockerClient(base_url=engine_host, timeout=600)
    with Working(client, base_image) as container:
        run_in(container, "python3 -m venv --without-pip /work")
        install(container, "--no-deps six==1.17.0", python="/work/bin/python")
        edit = f"echo '# {uuid.uuid4()}' | tee -a /work/lib/*/site-packages/six.py"
        run_in(container, f'sh -c "{edit}"')
        Command({"DOCKER_HOST": engine_host}).result(
            "capture",
            *("--container", str(container.name), "--python", "/work/bin/python"),
            *("--no-smoke", "--vendor", "all", "--base", base_image, "-o", str(folder)),
        )
    client.close()
    return folder


@pytest.fixture
def reporting_base(engine: Engine, gate: Gate, base_image: str, registry: str) -> Iterator[str]:
    """Yield the stand-in base, in which each Python reports to the gate."""
    docker, standin = DockerEngine(), ImageRef.parse(base_image)
    docker.pull(standin, FakeTask())
    port = gate.server.getsockname()[1]
    lines = (
        f"FROM {base_image}",
        "RUN python3 -c 'import sysconfig; print(sysconfig.get_path(\"stdlib\"))' > /where",
        "COPY reporting.py /reporting.py",
        'RUN cp /reporting.py "$(cat /where)/sitecustomize.py"',
    )
    files = {
        "Dockerfile": "\n".join(lines).encode(),
        "reporting.py": REPORTING.format(host=engine.host, port=port).encode(),
    }
    image = docker.build(BuildContext(files=files, labels={}), FakeTask())
    ref = ImageRef(repository=f"{registry}/cancel/{uuid.uuid4().hex}", tag="base")
    docker.tag(image, ref)
    docker.push(ref, FakeTask())
    yield str(ref)
    docker.remove(ref.tagged)


def _contents(folder: Path) -> Mapping[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def _of_snapshot(engine: Engine, digest: str) -> list[str]:
    """List the images of a snapshot, named or not."""
    client = DockerClient(base_url=engine.address)
    found = client.images.list(filters={"label": f"io.snapenv.snapshot={digest}"})
    client.close()
    return [str(image.id) for image in found]


def _named(engine: Engine, repository: str) -> list[str]:
    client = DockerClient(base_url=engine.address)
    found = client.images.list(name=repository)
    client.close()
    return [str(image.id) for image in found]


def test_ctrl_c_ends_the_build_and_the_next_goes_on_from_the_cache(
    engine: Engine, gate: Gate, snapshot: Path, reporting_base: str, tmp_path: Path
) -> None:
    before, cache = _contents(snapshot), tmp_path / "cache"
    repository = f"cancel-{uuid.uuid4().hex}"
    words = ("build", str(snapshot), "--base", reporting_base, "--repository", repository)
    command = Command({"XDG_CACHE_HOME": str(cache)})
    program = (sys.executable, "-m", "snapenv", "--json", *words)
    building = subprocess.Popen(
        program,
        env={**os.environ, **command.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    gate.held.get(timeout=WAIT_S)

    building.send_signal(signal.SIGINT)
    stdout, stderr = building.communicate(timeout=WAIT_S)

    assert building.returncode == 130, stderr.decode()
    assert b"Traceback" not in stderr
    assert not stdout or json.loads(stdout)["exit_code"] == 130
    assert HELD in gate.ended.get(timeout=WAIT_S)  # the engine has ended the step's process
    assert _contents(snapshot) == before
    assert _named(engine, repository) == []
    assert not list(cache.rglob("fetched/*"))
    first = len(gate.started)
    assert any("zipfile" in one for one in gate.started)

    gate.holds = False
    result = command.result(*words)

    again = gate.started[first:]
    assert any(HELD in one for one in again)
    assert not any("zipfile" in one for one in again)  # that step came from the cache
    assert _of_snapshot(engine, result["snapshot"]) == [result["digest"]]
    DockerEngine().remove(result["image"])
