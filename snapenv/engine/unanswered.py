"""Why no engine answers, by what lies behind the error that says so."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from docker.errors import APIError, InvalidVersion

from snapenv.engine.failures import engine_message, is_timeout, one_line
from snapenv.engine.ssh import SshError
from snapenv.errors import EngineMissingError
from snapenv.network.cause import causes, find_cause
from snapenv.network.session import find_proxy as find_http_proxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.engine.address import Address
    from snapenv.network.cause import Kind

_START = "Start Docker, or set DOCKER_HOST; --engine venv needs none."
_HANGS = (
    "Where docker ps hangs as well, restart Docker: sudo systemctl restart docker; or use "
    "--engine venv, which needs none."
)
_RESTART = "Restart Docker: sudo systemctl restart docker; or use --engine venv, which needs none."
_WANTS_TLS = "HTTP request to an HTTPS server"
_MENDS: Mapping[Kind, str] = {
    "plain-http": "Unset DOCKER_TLS_VERIFY and DOCKER_CERT_PATH, or name the port that speaks TLS, "
    "as a rule 2376.",
    "unknown-authority": "Put the authority that signed it into ca.pem, in DOCKER_CERT_PATH.",
    "client-certificate": "Put the cert.pem and key.pem that it knows into DOCKER_CERT_PATH.",
    "refused": "Start Docker there, listening at this address, or set DOCKER_HOST.",
}
_NO_SOCKET = ("this is not a socket", "Name the engine's socket in DOCKER_HOST: docker context ls")

_Why = tuple[str, str]  # what follows a colon, and what mends it


def explain(address: Address, error: BaseException, *, waited_s: float) -> EngineMissingError:
    """Say why no engine answers, by what lies behind an error."""
    chain = tuple(causes(error))
    if any(isinstance(cause, PermissionError) for cause in chain):
        return EngineMissingError(
            f"you have no permission to use the Docker engine at {address.url}",
            hint="Join the group docker and log in again, or use --engine venv, which needs none.",
        )
    why, hint = (
        _of_ssh(address.url, chain)
        or _of_answer(chain)
        or _of_silence(error, waited_s)
        or _of_socket(address.url, chain)
        or _of_network(address.url, error)
        or (one_line(str(error)), _START)
    )
    return EngineMissingError(f"no Docker engine answers at {address.url}: {why}", hint=hint)


def _of_ssh(url: str, chain: tuple[BaseException, ...]) -> _Why | None:
    words = next((str(cause) for cause in chain if isinstance(cause, SshError)), None)
    if words is None:
        return None
    return (
        one_line(words) or "ssh ended without a message",
        f"Check that this works: ssh -oBatchMode=yes ssh://{urlsplit(url).netloc} docker version",
    )


def _of_answer(chain: tuple[BaseException, ...]) -> _Why | None:
    """Say why an answer that came is none of an engine's."""
    if any(isinstance(cause, InvalidVersion) for cause in chain):
        return "it is too old", "Update Docker to 20.10 or newer."
    failed = next((cause for cause in chain if isinstance(cause, APIError)), None)
    if failed and _WANTS_TLS in engine_message(failed):
        return (
            "it requires TLS",
            "Set DOCKER_TLS_VERIFY=1, and name the folder of its certificates in DOCKER_CERT_PATH.",
        )
    if failed is not None and failed.status_code in {401, 403}:
        return (
            f"what answers refuses with {failed.status_code}",
            "Let whatever stands before the engine pass /version, or name the engine's own socket.",
        )
    if failed is not None or isinstance(
        chain[0], (LookupError, TypeError, ValueError, RecursionError)
    ):
        return (
            "what answers there is not a Docker engine",
            "Check that DOCKER_HOST has the right port.",
        )
    return None


def _of_silence(error: BaseException, waited_s: float) -> _Why | None:
    if not is_timeout(error) and not any(
        isinstance(cause, TimeoutError) for cause in causes(error)
    ):
        return None
    return f"no answer within {waited_s:g} s", _HANGS


def _of_socket(url: str, chain: tuple[BaseException, ...]) -> _Why | None:
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return None
    if any(isinstance(cause, (FileNotFoundError, NotADirectoryError)) for cause in chain):
        return "there is no such socket", _START
    if any(isinstance(cause, ConnectionRefusedError) for cause in chain):
        is_socket = stat.S_ISSOCK(Path(parts.path).stat().st_mode)
        return ("nothing listens at this socket", _RESTART) if is_socket else _NO_SOCKET
    return None


def _of_network(url: str, error: BaseException) -> _Why | None:
    parts = urlsplit(url)
    cause = find_cause(error, host=parts.hostname or "", proxy=find_proxy(url))
    if cause is None:
        return None
    what = cause.what.removeprefix("does not answer: ")
    return (
        what if what != cause.what else f"it {what}",
        _MENDS.get(cause.kind) or cause.hint or _START,
    )


def find_proxy(url: str) -> str | None:
    """Return the proxy through which requests asks an engine, which it does by tcp alone."""
    parts = urlsplit(url)
    if parts.scheme not in {"tcp", "http", "https"}:
        return None
    return find_http_proxy(f"http://{parts.netloc}")
