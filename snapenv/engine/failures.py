"""Turn what docker-py, the engine and registries say into our errors."""

from __future__ import annotations

import contextlib
import http.client
import re
from typing import TYPE_CHECKING

import requests
import urllib3.exceptions
from docker.errors import APIError, DockerException, create_api_error_from_http_exception

from snapenv.engine.full_disk import full_disk
from snapenv.engine.start_causes import find_cause
from snapenv.errors import (
    EngineError,
    InterpreterError,
    NotFoundError,
    RegistryError,
    SnapenvError,
    WriteError,
)
from snapenv.network.cause import find_in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from snapenv.model.image import ImageRef
    from snapenv.network.cause import Kind

DEFAULT_REGISTRY = "docker.io"

_DENIED = (
    "denied",
    "unauthorized",
    "authentication required",
    "no basic auth",
    "forbidden",
    "http 401",
    "http 403",
)
_ABSENT = ("manifest unknown", "name unknown", "name invalid", "not found", "no such image")
_DAMAGED = ("verification failed", "does not match digest", "digest mismatch", "invalid checksum")
_BUSY = re.compile(r"toomanyrequests|too many requests|\b429\b")
_PASSING = re.compile(
    r"toomanyrequests|too many requests|\b429\b|status: 5\d\d|\bhttp 5\d\d|internal server error"
    r"|bad gateway|service unavailable|gateway timeout|\beof\b|connection reset|broken pipe"
    r"|timeout|timed out|deadline exceeded|verification failed"
)
_SILENT = (
    "connection refused",
    "connection reset",
    "no such host",
    "no route to host",
    "network is unreachable",
    "server misbehaving",
    "temporary failure in name resolution",
    "timeout",
    "timed out",
    "deadline exceeded",
    "eof",
    "broken pipe",
    "no message arrived",
    "http 5",
    "received unexpected http status: 5",
    "bad gateway",
    "service unavailable",
    "internal server error",
)
_INVALID = re.compile(  # what Go's parsers, its HTTP client and a registry's own say
    r"json|invalid character|error parsing http|malformed|location header"
    r"|unsupported protocol scheme|stopped after \d+ redirects|blob unknown|content-length"
    r'|\b(?:get|head|post|put|patch) "|unexpected http status'
)
_ENGINES_MACHINE = "the engine's machine"
_PROXY = (
    "See the engine's own proxy: docker info --format '{{.HTTPSProxy}} {{.NoProxy}}'; it stands in "
    "daemon.json or in the environment of its service, with NO_PROXY=HOST to go past it."
)
_MENDS: Mapping[Kind, str] = {
    "plain-http": 'Allow the engine to use HTTP for it: {"insecure-registries": ["HOST"]} in its '
    "daemon.json, and restart Docker.",
    "unknown-authority": "Put its authority into /etc/docker/certs.d/HOST/ca.crt on the engine's "
    "machine.",
    "client-certificate": "Put client.cert and client.key into /etc/docker/certs.d/HOST on the "
    "engine's machine.",
    "proxy": _PROXY,
    "proxy-login": _PROXY,
}
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")  # in an address
_NO_PROGRAM = (
    "executable file not found",
    "no such file or directory",
    "permission denied",
    "exec format error",
    "is a directory",
)
_LENGTH = 300  # of a message


@contextlib.contextmanager
def engine_errors() -> Iterator[None]:
    """Make what the engine refuses, and its going away, an error of ours.

    Raises:
        EngineError: The engine refused, failed or went away.
        WriteError: The engine's disk is full, of bytes or of inodes.
    """
    try:
        yield
    except APIError as error:
        raise engine_failure(engine_message(error)) from error
    except (DockerException, OSError, urllib3.exceptions.HTTPError, http.client.HTTPException) as e:
        if is_timeout(e):
            raise EngineError(
                "the Docker engine does not answer any more: no answer arrived for too long",
                hint="Restart Docker if docker info hangs as well: sudo systemctl restart docker",
            ) from e
        raise EngineError(
            f"the Docker engine went away: {one_line(str(e))}",
            hint="Check that it runs: docker version.",
        ) from e


