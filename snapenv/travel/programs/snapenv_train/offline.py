"""Refuse the network, so that a smoke-train which ends was offline from start to end.

Source of the events: https://docs.python.org/3/library/audit_events.html
"""

from __future__ import annotations

import errno
import sys

_REFUSED = frozenset(
    {
        "socket.getaddrinfo",
        "socket.gethostbyaddr",
        "socket.gethostbyname",
        "socket.sendmsg",
        "socket.sendto",
    }
)


def refuse_network() -> None:
    """Make every look-up and connection of this process fail; sockets of files still work."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[object, ...]) -> None:
    if event in _REFUSED or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        raise OSError(errno.ENETUNREACH, "the smoke-train has no network")
