"""Where a repository is asked for, and what is trusted there, as docker does it.

Source: https://docs.docker.com/reference/cli/dockerd/#insecure-registries
"""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef

DEFAULT_HOST = "docker.io"

_DEFAULT_ADDRESS = "registry-1.docker.io"
_DEFAULT_PREFIX = "library/"  # of the names there that have no other
_CERTIFICATES = Path("/etc/docker/certs.d")


class Repository(Struct, frozen=True, kw_only=True):
    """A repository in its registry."""

    host: str  # as people name it, with its port
    address: str  # the host and port that answer for it
    path: str  # "team/env"
    insecure: bool = False  # the engine's own configuration takes http from it

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine itself."""
        host = self.address.rpartition(":")[0] or self.address
        if host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def may_speak_http(self) -> bool:
        """Whether docker takes http from it, and any certificate."""
        return self.insecure or self.is_loopback


def find_repository(ref: ImageRef) -> Repository:
    """Return where a reference's repository is served."""
    host = ref.registry or DEFAULT_HOST
    if host not in {DEFAULT_HOST, f"index.{DEFAULT_HOST}"}:
        return Repository(host=host, address=host, path=ref.path)
    prefix = "" if "/" in ref.path else _DEFAULT_PREFIX
    return Repository(host=DEFAULT_HOST, address=_DEFAULT_ADDRESS, path=prefix + ref.path)


def find_authority(host: str, folder: Path = _CERTIFICATES) -> str | None:
    """Return the file of a registry's own certificate authority, where docker looks for it."""
    return next((str(path) for path in sorted(folder.joinpath(host).glob("*.crt"))), None)


def find_client_certificate(host: str, folder: Path = _CERTIFICATES) -> tuple[str, str] | None:
    """Return the files of the certificate and the key that a registry wants, where docker looks.

    Source: https://docs.docker.com/engine/security/certificates/
    """
    for certificate in sorted(folder.joinpath(host).glob("*.cert")):
        key = certificate.with_suffix(".key")
        if key.is_file():
            return str(certificate), str(key)
    return None
