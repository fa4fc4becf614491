"""The room that every attempt begins with."""

from __future__ import annotations

import contextlib
import json
import zipfile
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest

from snapenv.lock.store import read_snapshot
from snapenv.model.image import ImageRef
from tests.advisories.records import record
from tests.engines.engine import start_engine
from tests.engines.index_server import build_wheel, serve_index
from tests.engines.place import Place
from tests.engines.registry import start_registry
from tests.engines.run_image import run_image
from tests.engines.small_base import push_small_base
from tests.fire.cases import IMAGE, NAME, WITH_PYTHON
from tests.fire.own_engine import make_image, own_engine, own_registry
from tests.fire.room import Room
from tests.zoo.environment import Venv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILES = 20  # of the package that is on no index
WHEELS = (
    build_wheel("tool", "1.0", requires=["part<2"], files={"tool.py": b"V = 1\n"}),
    build_wheel("tool", "1.1", requires=["part<2"], files={"tool.py": b"V = 11\n"}),
    build_wheel("part", "1.0"),
    build_wheel("uv", version("uv")),  # a snapshot names it by its hash
)


@contextmanager
def furnished(folder: Path, *, registry: str = "") -> Iterator[Room]:
    """Make a room with an environment, its snapshots, a venv, an archive and runs of the past.

    An index on loopback has its packages; nothing else is asked of any other machine. With
    ``registry``, a ``localhost:PORT``, that has a snapshot too.
    """
    with serve_index(*WHEELS) as server:
        room = Room(folder / "room", {"PIP_INDEX_URL": server.index})
        room.stand_for = {"REGISTRY": registry}
        room.make()
        _make_environment(room.work / "environment", folder, server.index)
        for words in (
            ("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "snapshot"),
            ("update", "snapshot", "--no-smoke", "--upgrade", "tool", "-o", "after"),
            ("restore", "snapshot", "--engine", "venv", "--no-smoke", "--into", "venv"),
            ("export", "snapshot", "-o", "archive.zst"),
            ("render", "archive.zst", "--image", IMAGE, "--as", "slurm", "-o", "rendered"),
            ("run", "venv", "--engine", "venv", "--into", "venv", "--", "python", "-c", "print(1)"),
        ):
            done = room.run(*words)
            assert done.code == 0, (words, done)
        for path in (room.work / "rendered").iterdir():
            path.write_text("# another one\n")
        _make_database(room.work / "all.zip")
        if registry:
            done = room.run("push", "snapshot", f"{registry}/fire/pushed")
            assert done.code == 0, done
        room.keep()
        yield room


@contextmanager
def without_engine(folder: Path) -> Iterator[Room]:
    """Make such a room beside a registry of its own."""
    with (
        own_registry(folder / "registry") as registry,
        furnished(folder, registry=registry) as made,
    ):
        yield made


@contextmanager
def with_engine(folder: Path) -> Iterator[Room]:
    """Make such a room beside an engine and a registry of its own, with an image in both."""
    with (
        own_registry(folder / "registry") as registry,
        own_engine(folder / "engine") as engine,
        furnished(folder, registry=registry) as room,
        pytest.MonkeyPatch.context() as patch,
        contextlib.ExitStack() as held,
    ):
        patch.setenv("DOCKER_HOST", engine.address)
        room.variables = {**room.variables, "DOCKER_HOST": engine.address}
        snapshot = read_snapshot(room.work / "snapshot")
        make_image(snapshot, ImageRef.parse(NAME))
        place = Place.default()
        base = push_small_base(place, engine=start_engine(place), registry=start_registry(place))
        held.enter_context(run_image(WITH_PYTHON, engine=engine.address, base=base))
        for words in (
            ("export", NAME, "-o", "image.zst"),
            ("push", NAME, f"{registry}/fire/image"),
        ):
            done = room.run(*words)
            assert done.code == 0, (words, done)
        room.engine = engine
        room.keep()
        yield room


def _make_environment(place: Path, beside: Path, index: str) -> None:
    made = Venv(place).make()
    made.install("--default-index", index, "tool==1.0", "part==1.0")
    files = {f"ours/m{number}.py": b"x = 1\n" for number in range(_FILES)}
    name, content = build_wheel("ours", "1.2+local", requires=["part<3"], files=files)
    (beside / name).write_bytes(content)
    made.install("--no-deps", "--offline", str(beside / name))
    (made.site / "part.py").write_text("x = 'edited'\n")
    (made.site / "loose.py").write_text("LOOSE = 1\n")


def _make_database(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("GHSA-1.json", json.dumps(record("part", versions=["1.0"])))
