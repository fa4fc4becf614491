"""The logins of a netrc file, which pip, uv and curl read.

Source: https://docs.python.org/3/library/netrc.html
"""

from __future__ import annotations

import netrc
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snapenv.index.address import Login

_PASSWORD = re.compile(r"\bpassword\s+\"?([^\s\"]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Netrc:
    """Logins by host. ``default`` is what any other host may be told that asks for one."""

    logins: Mapping[str, Login] = field(default_factory=dict)
    default: Login | None = None
    words: tuple[str, ...] = field(default=(), repr=False)  # that follow "password" in the text


def read_netrc(environment: Mapping[str, str]) -> Netrc:
    """Read the netrc file of this machine; without one, or with a broken one, no host is known."""
    home = Path(environment.get("HOME") or Path.home())
    told = environment.get("NETRC")
    paths = (Path(told).expanduser(),) if told else (home / ".netrc", home / "_netrc")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return Netrc()
    words = _words(path)
    try:
        hosts = netrc.netrc(str(path)).hosts
    except (netrc.NetrcParseError, OSError, ValueError):
        return Netrc(words=words)
    logins = {
        host: Login(user=login or "", password=password)
        for host, (login, _, password) in hosts.items()
    }
    default = logins.pop("default", None)
    return Netrc(logins=logins, default=default, words=words)


def _words(path: Path) -> tuple[str, ...]:
    try:
        return tuple(_PASSWORD.findall(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return ()
