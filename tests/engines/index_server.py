"""A real package index on loopback, with what indexes do: logins, ranges, redirects, failures.

Source: https://packaging.python.org/en/latest/specifications/simple-repository-api/
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from snapenv.model.wheels import IndexWheel
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Ranges = Literal["all", "no suffix", "ignored"]
Form = Literal["json", "html", "json and metadata"]
_METADATA = ".metadata"  # after the name of a wheel: its METADATA alone, of PEP 658
_JSON = "application/vnd.pypi.simple.v1+json"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the server does to one request for a file, instead of answering it well."""

    status: int | None = None  # answers so
    headers: Mapping[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body, then the connection is cut


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request, as the server saw it."""

    path: str
    headers: Mapping[str, str]
    status: int
    sent_bytes: int  # of the body
    port: int  # of the other side; the same as long as a connection is kept


@dataclass(kw_only=True)
class IndexServer:
    """An index of wheels, by file name; what it does can be changed while it runs."""

    wheels: dict[str, bytes] = field(default_factory=dict)
    login: tuple[str, str] | None = None  # user and password, asked for if there is one
    ranges: Ranges = "all"
    form: Form = "json"  # of what it says that it has, to those that can read it
    redirect: str | None = None  # the address of the server that has the files
    faults: list[Fault] = field(default_factory=list)  # for the next requests for files
    asked: list[Asked] = field(default_factory=list)
    address: str = ""
    lock: Lock = field(default_factory=Lock)

    @property
    def index(self) -> str:
        """The address of the index."""
        return f"{self.address}/team/simple/"

    def index_as(self, user_info: str) -> str:
        """The address of the index with a login in it."""
        return self.index.replace("://", f"://{user_info}@")

    def wheel(self, filename: str) -> IndexWheel:
        """Return a wheel as a lock names it."""
        name, version, *_ = filename.split("-")
        content = self.wheels[filename]
        return IndexWheel(
            name=name.replace("_", "-"),
            version=version,
            url=f"{self.address}/team/files/{filename}",
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            index=self.index,
        )

    def files_asked(self) -> list[Asked]:
        """List the requests for wheels."""
        with self.lock:
            return [one for one in self.asked if "/files/" in one.path]

    def sent_bytes(self) -> int:
        """Count the bytes of wheels that went out."""
        return sum(one.sent_bytes for one in self.files_asked())


@contextmanager
def serve_index(*wheels: tuple[str, bytes]) -> Iterator[IndexServer]:
    """Serve an index of wheels until the block ends."""
    state = IndexServer(wheels=dict(wheels))
    handler = type("Handler", (_Handler,), {"state": state})
    with serving(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        state.address = f"http://127.0.0.1:{server.server_port}"
        yield state


def build_wheel(  # noqa: PLR0913 - all but two by name
    name: str,
    version: str = "1.0",
    *,
    files: Mapping[str, bytes] | None = None,
    stored: bool = False,
    executable: Collection[str] = (),
    requires: Collection[str] = (),
) -> tuple[str, bytes]:
    """Make a wheel, and give its file name and its bytes; RECORD is its last file."""
    folder = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    contents = {
        **(files or {f"{name}.py": b"x = 1\n"}),
        f"{folder}/METADATA": metadata.encode(),
        f"{folder}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    contents[f"{folder}/RECORD"] = _record(contents, f"{folder}/RECORD").encode()
    packed = io.BytesIO()
    packing = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(packed, "w", packing) as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
            entry.external_attr = (0o100755 if path in executable else 0o100644) << 16
            archive.writestr(entry, content, packing)
    return f"{name}-{version}-py3-none-any.whl", packed.getvalue()


def _record(contents: Mapping[str, bytes], own: str) -> str:
    lines = [
        f"{path},sha256={_digest(content)},{len(content)}" for path, content in contents.items()
    ]
    return "".join(f"{line}\n" for line in (*lines, f"{own},,"))


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    state: IndexServer

    def do_GET(self) -> None:
        path = urlsplit(self.path).path  # a proxy is asked for whole addresses
        kind, _, name = path.removeprefix("/team/").rstrip("/").partition("/")
        if self.state.login and self.headers.get("Authorization") != _basic(self.state.login):
            self._answer(401, b"", {"WWW-Authenticate": "Basic"})
        elif kind == "simple":
            self._page(name)
        elif kind == "files" and name in self.state.wheels:
            self._file(name)
        elif kind == "files" and name.removesuffix(_METADATA) in self.state.wheels:
            self._answer(200, _metadata(self.state.wheels[name.removesuffix(_METADATA)]))
        else:
            self._answer(404, b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _page(self, name: str) -> None:
        names = [each for each in self.state.wheels if each.split("-")[0].replace("_", "-") == name]
        if not names:
            self._answer(404, b"")
        elif _JSON in self.headers.get("Accept", "") and self.state.form != "html":
            self._answer(200, _json_page(name, names, self.state), {"Content-Type": _JSON})
        else:
            self._answer(200, _html_page(names, self.state), {"Content-Type": "text/html"})

    def _file(self, name: str) -> None:
        with self.state.lock:
            fault = self.state.faults.pop(0) if self.state.faults else Fault()
        if fault.status:
            self._answer(fault.status, b"", fault.headers)
        elif self.state.redirect:
            self._answer(302, b"", {"Location": f"{self.state.redirect}/team/files/{name}"})
        else:
            self._part(self.state.wheels[name], fault)

    def _part(self, content: bytes, fault: Fault) -> None:
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not wanted or self.state.ranges == "ignored":
            self._answer(200, content, cut_after=fault.cut_after)
            return
        if not wanted[1] and self.state.ranges == "no suffix":
            self._answer(416, b"")
            return
        first = int(wanted[1]) if wanted[1] else max(0, len(content) - int(wanted[2]))
        last = int(wanted[2]) if wanted[1] and wanted[2] else len(content) - 1
        if first >= len(content):
            self._answer(416, b"")
            return
        part = content[first : last + 1]
        place = {"Content-Range": f"bytes {first}-{first + len(part) - 1}/{len(content)}"}
        self._answer(206, part, place, cut_after=fault.cut_after)

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        *,
        cut_after: int | None = None,
    ) -> None:
        sent = body if cut_after is None else body[:cut_after]
        with self.state.lock:
            self.state.asked.append(
                Asked(
                    path=self.path,
                    headers=dict(self.headers),
                    status=status,
                    sent_bytes=len(sent),
                    port=self.client_address[1],
                )
            )
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self._send(sent)
        if cut_after is not None:
            self.close_connection = True

    def _send(self, body: bytes) -> None:
        try:
            self.wfile.write(body)
        except OSError:  # the other side has heard enough
            self.close_connection = True

    def log_message(self, *_: object) -> None: ...


def _basic(login: tuple[str, str]) -> str:
    return f"Basic {base64.b64encode(':'.join(login).encode()).decode()}"


def _metadata(wheel: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (path,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return archive.read(path)


def _html_page(names: list[str], state: IndexServer) -> bytes:
    wheels = [state.wheel(name) for name in names]
    links = (f'<a href="{one.url}#sha256={one.sha256}">{one.filename}</a>' for one in wheels)
    return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode()


def _json_page(name: str, names: list[str], state: IndexServer) -> bytes:
    wheels = [state.wheel(each) for each in names]
    files = [
        {
            "filename": one.filename,
            "url": one.url,
            "hashes": {"sha256": one.sha256},
            "size": one.size_bytes,
            "core-metadata": state.form == "json and metadata",
        }
        for one in wheels
    ]
    page = {"meta": {"api-version": "1.1"}, "name": name, "files": files}
    return json.dumps({**page, "versions": sorted({one.version for one in wheels})}).encode()
