"""How a registry asks for a login.

Source: https://distribution.github.io/distribution/spec/auth/token/
"""

from __future__ import annotations

import re

from msgspec import Struct

_SCHEME = re.compile(r"(?:^|,)\s*(bearer|basic)\s+(?=[a-z_]+=)", re.IGNORECASE)
_PARAMETER = re.compile(r'([a-z_]+)=(?:"([^"]*)"|([^\s",]+))', re.IGNORECASE)
_MOST = 4096  # characters


class Bearer(Struct, frozen=True, kw_only=True):
    """A token is wanted, and is given out at ``realm``."""

    realm: str  # an address
    service: str | None = None
    scope: str | None = None  # None: the one who asks names it


class Basic(Struct, frozen=True):
    """A user name and a password are wanted."""


def parse_challenge(header: str) -> Bearer | Basic | None:
    """Read WWW-Authenticate; a token goes before a password. None for any other wish."""
    parts = _SCHEME.split(header[:_MOST])
    wishes = {
        scheme.lower(): {name.lower(): quoted or plain for name, quoted, plain in found}
        for scheme, text in zip(parts[1::2], parts[2::2], strict=True)
        if (found := _PARAMETER.findall(text))
    }
    if "realm" in wishes.get("bearer", {}):
        asked = wishes["bearer"]
        return Bearer(realm=asked["realm"], service=asked.get("service"), scope=asked.get("scope"))
    is_basic = "basic" in wishes or header.strip().lower() == "basic"
    return Basic() if is_basic else None
