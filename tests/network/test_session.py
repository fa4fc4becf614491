"""How long a server asks to wait, what is repeated, who gets a login, and which bodies are read."""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext, suppress
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import TYPE_CHECKING, cast

import pytest
import requests
from inline_snapshot import snapshot as wording

from snapenv import __version__
from snapenv.network.repeat import FailedError, repeat
from snapenv.network.session import Advice, Patience, RequestError, Session
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import Retry

    from snapenv.network.cause import Kind

PATIENCE = Patience(connect_s=60.0, read_s=60.0, retries=2, backoff_s=0.0, max_wait_s=30.0)


def session(*, login_of: dict[str, str] | None = None, keeps_tls: bool = False) -> Session:
    logins = login_of or {}
    return Session(
        advice=Advice(login="Log in.", absent="Look for it."),
        patience=PATIENCE,
        login_of=lambda url: logins.get(url.rpartition("/")[0]),
        keeps_tls=keeps_tls,
    )


def retry_of(asking: Session) -> Retry:
    asking.retry(frozenset())
    return cast("Retry", asking.get_adapter("https://").max_retries)  # type: ignore[attr-defined]


def test_a_wait_is_read_in_seconds_and_as_a_date() -> None:
    retry, soon = retry_of(session()), datetime.now(timezone.utc) + timedelta(seconds=25)

    assert retry.parse_retry_after("7") == 7.0
    assert 0 < retry.parse_retry_after(format_datetime(soon, usegmt=True)) <= 25


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "²", "1e9", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 99 Oct 2015"]
)
def test_a_wait_that_is_over_or_not_understood_is_none(text: str) -> None:
    assert retry_of(session()).parse_retry_after(text) == 0.0


def test_no_wait_is_longer_than_the_longest_and_a_later_try_knows_that_too() -> None:
    retry = retry_of(session()).increment("GET", "/", error=None)

    assert retry.parse_retry_after("3600") == 30.0
    assert Patience(retries=9).waits_s == (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0)


class Handler(BaseHTTPRequestHandler):
    """Answers each path as the test says, and keeps the headers of what it was asked."""

    answers: dict[str, list[tuple[int, dict[str, str]]]]
    heard: list[tuple[str, str | None, str | None]]
    sent: list[int]

    def do_GET(self) -> None:
        self.heard.append(
            (self.path, self.headers.get("Authorization"), self.headers.get("User-Agent"))
        )
        answers = self.answers.get(self.path, [])
        status, headers = answers.pop(0) if answers else (200, {})
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            while "X-Endless" in headers and sum(self.sent) < 1 << 30:
                self.sent.append(self.wfile.write(bytes(1 << 20)))

    def log_message(self, *_: object) -> None: ...


@contextmanager
def serve(**answers: list[tuple[int, dict[str, str]]]) -> Iterator[tuple[str, type[Handler]]]:
    """Serve on loopback; a status of 0 closes the connection."""
    named = {f"/{path}": list(statuses) for path, statuses in answers.items()}
    handler = type("Served", (Handler,), {"answers": named, "heard": [], "sent": []})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", handler


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again_and_told_who_asks(status: int) -> None:
    asking = session()
    asking.retry(frozenset())
    with (
        serve(a=[(status, {}), (status, {})]) as (url, server),
        asking.ask(f"{url}/a", host="h") as response,
    ):
        asking.check_status(response.status_code)

    assert server.heard == [("/a", None, f"snapenv/{__version__}")] * 3


