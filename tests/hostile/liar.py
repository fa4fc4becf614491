"""A server before another one, that answers some of a command's requests wrongly."""

from __future__ import annotations

import http.client
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.engines.forwarding import NO_BODY, OF_ONE_HOP, AllMethods, Forwarding
from tests.hostile.lies import Lie, Place, Right
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

_OTHER_HOST = "127.0.0.2"


@dataclass(frozen=True)
class Wrong:
    """Which requests get which wrong answer: the one of this number, or all from it on."""

    lie: Lie
    number: int  # from 1
    for_ever: bool = False

    def __str__(self) -> str:
        return f"{self.lie.name}, to request {self.number}{' and all others' * self.for_ever}"


@dataclass(kw_only=True)
class Liar:
    """The server as a test sees it; what it does can be changed while it runs."""

    behind: str  # "host:port" of the real one
    name: str = ""  # "localhost:PORT" of this one
    other: str = ""  # the address of another host, to which it may lead
    wrong: Wrong | None = None
    asked: list[str] = field(default_factory=list)  # "METHOD /path", in order
    heard_elsewhere: list[str] = field(default_factory=list)  # what the other host was sent
    lied: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, wrong: Wrong | None) -> None:
        """Count the requests of one more command."""
        with self.lock:
            self.wrong, self.lied = wrong, 0
            self.asked.clear()
            self.heard_elsewhere.clear()

    def take(self, line: str) -> Lie | None:
        """Count a request; return how it is to be answered, if not rightly."""
        with self.lock:
            self.asked.append(line)
            number, wrong = len(self.asked), self.wrong
            if wrong is None or wrong.lie.only not in line:
                return None
            if number == wrong.number or (wrong.for_ever and number > wrong.number):
                self.lied += 1
                return wrong.lie
            return None


@contextmanager
def serve_lies(behind: str) -> Iterator[Liar]:
    """Stand in front of a server at ``host:port`` until the block ends."""
    state = Liar(behind=behind)
    handler = type("Handler", (_Handler,), {"state": state})
    elsewhere = type("Elsewhere", (_Elsewhere,), {"state": state})
    with (
        serving(_Server(("127.0.0.1", 0), handler)) as server,
        serving(_Server((_OTHER_HOST, 0), elsewhere)) as other,
    ):
        state.name = f"localhost:{server.server_port}"
        state.other = f"http://{_OTHER_HOST}:{other.server_port}"
        yield state


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the other side has gone."""


class _Handler(Forwarding):
    state: Liar

    def respond(self) -> None:
        lie = self.state.take(f"{self.command} {self.path}")
        body = self.body()
        right = Right(status=200, headers=(), content=b"")
        with suppress(OSError, http.client.HTTPException):
            if lie is None or lie.is_heard:
                status, headers, content = self.ask(self.state.behind, body)
                right = Right(status=status, headers=tuple(headers), content=content)
            if lie is None:
                self._answer(right)
                return
            place = Place(
                connection=self.connection,
                path=self.path,
                other=self.state.other,
                is_head=self.command == "HEAD",
            )
            lie.answer(place, right)
        self.close_connection = True

    def _answer(self, right: Right) -> None:
        self.send_response_only(right.status)
        for name, value in right.headers:
            if name.lower() not in OF_ONE_HOP:
                self.send_header(name, value)
        if right.status not in NO_BODY:
            known = right.header("Content-Length") if self.command == "HEAD" else None
            self.send_header("Content-Length", known or str(len(right.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(right.content)


class _Elsewhere(AllMethods):
    """Another host: it gives anything that is asked for, and writes down what it was told."""

    state: Liar

    def respond(self) -> None:
        size = self.headers.get("Content-Length", "0")
        body = self.rfile.read(int(size) if size.isdecimal() else 0)
        told = [f"{name}: {value}" for name, value in self.headers.items()]
        with self.state.lock:
            self.state.heard_elsewhere.append(
                "\n".join((f"{self.command} {self.path}", *told, body.decode("latin-1")))
            )
        content = b'{"token": "of another", "tags": ["x"], "schemaVersion": 2}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
