"""Find the Docker engine that the docker command would talk to, and connect to it.

Source: https://docs.docker.com/engine/manage-resources/contexts/
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from docker import APIClient
from docker.context import ContextAPI
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env

from snapenv.engine.failures import one_line
from snapenv.errors import EngineMissingError

TIMEOUT_S = 3600  # of silence: a push of one large layer says nothing for minutes
_DEFAULT = "unix:///var/run/docker.sock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where an engine listens, and with which certificates it is spoken to."""

    url: str
    tls: TLSConfig | None = None


def find_address() -> Address:
    """Give DOCKER_HOST, else the host of the active docker context, else the usual socket.

    Raises:
        EngineMissingError: The active context does not exist or cannot be read.
    """
    try:
        named = kwargs_from_env()
        if "base_url" in named:
            return Address(url=named["base_url"], tls=named.get("tls"))
        name = os.environ.get("DOCKER_CONTEXT")
        context = ContextAPI.get_context(name) if name else ContextAPI.get_current_context()
    except DockerException as error:
        raise EngineMissingError(
            f"the docker configuration cannot be read: {one_line(str(error))}",
            hint="See docker context ls, or set DOCKER_HOST.",
        ) from error
    if context is None:
        raise EngineMissingError(
            f"there is no docker context {name or 'of the name that is active'}",
            hint="See docker context ls, or set DOCKER_HOST.",
        )
    return Address(url=context.Host or _DEFAULT, tls=context.TLSConfig)


def connect(address: Address) -> APIClient:
    """Connect to an engine and agree on the version of its API.

    Raises:
        EngineMissingError: Nothing answers there, or we may not talk to it.
    """
    try:
        return APIClient(
            base_url=address.url,
            tls=address.tls or False,
            version="auto",
            timeout=TIMEOUT_S,
            use_ssh_client=address.url.startswith("ssh://"),
        )
    except (DockerException, OSError) as error:
        raise _missing(address, str(error)) from error


def _missing(address: Address, text: str) -> EngineMissingError:
    if "Permission denied" in text or "PermissionError" in text:
        return EngineMissingError(
            f"you may not talk to the Docker engine at {address.url}",
            hint="Join the group docker and log in again, or use --engine venv, which needs none.",
        )
    return EngineMissingError(
        f"no Docker engine answers at {address.url}",
        hint="Start Docker, or set DOCKER_HOST; --engine venv needs none.",
    )
