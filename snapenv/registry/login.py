"""How a registry asks for a login, and the login that docker has for it.

Source: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from msgspec import Struct

from snapenv import docker_login

_SCHEME = re.compile(r"(?:^|,)\s*(bearer|basic)\s+(?=[a-z_]+=)", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z_]+)=(?:"([^"]*)"|([^\s",]+))', re.IGNORECASE)
_MAX_LENGTH = 4096  # characters


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
