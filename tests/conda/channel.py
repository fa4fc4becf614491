"""A real channel of conda packages, in a folder and over http, and environments made from it."""

from __future__ import annotations

import contextlib
import os
import shutil
import ssl
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.certificates import ADDRESS
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.conda import packages


def make_channel(folder: Path, made: Iterable[packages.Package]) -> Path:
    """Write packages into a channel's folder, and index it."""
    for package in made:
        package.write(folder)
    (folder / "noarch").mkdir(parents=True, exist_ok=True)
    run_rattler("index", folder)
    return folder


def make_environment(
    prefix: Path, channels: Sequence[str], specs: Sequence[str], *, cache: Path
) -> Path:
    """Install what is asked for from channels into a new prefix, by py-rattler, as pixi does."""
    run_rattler("solve", prefix, cache, ",".join(channels), *specs)
    return prefix


def run_rattler(*words: object) -> None:
    """Run the program beside this, in a process of its own."""
    argv = (sys.executable, "-m", "tests.conda.with_rattler", *map(str, words))
    done = subprocess.run(
        argv, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr


@dataclass(kw_only=True)
class ChannelServer:
    """A channel over http; ``address`` is without what it asks for."""

    folder: Path
    token: str | None = None  # asked for as conda's: /t/TOKEN/ before the path
    authorization: str | None = None  # the header that is asked for
    refused_once: int | None = None  # the status that answers the first question for each file
    address: str = ""
    asked: list[str] = field(default_factory=list)

    def address_as(self, *, token: str | None = None, user_info: str | None = None) -> str:
        """Return the address with a credential in it."""
        scheme, _, rest = self.address.partition("://")
        host, _, path = rest.partition("/")
        before = f"{user_info}@" if user_info else ""
        between = f"/t/{token}" if token else ""
        return f"{scheme}://{before}{host}{between}/{path}"


@contextmanager
def serve_channel(
    folder: Path,
    *,
    token: str | None = None,
    authorization: str | None = None,
    certificates: Path | None = None,
    refused_once: int | None = None,
) -> Iterator[ChannelServer]:
    """Serve a channel on loopback until the block ends, over TLS with the good certificate.

    ``refused_once`` is the status with which the first question for each file is answered.
    """
    state = ChannelServer(
        folder=folder, token=token, authorization=authorization, refused_once=refused_once
    )
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    state.address = f"http://127.0.0.1:{server.server_port}/zoo"
    if certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "good.crt", certificates / "key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        state.address = f"https://{ADDRESS}:{server.server_port}/zoo"
    with serving(server):
        yield state


class _Handler(SimpleHTTPRequestHandler):
    state: ChannelServer

    def __init__(self, *arguments: Any) -> None:  # noqa: ANN401 - as socketserver has it
        super().__init__(*arguments, directory=str(self.state.folder))

    def do_GET(self) -> None:
        if self._may_pass():
            with contextlib.suppress(ConnectionError):  # the other side has heard enough
                super().do_GET()

    def do_HEAD(self) -> None:
        if self._may_pass():
            super().do_HEAD()

    def _may_pass(self) -> bool:
        """Check what is asked for, and take it out of the path."""
        state = self.state
        if state.refused_once and self.path not in state.asked:
            state.asked.append(self.path)
            self.send_error(state.refused_once)
            return False
        state.asked.append(self.path)
        if state.token:
            before = f"/t/{state.token}"
            if not self.path.startswith(f"{before}/"):
                self.send_error(403)
                return False
            self.path = self.path.removeprefix(before)
        if state.authorization not in (None, self.headers.get("Authorization")):
            self.send_error(401)
            return False
        self.path = self.path.removeprefix("/zoo")
        return True

    def log_message(self, *_: object) -> None: ...


def remove_package(channel: Path, filename: str) -> None:
    """Take a package off a channel, as an owner does."""
    for path in channel.glob(f"*/{filename}"):
        path.unlink()


def move_away(prefix: Path) -> Path:
    """Let an environment be elsewhere, as if its machine were gone."""
    away = prefix.with_name(f"{prefix.name}-away")
    shutil.move(os.fspath(prefix), away)
    return away
