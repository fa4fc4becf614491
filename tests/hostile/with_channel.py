"""What commands run in that ask a channel of conda which lies: an environment and its snapshot."""

from __future__ import annotations

import contextlib
import json
import shutil
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from tests.conda.channel import make_channel, make_environment, serve_channel
from tests.conda.packages import library, noarch_python, python
from tests.engines.index_server import build_wheel, serve_index
from tests.fire.room import Room
from tests.hostile.liar import serve_lies
from tests.hostile.making import SECRET, USER, Scene, commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TOOLS = tuple(build_wheel(name.replace("-", "_"), version(name)) for name in ("uv", "py-rattler"))


@contextmanager
def stage_with_channel(folder: Path) -> Iterator[Scene]:
    """Set up a channel, and an environment made of it, until the block ends.

    A package is of a host that this machine has a login for, so that snapenv fetches it; the others
    are fetched by py-rattler. Both names are those of the one that lies.
    """
    channel = make_channel(folder / "channel", (python(), library(), noarch_python()))
    with contextlib.ExitStack() as held:
        behind = held.enter_context(serve_channel(channel))
        liar = held.enter_context(serve_lies(behind.address.split("/")[2]))
        index = held.enter_context(serve_index(*_TOOLS)).index
        room = Room(folder / "room", {"PIP_INDEX_URL": index, "NO_COLOR": "1"})
        room.make()
        public = f"http://{liar.name}/zoo"
        made = make_environment(
            room.work / "environment",
            [public],
            ["python", "libzoo", "zoopure"],
            cache=folder / "packages",
        )
        private = liar.name.replace("localhost", "127.0.0.1")
        (record,) = made.glob("conda-meta/zoopure-*.json")
        record.write_text(record.read_text().replace(liar.name, private))
        logins = room.folder / "home/.rattler/credentials.json"
        logins.parent.mkdir()
        login = {"BasicHTTP": {"username": USER, "password": SECRET}}
        logins.write_text(json.dumps({private: login}))
        process = held.enter_context(commands())
        scene = Scene(room, liar, "", process, bound_s=150.0, limit_s=200.0)
        done = scene.run(
            *("capture", "--no-smoke", "--python", "environment/bin/python", "-o", "snapshot"),
            patient=True,
        )
        assert done.code == 0, done
        shutil.rmtree(room.folder / "cache")
        room.keep()
        yield scene
