"""What commands run in that ask servers which lie: a folder, a registry and an index."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING

from snapenv.model.snapshot import SNAPSHOT_LABEL, TAG_LABEL
from tests.advisories.records import record
from tests.advisories.service import Service
from tests.engines.index_server import IndexServer, build_wheel, serve_index
from tests.fire.own_engine import own_registry
from tests.fire.room import Done, Room, said
from tests.hostile.cases import TAG
from tests.hostile.liar import Liar, serve_lies
from tests.registry.pushed import Shelf
from tests.serving import serving
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.hostile.cases import Stage

SECRET = "canary-e0b7f1c2d3"  # of the logins of both servers
USER = "somebody"
_MORE_S = 400.0
_ADVISORIES = {
    "part": [record("part", versions=["1.0"], id="GHSA-1"), record("part", id="PYSEC-2")],
    "tool": [record("tool", {"introduced": "0"}, id="GHSA-3")],
}
_QUICK = {"UV_HTTP_TIMEOUT": "1", "UV_HTTP_RETRIES": "0", "UV_CONCURRENT_DOWNLOADS": "2"}
_PATIENT = {"UV_HTTP_TIMEOUT": "120"}
_WHEELS = (
    build_wheel("tool", "1.0", requires=["part<2"], files={"tool.py": b"V = 1\n"}),
    build_wheel("tool", "1.1", requires=["part<2"], files={"tool.py": b"V = 11\n"}),
    build_wheel("tool", "1.2", requires=["part<2"], files={"tool.py": b"V = 12\n"}),
    build_wheel("part", "1.0"),
    build_wheel("uv", version("uv")),  # a snapshot names it by its hash
)


@dataclass(frozen=True)
class Scene:
    """A room, the two servers that lie, and what runs commands."""

    room: Room
    liar: Liar  # the one that lies here
    real_registry: str  # "localhost:PORT"
    process: subprocess.Popen[str]
    bound_s: float = (
        25.0  # for a command, with short waits, on a machine that does other things too
    )
    limit_s: float = 40.0  # then it is killed
    index: IndexServer | None = None  # behind the liar, or beside it

    def run(self, *words: str, patient: bool = False) -> Done:
        """Run a command to its end; -999 where that does not come."""
        streams = self.room.folder.with_name("streams")
        streams.mkdir(exist_ok=True)
        asked = {
            "words": words,
            "environment": {**self.room.environment, **(_PATIENT if patient else _QUICK)},
            "patient": patient,
            "folder": str(self.room.work),
            "out": str(streams / "out"),
            "err": str(streams / "err"),
            "limit_s": self.limit_s + (_MORE_S if patient else 0),
        }
        stdin, stdout = _pipes(self.process)
        stdin.write(f"{json.dumps(asked)}\n")
        stdin.flush()
        code = int(stdout.readline())
        return Done(code, *said(streams), 0.0)


@contextmanager
def stage(folder: Path, which: Stage) -> Iterator[Scene]:
    """Set up until the block ends what is needed for commands that ask a server which lies."""
    if which == "engine":
        from tests.hostile.with_engine import stage_with_engine

        with stage_with_engine(folder) as scene:
            yield scene
        return
    if which == "channel":
        from tests.hostile.with_channel import stage_with_channel

        with stage_with_channel(folder) as scene:
            yield scene
        return
    with contextlib.ExitStack() as held:
        registry = held.enter_context(own_registry(folder / "registry"))
        server = held.enter_context(serve_index(*_WHEELS))
        service = held.enter_context(serving(Service()))
        service.known = _ADVISORIES
        liars: Mapping[Stage, Liar] = {
            "registry": held.enter_context(serve_lies(registry)),
            "index": held.enter_context(serve_lies(server.address.removeprefix("http://"))),
            "advisories": held.enter_context(serve_lies(service.url.removeprefix("http://"))),
        }
        server.address = f"http://{liars['index'].name}"
        server.login = (USER, SECRET)
        index = server.index_as(f"{USER}:{SECRET}")
        room = Room(folder / "room", {"PIP_INDEX_URL": index, "NO_COLOR": "1"})
        room.stand_for = {
            "REGISTRY": liars["registry"].name,
            "ADVISORIES": f"http://{liars['advisories'].name}",
        }
        room.make()
        _make_environment(room.work / "environment", index)
        process = held.enter_context(commands())
        scene = Scene(room, liars[which], registry, process, index=server)
        hostile = f"{liars['registry'].name}/hostile"
        for words in (
            ("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "snapshot"),
            ("update", "snapshot", "--no-smoke", "--upgrade", "tool==1.1", "-o", "middle"),
            ("update", "middle", "--no-smoke", "--upgrade", "tool==1.2", "-o", "after"),
            ("push", "snapshot", f"{hostile}/snapshot"),
            ("push", "middle", f"{hostile}/middle"),
            ("show", "snapshot"),
        ):
            done = scene.run(*words, patient=True)
            assert done.code == 0, (words, done)
        _push_image(registry)
        of_registry = () if which == "index" else ("work/environment",)
        for name in ("cache", "work/middle", *of_registry):
            shutil.rmtree(room.folder / name)
        write_login(room.folder / "home/.docker", liars["registry"].name)
        room.keep()
        yield scene


@contextmanager
def commands() -> Iterator[subprocess.Popen[str]]:
    """Start what runs commands."""
    words = [sys.executable, "-m", "tests.hostile.commands"]
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )
    try:
        yield process
    finally:
        _pipes(process)[0].close()
        process.wait()
        _pipes(process)[1].close()


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _make_environment(place: Path, index: str) -> None:
    made = Venv(place).make()
    made.install("--default-index", index, "tool==1.0", "part==1.0")
    (made.site / "part.py").write_text("x = 'edited'\n")


def _push_image(registry: str) -> None:
    """Give the registry an image that says that it is one of snapenv's."""
    labels = {SNAPSHOT_LABEL: f"sha256:{'5e' * 32}", TAG_LABEL: TAG}
    Shelf(f"{registry}/hostile/image").push(TAG, labels=labels)


def write_login(folder: Path, host: str) -> None:
    """Let docker's configuration have the login of a registry."""
    folder.mkdir(parents=True, exist_ok=True)
    login = b64encode(f"{USER}:{SECRET}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
