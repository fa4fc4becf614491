"""Where a repository is asked for, what is trusted there, and with which login, as docker does it.

Sources: https://docs.docker.com/reference/cli/dockerd/#insecure-registries and
https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from snapenv import docker_login
from snapenv.places import is_file

if TYPE_CHECKING:
    from snapenv.model.image import ImageRef

DEFAULT_HOST = "docker.io"

_DEFAULT_ADDRESS = "registry-1.docker.io"
_DEFAULT_PREFIX = "library/"  # of the names there that have no other
_CERTIFICATES = Path("/etc/docker/certs.d")
_SCHEME = re.compile(r"(?:^|,)\s*(bearer|basic)\s+(?=[a-z_]+=)", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z_]+)=(?:"([^"]*)"|([^\s",]+))', re.IGNORECASE)
_MAX_LENGTH = 4096  # characters


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
        if is_file(key):
            return str(certificate), str(key)
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """What a registry is told; it is never shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str | None = field(default=None, repr=False)  # a token in place of a password


class Bearer(Struct, frozen=True, kw_only=True):
    """A token is wanted, and is given out at ``realm``."""

    realm: str  # an address
    service: str | None = None
    scope: str | None = None  # None: the one who asks names it


class Basic(Struct, frozen=True):
    """A user name and a password are wanted."""


def parse_challenge(header: str) -> Bearer | Basic | None:
    """Read WWW-Authenticate; a token goes before a password. None for any other challenge."""
    parts = _SCHEME.split(header[:_MAX_LENGTH])
    challenges = {
        scheme.lower(): {name.lower(): quoted or plain for name, quoted, plain in parameters}
        for scheme, text in zip(parts[1::2], parts[2::2], strict=True)
        if (parameters := _PARAMETER.findall(text))
    }
    if "realm" in challenges.get("bearer", {}):
        bearer = challenges["bearer"]
        return Bearer(
            realm=bearer["realm"], service=bearer.get("service"), scope=bearer.get("scope")
        )
    is_basic = "basic" in challenges or header.strip().lower() == "basic"
    return Basic() if is_basic else None


def find_login(host: str) -> Login | None:
    """Return the login that docker has for a registry, None where it has none.

    Raises:
        LoginError: There may be one, and it cannot be read.
    """
    known = {key.lower(): value for key, value in (docker_login.find_login(host) or {}).items()}
    if known.get("identitytoken"):
        return Login(identity=str(known["identitytoken"]))
    user, password = known.get("username"), known.get("password")
    return Login(user=str(user), password=str(password)) if user and password else None
