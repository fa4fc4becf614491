"""Whether an image's ENTRYPOINT starts the command that a container is given.

Source: https://docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact
"""

from __future__ import annotations

import contextlib
import uuid
from hashlib import sha256
from typing import TYPE_CHECKING

import requests
from docker.errors import APIError, DockerException

from snapenv.engine.failures import engine_errors
from snapenv.engine.leftovers import own_label

if TYPE_CHECKING:
    from collections.abc import Sequence

    from docker import APIClient

    from snapenv.kept import Kept
    from snapenv.model.image import Image

RESET = ("",)
"""What an engine is given as an entrypoint so that it takes none."""

_NVIDIA = ("/opt/nvidia/nvidia_entrypoint.sh", "/usr/local/bin/nvidia_entrypoint.sh")
_COMMAND = ("/bin/sh", "-c", "echo snapenv-$((6 * 7))")
_ANSWER = b"snapenv-42"  # which an entrypoint that prints its arguments does not give
_LIMIT_S = 30  # a server that was started instead of the command does not end


def starts_commands(client: APIClient, image: Image, kept: Kept) -> bool:
    """Return whether an image starts what it is given; NVIDIA's own entrypoints are known to.

    One that has done so is kept by its id, and not tried again.
    """
    if not image.entrypoint or image.entrypoint[0] in _NVIDIA:
        return True
    name = sha256(f"starts commands {image.id}".encode()).hexdigest()
    if kept.find_value(name, bool):
        return True
    if _starts(client, image.id):
        kept.keep_value(name, value=True)
        return True
    return not _starts(client, image.id, entrypoint=RESET)


def _starts(client: APIClient, image: str, *, entrypoint: Sequence[str] | None = None) -> bool:
    """Start a command in a container without network; False where nothing comes of it in time."""
    name = f"snapenv-run-{uuid.uuid4().hex[:12]}"
    try:
        with engine_errors():
            client.create_container(
                image,
                command=list(_COMMAND),
                entrypoint=list(entrypoint) if entrypoint else None,
                name=name,
                labels=own_label(),
                use_config_proxy=False,
                host_config=client.create_host_config(
                    network_mode="none", cap_drop=["ALL"], security_opt=["no-new-privileges"]
                ),
            )
            return _ANSWER in _output(client, name)
    finally:
        with contextlib.suppress(DockerException, OSError):
            client.remove_container(name, v=True, force=True)


def _output(client: APIClient, name: str) -> bytes:
    """Return what a container prints until it ends, or is at its limit."""
    with contextlib.suppress(APIError, requests.Timeout, requests.ConnectionError):
        client.start(name)
        client.wait(name, timeout=_LIMIT_S)
    return bytes(client.logs(name))
