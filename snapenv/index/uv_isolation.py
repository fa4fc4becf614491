"""What a person configured for uv and means for snapenv too; nothing else reaches a call of uv.

snapenv asks uv which wheels an index offers (``ask``) and lets it make an environment from a lock
(``install``). What it asks for it says itself. A setting that a person made for other work, such as
``link-mode``, ``resolution``, ``exclude-newer``, ``prerelease``, ``compile-bytecode``, constraints,
or a project's configuration, would change what is captured or restored. So each variable ``UV_*``
and each key of a ``uv.toml`` that is not in the tables below is kept from uv. Source:
https://docs.astral.sh/uv/reference/environment/ and https://docs.astral.sh/uv/reference/settings/
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from snapenv.index.address import is_http
from snapenv.index.uv_settings import is_toml, parse_toml
from snapenv.model.uv import Call, UvSettings
from snapenv.toml import write_toml

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from snapenv.index.configuration import Configuration

# Which indexes there are. A lock names its wheels by their addresses, so an installation asks none.
# uv takes wheels for another CUDA from an index of its own, that UV_TORCH_BACKEND chooses.
_INDEXES = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX"),
    *("UV_FIND_LINKS", "UV_TORCH_BACKEND"),
)
# How to get at them: credentials, certificates, proxies (whose variables are not uv's), patience.
_ACCESS = (
    *("UV_KEYRING_PROVIDER", "UV_CREDENTIALS_DIR", "UV_AUTH_TOKEN", "UV_API_KEY"),
    *("UV_NATIVE_TLS", "UV_SYSTEM_CERTS", "UV_INSECURE_HOST"),
    *("UV_HTTP_TIMEOUT", "UV_HTTP_CONNECT_TIMEOUT", "UV_REQUEST_TIMEOUT", "UV_HTTP_RETRIES"),
    *("UV_CONCURRENT_DOWNLOADS", "UV_CONCURRENT_INSTALLS", "UV_LOCK_TIMEOUT"),
)
_LOGIN = re.compile(r"UV_INDEX_.+_(USERNAME|PASSWORD)")
# Where things lie on this machine; and that the network is not to be used, which uv then says.
_MACHINE = ("UV_CACHE_DIR", "UV_OFFLINE")
# Which Pythons a new environment may have, and where they come from. Whoever asks needs none: uv
# runs on snapenv's own, and must not fetch another.
_PYTHONS = (
    *("UV_PYTHON_PREFERENCE", "UV_MANAGED_PYTHON", "UV_NO_MANAGED_PYTHON", "UV_PYTHON_DOWNLOADS"),
    *("UV_PYTHON_SEARCH_PATH", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR"),
    *("UV_PYTHON_DOWNLOADS_JSON_URL", "UV_PYTHON_CPYTHON_BUILD", "UV_PYTHON_CACHE_DIR"),
)
# That nothing stays in the cache: what is asked is needed again at once, so it is for a restore.
_DISK = ("UV_NO_CACHE",)

# The same as keys of a uv.toml.
_INDEX_KEYS = ("index", "index-url", "extra-index-url", "find-links", "no-index", "torch-backend")
_ACCESS_KEYS = (
    *("keyring-provider", "native-tls", "system-certs", "allow-insecure-host"),
    *("http-proxy", "https-proxy", "no-proxy", "concurrent-downloads", "concurrent-installs"),
)
_MACHINE_KEYS = ("cache-dir", "offline")
_PYTHON_KEYS = (
    *("python-preference", "python-downloads", "python-install-mirror"),
    "python-downloads-json-url",
)
_DISK_KEYS = ("no-cache",)
_OF_INDEX = (
    *("name", "url", "default", "explicit", "authenticate", "ignore-error-codes"),
    *("cache-control", "format"),
)

_VARIABLES: Mapping[Call, frozenset[str]] = {
    "ask": frozenset([*_INDEXES, *_ACCESS, *_MACHINE]),
    "install": frozenset([*_ACCESS, *_MACHINE, *_PYTHONS, *_DISK]),
}
_KEYS: Mapping[Call, frozenset[str]] = {
    "ask": frozenset([*_INDEX_KEYS, *_ACCESS_KEYS, *_MACHINE_KEYS]),
    "install": frozenset([*_ACCESS_KEYS, *_MACHINE_KEYS, *_PYTHON_KEYS, *_DISK_KEYS]),
}
# What is read from uv's output must not be in colours, nor among what it logs.
_REWRITTEN = ("UV_CACHE_DIR", "UV_FIND_LINKS")
_OF_OUTPUT = ("FORCE_COLOR", "CLICOLOR_FORCE", "RUST_LOG")
_ALWAYS = {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def is_meant(variable: str, call: Call) -> bool:
    """Return whether a variable may reach a call of uv."""
    if variable in _OF_OUTPUT:
        return False
    is_login = _LOGIN.fullmatch(variable) is not None
    return not variable.startswith("UV_") or is_login or variable in _VARIABLES[call]


def uv_settings(configuration: Configuration, of_pip: dict[str, str], *, call: Call) -> UvSettings:
    """Return what a call of uv gets of this machine; ``of_pip`` is what pip adds."""
    texts = configuration.texts
    meant = {
        name: value
        for name, value in (of_pip | _own(texts.environment)).items()
        if value and is_meant(name, call)
    }
    return UvSettings(
        unset=tuple(
            sorted(
                name
                for name in texts.environment
                if not is_meant(name, call) or (name in _REWRITTEN and name not in meant)
            )
        ),
        variables=meant | _ALWAYS | (_asking(configuration) if call == "ask" else {}),
        config=_config([file.text for file in texts.uv], call),
    )


def _own(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what uv is told of indexes and its cache, as it holds in whatever folder it runs."""
    own = {name: environment[name] for name in _INDEXES if name in environment}
    cache = environment.get("UV_CACHE_DIR")
    links = [
        each for each in re.split("[ ,]", environment.get("UV_FIND_LINKS", "")) if is_http(each)
    ]
    return {
        **own,
        **({"UV_CACHE_DIR": os.path.abspath(cache)} if cache else {}),  # noqa: PTH100
        **({"UV_FIND_LINKS": ",".join(links)} if "UV_FIND_LINKS" in own else {}),
    }


