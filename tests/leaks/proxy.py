"""A real proxy on loopback that asks for a login."""

from __future__ import annotations

import base64
import select
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(kw_only=True)
class Proxy:
    """Where it listens, and how often it let somebody through."""

    login: str  # "user:password"
    port: int = 0
    tunnels: int = 0
    refused: int = 0

    @property
    def url(self) -> str:
        return f"http://{self.login}@127.0.0.1:{self.port}"


@contextmanager
def run_proxy(login: str) -> Iterator[Proxy]:
    """Let those who know the login through to https hosts, until the block ends."""
    state = Proxy(login=login)
    handler = type("Handler", (_Handler,), {"state": state})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        state.port = server.server_port
        yield state


class _Handler(BaseHTTPRequestHandler):
    state: Proxy

    def do_CONNECT(self) -> None:
        expected = f"Basic {base64.b64encode(self.state.login.encode()).decode()}"
        if self.headers.get("Proxy-Authorization") != expected:
            self.state.refused += 1
            self.send_response(407)
            self.send_header("Proxy-Authenticate", "Basic")
            self.end_headers()
            return
        host, _, port = self.path.rpartition(":")
        with suppress(OSError), socket.create_connection((host.strip("[]"), int(port)), 10) as far:
            self.state.tunnels += 1
            self.send_response(200)
            self.end_headers()
            _relay(self.connection, far)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


def _relay(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    while True:
        ready, _, _ = select.select(list(other), [], [], 60)
        if not ready:
            return
        for side in ready:
            data = side.recv(1 << 16)
            if not data:
                return
            other[side].sendall(data)
