"""The proxies that the steps of a build get: as ``docker build`` gives them, else the shell's.

Every Dockerfile has them as predefined build arguments, which are part of no image, of no history
and of no cache key.

Sources: https://docs.docker.com/engine/cli/proxy/ and
https://docs.docker.com/build/building/variables/#pre-defined-build-arguments
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_NO_PROXY = "NO_PROXY"
_KEYS = {  # of docker's configuration, by the variable that each becomes
    "ALL_PROXY": "allProxy",
    "FTP_PROXY": "ftpProxy",
    "HTTP_PROXY": "httpProxy",
    "HTTPS_PROXY": "httpsProxy",
    _NO_PROXY: "noProxy",
}


def choose_proxies(
    configured: object, environ: Mapping[str, str], *, address: str
) -> Mapping[str, str]:
    """Return the variables of a step, each in capitals and in small letters.

    ``configured`` is ``proxies`` of docker's configuration, by the addresses of engines. Where it
    has nothing for this engine or for all, those of the shell count; but not those that listen on
    this machine's loopback, which no step reaches, nor those of another machine than the engine's.
    """
    proxies = _of_configuration(configured, address)
    if not proxies and address.startswith("unix://"):
        proxies = _of_shell(environ)
    return {
        spelled: value
        for name, value in sorted(proxies.items())
        for spelled in (name, name.lower())
    }


def _of_configuration(configured: object, address: str) -> Mapping[str, str]:
    by_engine = configured if isinstance(configured, dict) else {}
    of_engine = by_engine.get(address, by_engine.get("default"))
    values = of_engine if isinstance(of_engine, dict) else {}
    return {
        name: values[key]
        for name, key in _KEYS.items()
        if isinstance(values.get(key), str) and values[key]
    }


def _of_shell(environ: Mapping[str, str]) -> Mapping[str, str]:
    values = {name: environ.get(name.lower()) or environ.get(name) or "" for name in _KEYS}
    proxies = {
        name: value
        for name, value in values.items()
        if name != _NO_PROXY and value and not _is_loopback(value)
    }
    exempt = {_NO_PROXY: values[_NO_PROXY]} if values[_NO_PROXY] else {}
    return {**proxies, **exempt} if proxies else {}


def _is_loopback(proxy: str) -> bool:
    try:
        host = urlsplit(proxy if "://" in proxy else f"//{proxy}").hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, or no URL: whoever reads it will tell
        return False
