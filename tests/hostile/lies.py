"""Wrong answers of a server, in the place of the one that it would give."""

from __future__ import annotations

import gzip
import json
import re
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

Headers = tuple[tuple[str, str], ...]
_OF_ONE_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
_FAR = 10**9
_MANY_LINKS = 100_000
_BOMB_BYTES = 256 << 20
_HEADER_BYTES = 1 << 20
_SLOW_S = 0.2  # for one byte
_LINK = re.compile(rb'(https?://[^/"]+)(/[^"#]*)')  # host and path
_HASH = re.compile(rb'#sha256=[0-9a-f]+|"sha256": "[0-9a-f]+"')
_NAME = re.compile(rb">([^<>]+\.whl)</a>")


@dataclass(frozen=True, kw_only=True)
class Right:
    """What the server would answer."""

    status: int
    headers: Headers
    content: bytes

    def header(self, name: str) -> str | None:
        """Return a header by its name in any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a wrong answer goes, and what it may name."""

    connection: socket.socket
    path: str  # that was asked for
    other: str  # the address of another host
    is_head: bool
    digest: str | None = None  # that was asked for

    def send(self, status: str, headers: Headers, body: bytes = b"") -> None:
        """Send a whole answer, whatever it says of itself."""
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        head = f"HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n"
        with suppress(OSError):  # the other side has heard enough
            self.connection.sendall(head.encode("latin-1") + (b"" if self.is_head else body))


Answer = Callable[[Place, Right], None]


@dataclass(frozen=True, kw_only=True)
class Lie:
    """One way to answer wrongly."""

    name: str
    answer: Answer
    is_heard: bool = True  # the server does what is asked, and only then is the answer another
    only: str = ""  # a part of the path of requests that it makes sense for
    is_other: bool = False  # a right answer to another question: what names no digest may differ
    is_flipped: bool = False  # it may be well formed, and can be told by a digest alone


def _kept(right: Right, *without: str) -> Headers:
    left_out = {*_OF_ONE_HOP, *without}
    return tuple((name, value) for name, value in right.headers if name.lower() not in left_out)


def _status(status: str, **headers: str) -> Answer:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    body = b'{"errors": [{"code": "UNKNOWN", "message": "\x1b[31mno"}]}'

    def answer(place: Place, right: Right) -> None:
        del right
        place.send(status, (*named, ("Content-Length", str(len(body)))), body)

    return answer


