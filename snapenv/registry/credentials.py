"""The login of a registry, as its API takes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from snapenv import docker_login

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """What a registry is told; it is never shown."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity: str | None = field(default=None, repr=False)  # a token in a password's place


def find_login(host: str) -> Login | None:
    """Return the login that docker has for a registry, None where it has none.

    Raises:
        LoginError: There may be one, and it cannot be had.
    """
    found = docker_login.find_login(host)
    return _login({str(key).lower(): value for key, value in (found or {}).items()})


def _login(found: Mapping[str, object]) -> Login | None:
    identity = found.get("identitytoken")
    if identity:
        return Login(identity=str(identity))
    user, password = found.get("username"), found.get("password")
    return Login(user=str(user), password=str(password)) if user and password else None
