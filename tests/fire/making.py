"""The room that every attempt begins with."""

from __future__ import annotations

import json
import zipfile
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from tests.advisories.records import record
from tests.engines.index_server import build_wheel, serve_index
from tests.fire.cases import IMAGE
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
def furnished(folder: Path) -> Iterator[Room]:
    """Make a room with an environment, its snapshots, a venv, an archive and runs of the past.

    An index on loopback has its packages; nothing else is asked of any other machine.
    """
    with serve_index(*WHEELS) as server:
        room = Room(folder / "room", {"PIP_INDEX_URL": server.index})
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
