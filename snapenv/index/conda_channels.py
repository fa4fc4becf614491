"""The logins of conda's channels: in the addresses of ``.condarc``, and where rattler keeps them.

Sources: https://docs.conda.io/projects/conda/en/stable/user-guide/configuration/settings.html
and https://pixi.sh/latest/deployment/authentication/
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from snapenv.index.address import Index, Login, is_http, split_login
from snapenv.places import expanded, home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_URL = re.compile(r"https?://[^\s\"',\[\]{}#]+")
_TOKEN = re.compile(r"/t/([^/]+)(?=/|$)")


def condarc_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Name the files that conda and mamba read, there or not."""
    own = home(environment)
    user = Path(environment.get("XDG_CONFIG_HOME") or own / ".config")
    folders = map(environment.get, ("CONDA_ROOT", "CONDA_PREFIX", "MAMBA_ROOT_PREFIX"))
    named = map(environment.get, ("CONDARC", "MAMBARC"))
    return (
        *(Path("/etc/conda", name) for name in (".condarc", "condarc")),
        *(Path(folder, ".condarc") for folder in folders if folder),
        *(user / "conda" / name for name in (".condarc", "condarc")),
        *(own / ".conda" / name for name in (".condarc", "condarc")),
        *(own / name for name in (".condarc", ".mambarc")),
        *(expanded(path) for path in named if path),
    )


def rattler_file(environment: Mapping[str, str]) -> Path:
    """Name the file in which pixi and rattler keep logins, there or not."""
    named = environment.get("RATTLER_AUTH_FILE")
    return Path(named or home(environment) / ".rattler" / "credentials.json")


def condarc_channels(text: str, source: str) -> Iterator[Index]:
    """Yield the channels of a ``.condarc`` that have a login or a token in their addresses."""
    for url in filter(is_http, _URL.findall(text)):
        address, login = split_login(url)
        plain, token = split_token(address)
        if login or token:
            yield Index(address=plain, source=source, login=login, token=token)


def split_token(url: str) -> tuple[str, str | None]:
    """Part an address from conda's token, which stands in its path: ``/t/TOKEN/channel``."""
    parts = urlsplit(url)
    match = _TOKEN.match(parts.path)
    if not match:
        return url, None
    return urlunsplit(parts._replace(path=parts.path[match.end() :])), match[1]


def with_token(url: str, token: str) -> str:
    """Put conda's token into an address."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/t/{token}{parts.path}"))


def rattler_logins(text: str) -> Iterator[Index]:
    """Yield what rattler has kept, by host; ``*.example.com`` is for all hosts below it."""
    try:
        kept = json.loads(text)
    except (ValueError, RecursionError):
        return
    for host, login in kept.items() if isinstance(kept, dict) else ():
        known = _rattler_login(login if isinstance(login, dict) else {})
        token = login.get("CondaToken") if isinstance(login, dict) else None
        for scheme in ("https", "http") if known or isinstance(token, str) else ():
            address = f"{scheme}://{host}"
            if is_http(address):
                yield Index(address=address, source="rattler's logins", login=known, token=token)


def _rattler_login(kept: Mapping[str, Any]) -> Login | None:
    match kept:
        case {"BearerToken": str(token)}:
            return Login(user="", password=token, bearer=True)
        case {"BasicHTTP": {"username": str(user), "password": str(password)}}:
            return Login(user=user, password=password)
        case _:
            return None
