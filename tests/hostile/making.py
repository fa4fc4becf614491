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
from tests.engines.index_server import build_wheel, serve_index
from tests.fire.own_engine import own_registry
from tests.fire.room import Done, Room, said
from tests.hostile.cases import TAG
from tests.hostile.liar import Liar, serve_lies
from tests.registry.pushed import Shelf
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.hostile.cases import Asks

SECRET = "canary-e0b7f1c2d3"  # of the logins of both servers
USER = "somebody"
_LIMIT_S = 40.0  # with short waits
_WHEELS = (
    build_wheel("tool", "1.0", requires=["part<2"], files={"tool.py": b"V = 1\n"}),
    build_wheel("tool", "1.1", requires=["part<2"], files={"tool.py": b"V = 11\n"}),
    build_wheel("part", "1.0"),
    build_wheel("uv", version("uv")),  # a snapshot names it by its hash
)


@dataclass(frozen=True)
class Scene:
    """A room, the two servers that lie, and what runs commands."""

    room: Room
    registry: Liar
    index: Liar
    real_registry: str  # "localhost:PORT"
    process: subprocess.Popen[str]

    def run(self, *words: str) -> Done:
        """Run a command to its end; -999 where that does not come."""
        streams = self.room.folder.with_name("streams")
        streams.mkdir(exist_ok=True)
        asked = {
            "words": words,
            "environment": self.room.environment,
            "folder": str(self.room.work),
            "out": str(streams / "out"),
            "err": str(streams / "err"),
            "limit_s": _LIMIT_S,
        }
        stdin, stdout = _pipes(self.process)
        stdin.write(f"{json.dumps(asked)}\n")
        stdin.flush()
        code = int(stdout.readline())
        return Done(code, *said(streams), 0.0)


@contextmanager
def stage(folder: Path, asks: Asks) -> Iterator[Scene]:
    """Set up until the block ends what is needed for commands that ask one of the servers."""
    with contextlib.ExitStack() as held:
        registry = held.enter_context(own_registry(folder / "registry"))
        server = held.enter_context(serve_index(*_WHEELS))
        lies = held.enter_context(serve_lies(registry))
        of_index = held.enter_context(serve_lies(server.address.removeprefix("http://")))
        server.address = f"http://{of_index.name}"
        server.login = (USER, SECRET)
        room = Room(folder / "room", _variables(server.index_as(f"{USER}:{SECRET}")))
        room.stand_for = {"REGISTRY": lies.name}
        room.make()
        _make_environment(room.work / "environment", server.index_as(f"{USER}:{SECRET}"))
        process = held.enter_context(_commands())
        scene = Scene(room, lies, of_index, registry, process)
        for words in (
            ("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "snapshot"),
            ("update", "snapshot", "--no-smoke", "--upgrade", "tool", "-o", "after"),
            ("push", "snapshot", f"{lies.name}/hostile/snapshot"),
            ("show", "snapshot"),
        ):
            done = scene.run(*words)
            assert done.code == 0, (words, done)
        _push_image(registry)
        for name in ("cache", "work/environment") if asks == "registry" else ("cache",):
            shutil.rmtree(room.folder / name)
        _write_login(room.folder / "home/.docker", lies.name)
        room.keep()
        yield scene


def _variables(index: str) -> dict[str, str]:
    patience = {"UV_HTTP_TIMEOUT": "1", "UV_HTTP_RETRIES": "0", "UV_CONCURRENT_DOWNLOADS": "2"}
    return {"PIP_INDEX_URL": index, "NO_COLOR": "1", **patience}


@contextmanager
def _commands() -> Iterator[subprocess.Popen[str]]:
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


def _write_login(folder: Path, host: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    login = b64encode(f"{USER}:{SECRET}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {host: {"auth": login}}}))