def _body(change: Callable[[bytes], bytes], *, says: int | None = None, **headers: str) -> Answer:
    """Answer with another body, and, where ``says`` is given, that many bytes more than it has."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())

    def answer(place: Place, right: Right) -> None:
        body = change(right.content)
        length = len(body) + (says or 0)
        kept = _kept(right, *(name.lower() for name, _ in named))
        place.send(f"{right.status} OK", (*kept, *named, ("Content-Length", str(length))), body)

    return answer


def _length(text: str) -> Answer:
    """Answer rightly, with this as the length."""

    def answer(place: Place, right: Right) -> None:
        headers = (*_kept(right), ("Content-Length", text.format(len(right.content))))
        place.send(f"{right.status} OK", headers, right.content)

    return answer


def _two_lengths(place: Place, right: Right) -> None:
    lengths = (("Content-Length", str(len(right.content))), ("Content-Length", "3"))
    place.send(f"{right.status} OK", (*_kept(right), *lengths), right.content)


def _flipped(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :] if content else content


def _redirect(where: str, status: str = "302 Found") -> Answer:
    def answer(place: Place, right: Right) -> None:
        del right
        place.send(
            status,
            (
                ("Location", where.format(other=place.other, path=place.path)),
                ("Content-Length", "0"),
            ),
        )

    return answer


def _challenge(text: str) -> Answer:
    def answer(place: Place, right: Right) -> None:
        del right
        challenge = text.format(other=place.other)
        place.send("401 Unauthorized", (("WWW-Authenticate", challenge), ("Content-Length", "0")))

    return answer


def _reset(place: Place, right: Right) -> None:
    """Send half of the body, then reset the connection."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in _kept(right))
    head = f"HTTP/1.1 {right.status} OK\r\n{lines}Content-Length: {len(right.content)}\r\n\r\n"
    with suppress(OSError):
        place.connection.sendall(head.encode("latin-1") + right.content[: len(right.content) // 2])
        time.sleep(0.01)
        place.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _nothing(place: Place, right: Right) -> None:
    """Close the connection, and answer nothing."""


def _raw(text: bytes) -> Answer:
    def answer(place: Place, right: Right) -> None:
        del right
        with suppress(OSError):
            place.connection.sendall(text)

    return answer


def _slow(place: Place, right: Right, *, head: bool) -> None:
    """Send a byte at a time, for as long as somebody listens."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in _kept(right))
    whole = f"HTTP/1.1 {right.status} OK\r\n{lines}Content-Length: {_FAR}\r\n\r\n".encode("latin-1")
    quick, slow = (b"", whole + right.content) if head else (whole, right.content * 2)
    with suppress(OSError):
        place.connection.sendall(quick)
        for number in range(100):
            place.connection.sendall(slow[number : number + 1] or b" ")
            time.sleep(_SLOW_S)


def _hang(place: Place, right: Right) -> None:
    """Say nothing, until the other side goes."""
    del right
    with suppress(OSError):
        place.connection.settimeout(10)
        place.connection.recv(1)


def _continues(place: Place, right: Right) -> None:
    """Ask the other side to go on, and on."""
    del right
    with suppress(OSError):
        for _ in range(200_000):
            place.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(_BOMB_BYTES), compresslevel=1)


def _bombed(place: Place, right: Right) -> None:
    body = _bomb()
    kept = (*_kept(right), ("Content-Encoding", "gzip"), ("Content-Length", str(len(body))))
    place.send(f"{right.status} OK", kept, body)


def _other_digest(place: Place, right: Right) -> None:
    digest = f"sha256:{'0' * 64}"
    headers = (*_kept(right, "docker-content-digest"), ("Docker-Content-Digest", digest))
    place.send(
        f"{right.status} OK", (*headers, ("Content-Length", str(len(right.content)))), right.content
    )


def _no_digest(place: Place, right: Right) -> None:
    """Answer with other bytes, and say nothing of their digest."""
    body = _flipped(right.content)
    headers = (*_kept(right, "docker-content-digest"), ("Content-Length", str(len(body))))
    place.send(f"{right.status} OK", headers, body)


def _huge_header(place: Place, right: Right) -> None:
    headers = (*_kept(right), ("X-Odd", "x" * _HEADER_BYTES))
    length = ("Content-Length", str(len(right.content)))
    place.send(f"{right.status} OK", (*headers, length), right.content)


def _many_headers(place: Place, right: Right) -> None:
    headers = (*_kept(right), *((f"X-{number}", "x") for number in range(10_000)))
    length = ("Content-Length", str(len(right.content)))
    place.send(f"{right.status} OK", (*headers, length), right.content)


def _next_page(link: str) -> Answer:
    def answer(place: Place, right: Right) -> None:
        named = link.format(path=place.path, other=place.other)
        headers = (*_kept(right, "link"), ("Link", f'<{named}>; rel="next"'))
        length = ("Content-Length", str(len(right.content)))
        place.send(f"{right.status} OK", (*headers, length), right.content)

    return answer


def _part(status: str, first: int, last: int, total: str) -> Answer:
    def answer(place: Place, right: Right) -> None:
        body = right.content[first : last + 1]
        headers = (
            *_kept(right, "content-range"),
            ("Content-Range", f"bytes {first}-{last}/{total}"),
        )
        place.send(status, (*headers, ("Content-Length", str(len(body)))), body)

    return answer


def _chunked(raw: bytes) -> Answer:
    def answer(place: Place, right: Right) -> None:
        place.send(f"{right.status} OK", (*_kept(right), ("Transfer-Encoding", "chunked")), raw)

    return answer


def _links(where: str) -> Answer:
    """Let each link of a page lead elsewhere."""

    def answer(place: Place, right: Right) -> None:
        to = where.format(other=place.other, host=place.other[len("http://") :]).encode()
        _body(lambda content: _LINK.sub(lambda found: to + found[2], content))(place, right)

    return answer


def _base(place: Place, right: Right) -> None:
    """Answer with links that are names alone, of another host."""
    names = b"".join(b'<a href="%s">%s</a>' % (name, name) for name in _NAME.findall(right.content))
    page = b'<html><head><base href="%s/lied/"></head>%s' % (place.other.encode(), names)
    _body(_without(page), Content_Type="text/html")(place, right)


def _many_links(place: Place, right: Right) -> None:
    """Answer with a page that has the links of as many versions."""
    name = place.path.rstrip("/").rpartition("/")[2]
    links = (f'<a href="{name}-1.{n}-py3-none-any.whl">x</a>' for n in range(_MANY_LINKS))
    _body(_without("".join(links).encode()), Content_Type="text/html")(place, right)


def _without(text: bytes) -> Callable[[bytes], bytes]:
    return lambda _: text


_REFUSALS: Mapping[str, Answer] = {
    "500": _status("500 Internal Server Error"),
    "503": _status("503 Service Unavailable"),
    "429, in 10^9 s": _status("429 Too Many Requests", Retry_After=str(_FAR)),
    "429, in -5 s": _status("429 Too Many Requests", Retry_After="-5"),
    "429, soon": _status("429 Too Many Requests", Retry_After="soon"),
    "429, in 2099": _status("429 Too Many Requests", Retry_After="Wed, 21 Oct 2099 07:28:00 GMT"),
    "429, on a day of no calendar": _status(
        "429 Too Many Requests", Retry_After="Wed, 99 Oct 99999 99:99:99 GMT"
    ),
    "403": _status("403 Forbidden"),
    "404": _status("404 Not Found"),
    "418": _status("418 I'm a teapot"),
    "407": _status("407 Proxy Authentication Required", Proxy_Authenticate="Basic"),
    "401 without a challenge": _status("401 Unauthorized"),
    "401 Basic": _challenge('Basic realm="x"'),
    "401 Negotiate": _challenge("Negotiate abc"),
    "401 Bearer elsewhere": _challenge('Bearer realm="{other}/lied/token",service="x"'),
    "401 Bearer of a file": _challenge('Bearer realm="file:///etc/passwd",service="x"'),
    "401 Bearer nowhere": _challenge('Bearer realm="http://[::bad",service="\x01"'),
    "401 of 60 kB": _challenge("Bearer " + 'realm="x",' * 6000),
    "a redirect to itself": _redirect("{path}"),
    "a redirect that grows": _redirect("{path}x"),
    "a redirect to another host": _redirect("{other}/lied{path}"),
    "307 to another host": _redirect("{other}/lied{path}", "307 Temporary Redirect"),
    "a redirect to a file": _redirect("file:///etc/passwd"),
    "a redirect to no address": _redirect("http://[::bad"),
    "a redirect with a login": _redirect("http://user:pass@127.0.0.1:1{path}"),
    "302 without a place": _status("302 Found"),
    "304": _raw(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n"),
    "no HTTP": _raw(b"SSH-2.0-OpenSSH_9.2\r\n"),
    "HTTP/9.9": _raw(b"HTTP/9.9 abc def\r\n\r\n"),
    "status 99999": _raw(b"HTTP/1.1 99999 x\r\n\r\n"),
    "a closed connection": _nothing,
    "100 Continue for ever": _continues,
    "silence": _hang,
}
_BODIES: Mapping[str, Answer] = {
    "204": _status("204 No Content"),
    "half of it": _body(lambda content: content[: len(content) // 2]),
    "half, and the length of the whole": _body(lambda content: content[:-1], says=1),
    "more than it": _body(lambda content: content + b"x" * 100),
    "one other bit": _body(_flipped),
    "one other bit, and no digest": _no_digest,
    "another digest": _other_digest,
    "nothing": _body(_without(b"")),
    "another kind": _body(lambda content: content, Content_Type="text/html; charset=\x01"),
    "a page to log in": _body(_without(b"<html>Please log in</html>"), Content_Type="text/html"),
    "a bomb of gzip": _bombed,
    "gzip that is none": _body(lambda content: content, Content_Encoding="gzip"),
    "br that is none": _body(lambda content: content, Content_Encoding="br"),
    "an encoding of no name": _body(lambda content: content, Content_Encoding="x" * 9999),
    "no JSON": _body(_without(b"{")),
    "null": _body(_without(b"null")),
    "a list": _body(_without(b"[]")),
    "JSON in a million lists": _body(_without(b"[" * 1_000_000)),
    "JSON in a million tables": _body(_without(b'{"manifests":' * 1_000_000)),
    "a number of many digits": _body(_without(b'{"schemaVersion": ' + b"9" * 1_000_000 + b"}")),
    "no UTF-8": _body(_without(b'{"tags": ["\xff\xfe"]}')),
    "odd names": _body(
        _without(json.dumps({"tags": ["\x1b[31m", "../../x", "a" * 9999, ""]}).encode())
    ),
    "10 MB of zeros": _body(_without(bytes(10 << 20))),
    "the length -1": _length("-1"),
    "the length of a word": _length("many"),
    "a length of 30 digits": _length("9" * 30),
    "a length too short": _length("3"),
    "two lengths": _two_lengths,
    "chunks of no length": _chunked(b"zz\r\nxx\r\n0\r\n\r\n"),
    "a chunk of 16 EB": _chunked(b"ffffffffffffffff\r\nx"),
    "chunks without an end": _chunked(b"3\r\nabc\r\n"),
    "a reset in the middle": _reset,
    "a header of 1 MB": _huge_header,
    "10,000 headers": _many_headers,
    "206 of what was not asked for": _part("206 Partial Content", 1, 5, "6"),
    "206 of another whole": _part("206 Partial Content", 0, 3, "99999999999"),
    "206 of no place": _part("206 Partial Content", 9, 2, "*"),
    "a body byte by byte": lambda place, right: _slow(place, right, head=False),
    "a head byte by byte": lambda place, right: _slow(place, right, head=True),
}
_PAGES: Mapping[str, Answer] = {
    "a next page that is the same": _next_page("{path}"),
    "a next page on another host": _next_page("{other}/lied{path}"),
    "a next page of no address": _next_page("http://[::bad"),
}
_LISTS: Mapping[str, Answer] = {
    "links to another host": _links("{other}/lied"),
    "links to another host, with a login": _links("http://user:pass@{host}/lied"),
    "links to files": _links("file:///etc/passwd?"),
    "links of no address": _links("http://[::bad"),
    "a base on another host": _base,
    "100,000 links": _many_links,
    "tags that do not end": _body(_without(b"<a href='" * 100_000), Content_Type="text/html"),
    "a million tags, each in the other": _body(
        _without(b"<div>" * 1_000_000), Content_Type="text/html"
    ),
    "no hashes": _body(lambda content: _HASH.sub(b"", content)),
}

LIES = (
    *(Lie(name=name, answer=answer, is_heard=False) for name, answer in _REFUSALS.items()),
    *(
        Lie(
            name=name,
            answer=answer,
            is_other=name in {"another kind", "one other bit, and no digest"},
            is_flipped=name == "one other bit",
        )
        for name, answer in _BODIES.items()
    ),
    *(
        Lie(name=name, answer=answer, only="/tags/list", is_other=True)
        for name, answer in _PAGES.items()
    ),
    *(
        Lie(name=name, answer=answer, only="/simple/", is_other=True)
        for name, answer in _LISTS.items()
    ),
)
