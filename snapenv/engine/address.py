"""Find the Docker engine that the docker command would talk to, by what a user wrote.

Source: https://docs.docker.com/reference/cli/docker/#environment-variables,
https://docs.docker.com/engine/manage-resources/contexts/ and
https://docs.docker.com/engine/security/protect-access/
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from docker.context import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig
from msgspec import Struct

from snapenv.engine.failures import one_line
from snapenv.errors import EngineMissingError
from snapenv.places import home, is_file

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_URL = "unix:///var/run/docker.sock"

_PORT, _TLS_PORT = 2375, 2376
_PLAIN = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):\d+")  # host and port, as docker takes them
_OTHERS = {  # schemes that name no engine: why, and what mends it
    "fd": (
        "fd:// is what systemd starts the engine with, and no address of it",
        f"Name its socket: DOCKER_HOST={DEFAULT_URL}",
    ),
    "npipe": (
        "npipe:// is a pipe of Windows, and this is Linux",
        "In WSL, turn on its integration in Docker Desktop, then: unset DOCKER_HOST",
    ),
}


class Address(Struct, frozen=True, kw_only=True):
    """Where an engine listens, and with which certificates it is spoken to."""

    url: str
    tls: TLSConfig | None = None


def find_address() -> Address:
    """Return DOCKER_HOST, else the host of the active docker context, else the usual socket.

    Raises:
        EngineMissingError: That is no address, its certificates are not there, or the active
            context does not exist or cannot be read.
    """
    named = os.environ.get("DOCKER_HOST", "").strip()
    if named:
        tls = bool(os.environ.get("DOCKER_TLS_VERIFY"))
        url = parse_url(named, tls=tls)
        return Address(url=url, tls=tls_config(os.environ) if url.startswith("tcp:") else None)
    name = os.environ.get("DOCKER_CONTEXT")
    try:
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    except (DockerException, OSError, ValueError) as error:
        raise EngineMissingError(
            f"the docker configuration cannot be read: {one_line(str(error))}",
            hint="See docker context ls, or set DOCKER_HOST.",
        ) from error
    if context is None:
        raise EngineMissingError(
            f"there is no docker context {name or 'of the name that is active'}",
            hint="See docker context ls, or set DOCKER_HOST.",
        )
    return Address(url=context.Host or DEFAULT_URL, tls=context.TLSConfig)


def parse_url(text: str, *, tls: bool) -> str:
    """Complete an address as docker does: the scheme tcp, the usual socket, the usual port.

    Raises:
        EngineMissingError: It is no address of an engine.
    """
    scheme, separator, rest = text.partition("://")
    if not separator:
        return parse_url(_with_scheme(text), tls=tls)
    scheme = scheme.lower()
    if scheme == "unix":
        return f"unix:///{rest.lstrip('/')}" if rest.strip("/") else DEFAULT_URL
    if scheme in _OTHERS:
        why, hint = _OTHERS[scheme]
        raise EngineMissingError(f"DOCKER_HOST names no Docker engine: {why}", hint=hint)
    if scheme == "ssh":
        return _checked(text, scheme, 22)[0]
    if scheme not in {"tcp", "http", "https"}:
        raise EngineMissingError(
            f"DOCKER_HOST names no Docker engine: {scheme}:// is no way to one",
            hint="Write unix:///PATH, tcp://HOST:PORT or ssh://USER@HOST.",
        )
    url, has_port = _checked(text, scheme, _TLS_PORT if tls else _PORT)
    return url if has_port else f"{url}:{_TLS_PORT if tls else _PORT}"


def tls_config(environment: Mapping[str, str]) -> TLSConfig | None:
    """Return the certificates that the variables name for an engine that is reached by tcp.

    Raises:
        EngineMissingError: They are not there.
    """
    verify = bool(environment.get("DOCKER_TLS_VERIFY"))
    named = environment.get("DOCKER_CERT_PATH")
    if not (verify or named):
        return None
    folder = Path(named or environment.get("DOCKER_CONFIG") or home(environment) / ".docker")
    wanted = ("ca.pem", "cert.pem", "key.pem") if verify else ("cert.pem", "key.pem")
    missing = [name for name in wanted if not is_file(folder / name)]
    if missing:
        variable = "DOCKER_TLS_VERIFY" if verify else "DOCKER_CERT_PATH"
        raise EngineMissingError(
            f"{variable} is set, and {folder} has no {', '.join(missing)}",
            hint="Name the folder of the engine's certificates in DOCKER_CERT_PATH, or unset "
            f"{variable} where the engine speaks no TLS.",
        )
    certificate, key = str(folder / "cert.pem"), str(folder / "key.pem")
    return TLSConfig(client_cert=(certificate, key), ca_cert=str(folder / "ca.pem"), verify=verify)


def _with_scheme(text: str) -> str:
    if text.startswith("unix:"):
        return f"unix://{text.removeprefix('unix:')}"
    if _PLAIN.fullmatch(text):
        return f"tcp://{text}"
    meant = "unix:///PATH" if text.startswith("/") else "unix:///PATH or tcp://HOST:PORT"
    raise EngineMissingError(
        "DOCKER_HOST names no Docker engine: it has no scheme", hint=f"Write DOCKER_HOST={meant}"
    )


def _checked(text: str, scheme: str, port: int) -> tuple[str, bool]:
    """Refuse what is no host and port; return the address, and whether a port is in it."""
    try:
        parts = urlsplit(text)
        host, named = parts.hostname, parts.port
    except ValueError:
        raise EngineMissingError(
            "DOCKER_HOST names no Docker engine: it is not an address",
            hint=f"Write {scheme}://HOST:{port}",
        ) from None  # its text would hold the password of https://USER:PASSWORD
    if parts.password is not None:
        raise EngineMissingError(
            "DOCKER_HOST holds a password, which no engine takes",
            hint=f"Write {scheme}://HOST:{port}; certificates or ssh keys let you in.",
        )
    if not host and scheme == "ssh":
        raise EngineMissingError(
            "DOCKER_HOST names no Docker engine: it has no host", hint="Write ssh://USER@HOST."
        )
    url = text if host else f"{scheme}://127.0.0.1:{named or port}"
    return url.rstrip("/"), named is not None or not host
