"""An engine on another machine, through the user's own ssh and the docker command there.

docker-py's own way needs paramiko, which knows neither the user's configuration nor their agent as
ssh does. Source: https://docs.docker.com/reference/cli/docker/system/dial-stdio/
"""

from __future__ import annotations

import shlex
import socket
import subprocess  # noqa: TID251 - it is a connection of an engine's client, in no target
import tempfile
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit

from msgspec import Struct
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from requests import PreparedRequest
    from urllib3.response import BaseHTTPResponse

MOUNTED = "http+docker://"
BASE_URL = "http+docker://by-ssh"  # what takes the place of an address in docker-py's requests

_OPTIONS = ("-T", "-a", "-x", "-oBatchMode=yes", "-oConnectTimeout=10")
_FAREWELL_S = 1.0  # until an ssh that has closed its output has ended
_LAST_BYTES = 2000  # of what ssh says


class SshError(OSError):
    """ssh, or the remote docker command, ended before the engine answered; in their words."""


def ssh_words(url: str) -> tuple[str, ...]:
    """Return the command that connects its stdin and stdout with the engine of ``ssh://…``."""
    parts = urlsplit(url)
    login = ("-l", parts.username) if parts.username else ()
    port = ("-p", str(parts.port)) if parts.port else ()
    path = parts.path.rstrip("/")
    engine = f"--host {shlex.quote(f'unix://{path}')} " if path else ""
    return (
        *("ssh", *_OPTIONS, *login, *port, "--", str(parts.hostname)),
        f"docker {engine}system dial-stdio",
    )


class SshAdapter(HTTPAdapter):
    """Sends requests through as many connections by ssh as are used at once."""

    def __init__(self, url: str) -> None:
        self._pool = _Pool(ssh_words(url))
        super().__init__()

    def get_connection_with_tls_context(
        self,
        request: PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001 - as requests has it
        proxies: Mapping[str, str] | None = None,
        cert: tuple[str, str] | str | None = None,
    ) -> HTTPConnectionPool:
        """Return the one pool that there is."""
        del request, verify, proxies, cert
        return self._pool

    def request_url(self, request: PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """Return the path alone: no proxy takes part."""
        del proxies
        return request.path_url

    def close(self) -> None:
        """End every connection."""
        super().close()
        self._pool.close()


class _Pool(HTTPConnectionPool):
    """Connections, and the programs behind them: a connection that is let go may be read still."""

    def __init__(self, argv: tuple[str, ...]) -> None:
        super().__init__("localhost", maxsize=10)
        self._argv = argv
        self._programs: list[_Program] = []

    def _new_conn(self) -> _Connection:
        return _Connection(self._start)

    def _start(self) -> tuple[_Program, socket.socket]:
        program, ours = start_ssh(self._argv)
        self._programs.append(program)
        return program, ours

    def close(self) -> None:
        """End every connection, and every ssh."""
        super().close()
        for program in self._programs:
            program.end()
        self._programs.clear()


class _Program(Struct, frozen=True):
    process: subprocess.Popen[bytes]
    stderr: IO[bytes]  # what it writes on stderr

    def last_words(self) -> str | None:
        """Return what it said at its end; None while it goes on."""
        try:
            self.process.wait(_FAREWELL_S)
        except subprocess.TimeoutExpired:
            return None
        self.stderr.seek(0)
        return self.stderr.read()[-_LAST_BYTES:].decode(errors="replace").strip()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.stderr.close()


def start_ssh(argv: tuple[str, ...]) -> tuple[_Program, socket.socket]:
    """Start a program whose stdin and stdout are one end of a pair of sockets; return the other.

    When all of our end is closed, it hears the end of its input, and ends.

    Raises:
        SshError: It is not there or cannot be executed.
    """
    ours, theirs = socket.socketpair()
    stderr = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the connection
    try:
        with theirs:
            process = subprocess.Popen(
                argv,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=stderr,
                start_new_session=True,
            )
    except OSError as error:
        ours.close()
        stderr.close()
        raise SshError(f"cannot run ssh: {error.strerror}") from error
    return _Program(process, stderr), ours


class _Connection(HTTPConnection):
    """Speaks HTTP with what a program connects it to."""

    def __init__(self, start: Callable[[], tuple[_Program, socket.socket]]) -> None:
        super().__init__("localhost")
        self._start = start
        self._program: _Program | None = None

    def connect(self) -> None:
        """Start the program.

        Raises:
            SshError: It is not there or cannot be executed.
        """
        self._program, self.sock = self._start()
        self.sock.settimeout(self.timeout if isinstance(self.timeout, (int, float)) else None)

    def getresponse(self) -> BaseHTTPResponse:  # type: ignore[override]
        """Return the answer.

        Raises:
            SshError: The program has ended in its place.
        """
        try:
            return super().getresponse()
        except OSError as error:
            words = self._program.last_words() if self._program else None
            if words is None:
                raise
            raise SshError(words) from error