@pytest.mark.parametrize(("kinds", "tries"), [(frozenset({"cut"}), 3), (frozenset({"timeout"}), 1)])
def test_what_fails_is_repeated_for_the_given_causes_alone(
    kinds: frozenset[Kind], tries: int
) -> None:
    asking = session()
    asking.retry(kinds)
    with (
        serve(a=[(0, {})] * 9) as (url, server),
        pytest.raises(RequestError, match="closes the connection") as caught,
        asking.ask(f"{url}/a", host="h"),
    ):
        pass

    assert len(server.heard) == tries
    assert (caught.value.kind, caught.value.passing) == ("cut", False)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_login_of_netrc_and_one_of_another_server_are_sent_to_nobody(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text(f"machine {host} login me password canary\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(home))
    with serve() as (second, other), serve(a=[(302, {"Location": f"{second}/b"})]) as (url, first):
        asking = session()
        for headers in ({}, {"Authorization": "Basic canary"}):
            first.answers["/a"] = [(307, {"Location": f"{second}/b".replace("127.0.0.1", host)})]
            with asking.ask(f"{url}/a", host="h", headers=headers):
                pass

    assert [login for _, login, _ in first.heard] == [None, "Basic canary"]
    assert [login for _, login, _ in other.heard] == [None, None]


def test_a_server_that_is_redirected_to_gets_its_own_login() -> None:
    with serve() as (second, other), serve(a=[(302, {"Location": f"{second}/b"})]) as (url, _):
        asking = session(login_of={second: "Basic own"})
        with asking.ask(f"{url}/a", host="h", headers={"Authorization": "Basic canary"}):
            pass

    assert other.heard[0][:2] == ("/b", "Basic own")


def test_a_circle_of_redirects_ends() -> None:
    with (
        serve(a=[(302, {"Location": "/a"})] * 99) as (url, server),
        pytest.raises(RequestError) as caught,
        session().ask(f"{url}/a", host="h"),
    ):
        pass

    assert str(caught.value) == wording("redirects too often, or away from HTTPS")
    assert len(server.heard) == 11


def test_what_passes_is_repeated_and_what_stays_is_not() -> None:
    tries: list[int] = []

    def fail(passing: list[bool]) -> str:
        tries.append(1)
        if not passing:
            return "done"
        raise FailedError("x", passing=passing.pop(0))

    assert repeat(lambda left=[True, True]: fail(left), (0.0, 0.0)) == "done"  # type: ignore[misc]
    with pytest.raises(FailedError):
        repeat(lambda left=[True, False]: fail(left), (0.0, 0.0))  # type: ignore[misc]
    assert len(tries) == 5


@pytest.mark.parametrize("keeps_tls", [True, False])
def test_tls_is_left_only_where_that_is_allowed(*, keeps_tls: bool) -> None:
    request = requests.Request(url="http://example.com/b", method="GET").prepare()
    request.headers["Authorization"] = "Basic canary"
    response = requests.Response()
    response.request = requests.Request(url="https://example.com/a", method="GET").prepare()
    refusal = pytest.raises(requests.TooManyRedirects) if keeps_tls else nullcontext()

    with refusal:
        session(keeps_tls=keeps_tls).rebuild_auth(request, response)
        assert "Authorization" not in request.headers


@pytest.mark.parametrize("status", [503, 302, 404])
def test_no_body_is_read_that_nobody_wants(status: int) -> None:
    endless = {"Content-Length": str(1 << 40), "X-Endless": "1", "Location": "/b"}
    asking = session()
    asking.retry(frozenset())
    with (
        serve(a=[(status, endless)]) as (url, server),
        asking.ask(f"{url}/a", host="h") as response,
    ):
        last = response.status_code

    assert last == (404 if status == 404 else 200)
    assert len(server.heard) == (1 if status == 404 else 2)
    assert sum(server.sent) < 64 << 20


@contextmanager
def endless(begin: bytes, again: bytes) -> Iterator[str]:
    """Answer whoever connects with a beginning, and then the same again and again."""

    class Answer(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.sendall(begin)
                while True:
                    self.request.sendall(again)
                    time.sleep(0.01)

    with serving(ThreadingTCPServer(("127.0.0.1", 0), Answer)) as server:
        yield f"http://127.0.0.1:{server.server_address[1]}"


@pytest.mark.parametrize(
    ("begin", "again"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999),
        (b"HTTP/1.1 200 OK\r\nX-Odd: ", b"x"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
    ids=["status", "head", "body", "chunks"],
)
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(begin: bytes, again: bytes) -> None:
    asking = Session(
        advice=Advice(login="Log in.", absent="Look for it."),
        patience=Patience(connect_s=60.0, read_s=60.0 if not begin else 0.1, retries=0),
    )
    asking.retry(frozenset())
    with (
        endless(begin, again) as url,
        pytest.raises(RequestError) as caught,
        asking.ask(url, host="h") as response,
    ):
        response.raw.read(1 << 20)

    assert caught.value.kind == ("timeout" if begin else "cut")
