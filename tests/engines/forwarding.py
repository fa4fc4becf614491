"""What proxies of the tests have in common: they read a request, and pass it on."""

from __future__ import annotations

import http.client
from http.server import BaseHTTPRequestHandler

OF_ONE_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}
NO_BODY = (204, 304)  # statuses of answers without one


class CutError(Exception):
    """The connection ends here."""


class AllMethods(BaseHTTPRequestHandler):
    """Answers each method by ``respond``, and prints nothing."""

    def respond(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.respond()

    def do_HEAD(self) -> None:
        self.respond()

    def do_POST(self) -> None:
        self.respond()

    def do_PUT(self) -> None:
        self.respond()

    def do_PATCH(self) -> None:
        self.respond()

    def do_DELETE(self) -> None:
        self.respond()

    def log_message(self, *_: object) -> None: ...


class Forwarding(AllMethods):
    """Can pass requests on to the server behind."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def body(self, cut_after: int | None = None) -> bytes:
        """Read the body of a request, which an engine sends in chunks.

        Raises:
            CutError: So many bytes of it, or all there are, were read.
        """
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            wanted = int(self.headers.get("Content-Length", 0))
            if cut_after is not None:
                self.rfile.read(min(cut_after, wanted))
                raise CutError
            return self.rfile.read(wanted)
        content = bytearray()
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            content += self.rfile.read(size)
            self.rfile.readline()
            if cut_after is not None and len(content) >= cut_after:
                raise CutError
        self.rfile.readline()
        if cut_after is not None:
            raise CutError
        return bytes(content)

    def ask(self, behind: str, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server at ``host:port`` the same; return status, headers and content."""
        far = http.client.HTTPConnection(behind, timeout=60)
        try:
            headers = {
                name: ", ".join(self.headers.get_all(name, []))  # an engine sends many an Accept
                for name in self.headers
                if name.lower() not in OF_ONE_HOP
            }
            if body or self.command in {"POST", "PUT", "PATCH"}:
                headers["Content-Length"] = str(len(body))
            far.request(self.command, self.path, body=body or None, headers=headers)
            answer = far.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            far.close()
