"""A stand-in for an engine: a socket that gives recorded answers."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

DOCKER = {"Version": "28.5.2", "ApiVersion": "1.51", "MinAPIVersion": "1.24", "Arch": "amd64"}
PODMAN = {  # podman 4.3.1 of Debian 12, shortened
    "Platform": {"Name": "linux/amd64/debian-12"},
    "Components": [
        {"Name": "Podman Engine", "Version": "4.3.1", "Details": {"APIVersion": "4.3.1"}},
        {"Name": "Conmon", "Version": "conmon version 2.1.6, commit: unknown"},
    ],
    "Version": "4.3.1",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.24",
}
PING = {"Api-Version": "1.51", "Ostype": "linux", "Builder-Version": "2"}


@contextlib.contextmanager
def answering(
    path: Path, version: object = DOCKER, *, status: int = 200, hangs_at: str | None = None
) -> Iterator[str]:
    """Answer at a socket with one answer to ``/version``; give its address."""

    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answers: Mapping[str, object] = {"/version": version, "/info": {"Name": "engine"}}
            name = "/" + self.path.rpartition("/")[2]
            if name == hangs_at:
                released.wait()
                self.close_connection = True
                return
            body = answers.get(name, "OK")
            sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status if name == "/version" else 200)
            for header in PING.items():
                self.send_header(*header)
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        def address_string(self) -> str:
            return ""

        def log_message(self, *_: object) -> None:
            pass

    with serving(ThreadingUnixStreamServer(str(path), Handler)) as server:
        server.daemon_threads = True
        server.block_on_close = False
        try:
            yield f"unix://{path}"
        finally:
            released.set()


@contextlib.contextmanager
def silent(path: Path) -> Iterator[str]:
    """Take connections at a socket, and never answer; give its address."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        yield f"unix://{path}"
