"""A service with OSV's API, played on loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Service(ThreadingHTTPServer):
    """Knows advisories by the names of packages; answers one of them a page."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.known: dict[str, list[dict[str, Any]]] = {}
        self.questions: list[dict[str, Any]] = []
        self.body: bytes | None = None  # whatever is asked
        self.status = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        self.questions.append(question)
        known = self.known.get(question["package"]["name"], [])
        page = int(question.get("page_token", 0))
        more = {"next_page_token": str(page + 1)} if page + 1 < len(known) else {}
        vulns = [{"id": each["id"], "modified": each["modified"]} for each in known[page:][:1]]
        return {**({"vulns": vulns} if vulns else {}), **more}

    def handle_error(self, *_: object) -> None:
        """Say nothing."""


class _Handler(BaseHTTPRequestHandler):
    server: Service  # type: ignore[mutable-override]

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        queries = json.loads(self.rfile.read(size))["queries"]
        self._send({"results": [self.server.answer(each) for each in queries]})

    def do_GET(self) -> None:
        name = self.path.removeprefix("/v1/vulns/")
        every = [each for known in self.server.known.values() for each in known]
        self._send(next(each for each in every if each["id"] == name))

    def _send(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode() if self.server.body is None else self.server.body
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""
