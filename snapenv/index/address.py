"""The addresses of indexes, and the logins that are written into them."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit

from msgspec import Struct

from snapenv.network.address import realm


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Who asks; never shown. A user without a password may be a token, or known to a keyring."""

    user: str = field(repr=False)
    password: str | None = field(default=None, repr=False)
    bearer: bool = False  # the password is a token that is sent without a user


class Index(Struct, frozen=True, kw_only=True):
    """One index, or one host, that a program of this machine is told of."""

    address: str  # without user info
    source: str  # where it was read, for people: "pip.conf"
    login: Login | None = None
    token: str | None = None  # of a conda channel, sent in the path
    name: str | None = None  # in uv's configuration
    always: bool = False  # uv is told never to ask without a login


def is_http(url: str) -> bool:
    """Return whether an address can be reached by other machines, and is no folder of this one."""
    scheme, host, _ = realm(url)
    return scheme in ("https", "http") and bool(host)


def split_login(url: str) -> tuple[str, Login | None]:
    """Part an address from the login that is written into it, which is given decoded."""
    parts = urlsplit(url)
    user_info, _, host = parts.netloc.rpartition("@")
    user, colon, password = user_info.partition(":")
    address = urlunsplit(parts._replace(netloc=host))
    if not user and not password:
        return address, None
    return address, Login(user=unquote(user), password=unquote(password) if colon else None)


def shared_path(first: str, second: str) -> int:
    """Count the folders that two addresses have in common at the start of their paths."""
    count = 0
    for left, right in zip(_folders(first), _folders(second), strict=False):
        if left != right:
            break
        count += 1
    return count


def _folders(url: str) -> list[str]:
    return urlsplit(url).path.strip("/").split("/")