def _asking(configuration: Configuration) -> dict[str, str]:
    """Let no Python be fetched, and a pin be found on whichever index has that version."""
    many = configuration.uv_is_told or configuration.pip_extra
    strategy = {"UV_INDEX_STRATEGY": "unsafe-best-match"} if many else {}
    return {"UV_PYTHON_DOWNLOADS": "never", **strategy}


def _config(texts: Sequence[str], call: Call) -> bytes:
    """Write one configuration of several, the strongest first; uv refuses what is no TOML."""
    broken = next((text for text in texts if not is_toml(text)), None)
    if broken is not None:
        return broken.encode()
    merged: dict[str, Any] = {}
    pip: dict[str, Any] = {}
    for document in map(parse_toml, texts):
        table = document.get("pip")
        _merge(merged, _meant(document, call))
        _merge(pip, _meant(table, call) if isinstance(table, dict) else {})
    return write_toml({**merged, **({"pip": pip} if pip else {})}).encode()


def _merge(into: dict[str, Any], weaker: Mapping[str, Any]) -> None:
    for key, value in weaker.items():
        both = isinstance(value, list) and isinstance(into.get(key), list)
        into[key] = [*into[key], *value] if both else into.get(key, value)


def _meant(table: Mapping[str, Any], call: Call) -> Mapping[str, Any]:
    kept = {key: value for key, value in table.items() if key in _KEYS[call]}
    for key in ("find-links", "index"):
        if isinstance(kept.get(key), list):
            kept[key] = [url for url in map(_reachable, kept[key]) if url]
    return kept


def _reachable(place: object) -> object:
    """Return an index, or a page of links, that other machines reach too; else None."""
    if isinstance(place, dict):
        plain = {key: value for key, value in place.items() if key in _OF_INDEX}
        return plain if is_http(str(plain.get("url"))) else None
    return place if is_http(str(place)) else None