def refuse_failed(response: requests.Response) -> None:
    """Accept an answer that is no failure.

    Raises:
        docker.errors.APIError: It is one.
    """
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)


def engine_message(error: APIError) -> str:
    """Return the engine's own words."""
    return str(error.explanation or error)


def one_line(text: str, *, length: int = _LENGTH) -> str:
    """Put a text on one line, shortened at its end, with no login in an address."""
    line = _LOGIN.sub("****@", " ".join(text.split()))
    return line if len(line) <= length else f"{line[: length - 1]}…"


def engine_failure(text: str) -> EngineError | WriteError:
    """Name what the engine says of itself."""
    if is_full(text):
        return full_disk(text)
    return EngineError(f"the Docker engine failed: {one_line(text)}", hint="See the engine's log.")


def is_full(text: str) -> bool:
    """Return whether a text complains of a full disk."""
    return "no space left on device" in text.lower() or "enospc" in text.lower()


def registry_failure(text: str, ref: ImageRef) -> SnapenvError:
    """Name what came of asking a registry for, or sending it, an image."""
    host, low = ref.registry or DEFAULT_REGISTRY, text.lower()
    if is_full(text):
        return full_disk(text)
    if "does not exist locally" in low or "tag does not exist" in low:
        return NotFoundError(f"there is no local image {ref.tagged}", hint="Build it first.")
    cause = find_in_words(text, host=host, machine=_ENGINES_MACHINE)
    if cause:
        hint = cause.hint or _MENDS[cause.kind].replace("HOST", host)
        return RegistryError(f"{host} {cause.what}: {one_line(text)}", hint=hint)
    if any(word in low for word in _DENIED):
        return RegistryError(
            f"{host} refuses {ref}: {one_line(text)}",
            hint=f"Log in, or see that the name is right: docker login {host}",
        )
    if _BUSY.search(low):
        return RegistryError(
            f"{host} has too many requests: {one_line(text)}",
            hint=f"Try again in a while, or log in: docker login {host}",
        )
    if any(word in low for word in _DAMAGED):
        return RegistryError(
            f"{host} serves other bytes than it should for {ref}: {one_line(text)}",
            hint="Push the image again; if it stays so, the registry is damaged.",
        )
    if any(word in low for word in _SILENT):
        return RegistryError(
            f"{host} does not answer: {one_line(text)}",
            hint=f"Check that {host} can be reached from the machine the engine runs on.",
        )
    if any(word in low for word in _ABSENT):
        return NotFoundError(f"{host} has no {ref}", hint="Check that the name and tag are right.")
    if _INVALID.search(low):
        return RegistryError(
            f"{host} sends an invalid answer: {one_line(text)}",
            hint=f"Check that {host} is a registry: a proxy or a login page may answer instead.",
        )
    return engine_failure(text)


def is_passing(text: str) -> bool:
    """Return whether what an engine says of a registry may be over at the next try."""
    return _PASSING.search(text.lower()) is not None and not is_full(text)


def is_timeout(error: BaseException) -> bool:
    """Return whether no message arrived for too long; requests hides it while a body comes."""
    timeouts = (requests.Timeout, urllib3.exceptions.TimeoutError)
    return any(isinstance(cause, timeouts) for cause in (error, *error.args))


def start_failure(text: str, program: str, where: str) -> SnapenvError:
    """Name why a container or a program in it did not start."""
    cause = find_cause(text)
    if cause:
        words = f": {one_line(cause.words)}" if cause.words else ""
        return EngineError(f"{cause.message}{words}", hint=cause.hint)
    if any(word in text.lower() for word in _NO_PROGRAM):
        return no_program(text, program, where)
    return engine_failure(text)


def no_program(text: str, program: str, where: str) -> InterpreterError:
    """Name a program that is not there or cannot be executed."""
    if "exec format error" in text.lower():
        return InterpreterError(
            f"{program} in {where} is for another kind of processor: {one_line(text)}",
            hint="Take an image for this machine's architecture: docker version, docker inspect.",
        )
    return InterpreterError(
        f"cannot run {program} in {where}: {one_line(text)}",
        hint="Give the path of a Python that is in there with --python.",
    )
