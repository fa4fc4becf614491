"""A proxy on loopback in front of a real registry, that does to requests what networks do."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.engines.forwarding import NO_BODY, OF_ONE_HOP, CutError, Forwarding
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

MANIFEST = r"GET /v2/\S+/manifests/"
ANY_MANIFEST = r"(GET|HEAD) /v2/\S+/manifests/"
BLOB = r"GET /v2/\S+/blobs/"
UPLOAD = r"(POST|PATCH|PUT) /v2/\S+/blobs/uploads/"
PUT_MANIFEST = r"PUT /v2/\S+/manifests/"
ALL = r"."

_FOREVER = 1 << 30


@dataclass(kw_only=True)
class Fault:
    """What is done to the next requests whose ``METHOD /path`` this begins."""

    to: str  # a regular expression
    times: int = 1
    status: int | None = None  # is answered, and the registry hears nothing
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False  # no answer comes, as long as the proxy runs
    silent: bool = False  # the registry does what is asked, and its answer is lost
    cut_after: int | None = None  # bytes of the answer's body, then the connection is cut
    cut_request_after: int | None = None  # bytes of the request's body
    flip: int | None = None  # the byte of the body that is changed
    instead: bytes | None = None  # the body, whatever the registry says


@dataclass(kw_only=True)
class FaultyRegistry:
    """The proxy as a test sees it; what it does can be changed while it runs."""

    behind: str  # "localhost:PORT" of the real one
    name: str = ""  # "localhost:PORT" of this one
    faults: list[Fault] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # "METHOD /path status", in order; 0: was cut
    heard: list[str] = field(default_factory=list)  # the Authorization headers
    lock: threading.Lock = field(default_factory=threading.Lock)
    closed: threading.Event = field(default_factory=threading.Event)

    def fault(self, to: str, *, times: int = 1, **what: object) -> Fault:
        """Do this from now on to so many requests."""
        return self.add(Fault(to=to, times=times, **what))  # type: ignore[arg-type]

    def add(self, fault: Fault) -> Fault:
        """Do this from now on; give what counts how often it is still to be done."""
        made = replace(fault)
        with self.lock:
            self.faults.append(made)
        return made

    def always(self, to: str, **what: object) -> Fault:
        """Do this from now on."""
        return self.fault(to, times=_FOREVER, **what)

    def count(self, pattern: str) -> int:
        """Count the requests so far whose ``METHOD /path status`` has this in it."""
        with self.lock:
            return sum(bool(re.search(pattern, line)) for line in self.asked)

    def take(self, line: str) -> Fault:
        """Return what is to be done to a request, nothing where nothing is."""
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.match(fault.to, line):
                    fault.times -= 1
                    return fault
        return Fault(to="")


@contextmanager
def serve_faulty(behind: str) -> Iterator[FaultyRegistry]:
    """Stand in front of a registry at ``localhost:PORT`` until the block ends."""
    state = FaultyRegistry(behind=behind)
    handler = type("Handler", (_Handler,), {"state": state})
    with serving(_Server(("127.0.0.1", 0), handler)) as server:
        state.name = f"localhost:{server.server_port}"
        try:
            yield state
        finally:
            state.closed.set()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: the other side has gone, which is what is tested."""


class _Handler(Forwarding):
    state: FaultyRegistry

    def respond(self) -> None:
        fault = self.state.take(f"{self.command} {self.path}")
        with self.state.lock:
            self.state.heard.append(self.headers.get("Authorization", ""))
        try:
            self._handle(fault)
        except CutError:
            self._note(0)
            self._cut()
        except OSError:  # the other side has heard enough
            self._cut()

    def _handle(self, fault: Fault) -> None:
        if fault.hangs:
            self.state.closed.wait()
            raise CutError
        body = self.body(fault.cut_request_after)
        if fault.status:
            self._answer(fault.status, fault.headers, b"", fault)
            return
        status, headers, content = self.ask(self.state.behind, body)
        if fault.silent:
            raise CutError
        self._answer(status, dict(headers), content, fault)

    def _answer(
        self, status: int, headers: Mapping[str, str], content: bytes, fault: Fault
    ) -> None:
        self._note(status)
        length = next((v for k, v in headers.items() if k.lower() == "content-length"), None)
        if fault.instead is not None:
            content, length = fault.instead, None
        if fault.flip is not None and content:
            at = fault.flip % len(content)
            content = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        self.send_response_only(status)
        for key, value in headers.items():
            if key.lower() not in OF_ONE_HOP:
                self.send_header(key, value)
        if status not in NO_BODY:
            is_head = self.command == "HEAD" and length
            self.send_header("Content-Length", str(length if is_head else len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.cut_after is not None:
            self.wfile.write(content[: fault.cut_after])
            self.wfile.flush()
            time.sleep(0.05)  # a reset would take back what was sent
            raise CutError
        self.wfile.write(content)

    def _note(self, status: int) -> None:
        with self.state.lock:
            self.state.asked.append(f"{self.command} {self.path} {status}")

    def _cut(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
