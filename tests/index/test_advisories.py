"""A service with OSV's API, played on loopback."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from snapenv.errors import AdvisoryServiceError
from snapenv.index.advisories import OsvService
from snapenv.model.osv import Query
from snapenv.network.session import Patience
from tests.advisories.records import record
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Patience(connect_s=2.0, read_s=2.0, retries=1, backoff_s=0.01, max_wait_s=0.05)


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


@pytest.fixture
def service() -> Iterator[Service]:
    with serving(Service()) as running:
        yield running


def find(service: Service, *packages: tuple[str, str]) -> list[str]:
    queries = [Query(name=name, version=version) for name, version in packages]
    return [each.id for each in OsvService(service.url, patience=QUICK).find(queries)]


def test_all_pages_are_read_and_each_advisory_once(service: Service) -> None:
    shared = record("demo", id="GHSA-1")
    service.known = {"demo": [shared, record("demo", id="PYSEC-2")], "other": [shared]}

    assert find(service, ("demo", "1.0"), ("none", "2.0"), ("other", "3.0")) == [
        "GHSA-1",
        "PYSEC-2",
    ]
    assert service.questions[0] == {
        "package": {"ecosystem": "PyPI", "name": "demo"},
        "version": "1.0",
    }


def test_many_packages_are_asked_for_in_parts(service: Service) -> None:
    names = [f"p{number}" for number in range(1201)]
    service.known = {"p1200": [record("p1200")]}

    assert find(service, *((name, "1") for name in names)) == ["PYSEC-2026-1"]
    assert [each["package"]["name"] for each in service.questions] == names


def test_nothing_is_asked_for_nothing(service: Service) -> None:
    assert find(service) == []
    assert service.questions == []


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (500, None, "answers with 500"),
        (403, None, "refuses with 403"),
        (200, b"<html>", "not of OSV's API"),
        (200, b'{"results": []}', "answers to other questions"),
    ],
)
def test_a_service_that_does_not_answer_is_named(
    service: Service, status: int, body: bytes | None, problem: str
) -> None:
    service.status, service.body = status, body

    with pytest.raises(AdvisoryServiceError) as caught:
        find(service, ("demo", "1.0"))

    assert caught.value.message.startswith("127.0.0.1 ")
    assert problem in caught.value.message


def test_a_service_that_cannot_be_reached_is_named() -> None:
    with pytest.raises(AdvisoryServiceError) as caught:
        OsvService("http://127.0.0.1:9", patience=QUICK).find([Query(name="demo", version="1")])

    assert "127.0.0.1" in caught.value.message
    assert caught.value.hint
