"""What uv is told of package indexes, and the logins that it keeps.

Source: https://docs.astral.sh/uv/concepts/indexes/ and
https://docs.astral.sh/uv/concepts/authentication/http/
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from snapenv.index.address import Index, Login, is_http, split_login
from snapenv.places import home
from snapenv.toml import parse_any_toml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LISTS = ("UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")
_TELLS = (*_LISTS, "UV_CONFIG_FILE", "UV_FIND_LINKS", "UV_NO_INDEX")
_KEYS = ("index", "index-url", "extra-index-url", "find-links", "no-index")
_NAMED = re.compile(r"([A-Za-z0-9._-]+)=(.+)", re.DOTALL)


def uv_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Name the files that uv reads outside of a project, there or not."""
    if environment.get("UV_CONFIG_FILE"):
        return (Path(environment["UV_CONFIG_FILE"]),)
    if environment.get("UV_NO_CONFIG"):
        return ()
    own = environment.get("XDG_CONFIG_HOME") or home(environment) / ".config"
    shared = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    system = (*(folder for folder in shared.split(os.pathsep) if folder), "/etc")
    folders = (own, *(() if environment.get("UV_NO_SYSTEM_CONFIG") else system))
    return tuple(Path(folder, "uv", "uv.toml") for folder in folders)


def uv_logins_file(environment: Mapping[str, str]) -> Path:
    """Name the file in which ``uv auth login`` keeps what it was given."""
    data = environment.get("XDG_DATA_HOME") or home(environment) / ".local" / "share"
    folder = environment.get("UV_CREDENTIALS_DIR") or Path(data, "uv", "credentials")
    return Path(folder, "credentials.toml")


def is_told(environment: Mapping[str, str], texts: tuple[str, ...]) -> bool:
    """Return whether uv is told of indexes itself, so that pip's are not its business."""
    if any(environment.get(name) for name in _TELLS):
        return True
    documents = [parse_toml(text) for text in texts]
    tables = [*documents, *(_table(document, "pip") for document in documents)]
    return any(table.get(key) for table in tables for key in _KEYS)


def environment_indexes(environment: Mapping[str, str]) -> tuple[Index, ...]:
    """List what uv's variables name, with the logins that variables of their own hold."""
    entries = [(name, entry) for name in _LISTS for entry in environment.get(name, "").split()]
    indexes = (_of_variable(name, entry) for name, entry in entries)
    return tuple(_with_login(index, environment) for index in indexes if index)


def file_indexes(
    text: str, source: str, environment: Mapping[str, str] | None = None
) -> tuple[Index, ...]:
    """List what a ``uv.toml`` names; a text that is none names nothing."""
    document = parse_toml(text)
    indexes = [*_of_table(document, source), *_of_table(_table(document, "pip"), source)]
    return tuple(_with_login(index, environment or {}) for index in indexes)


def kept_logins(text: str) -> tuple[Index, ...]:
    """List the hosts that ``uv auth login`` was given a login for."""
    return tuple(
        Index(
            address=entry["service"],
            source="uv's credentials",
            login=Login(user=str(entry.get("username") or ""), password=entry["password"]),
        )
        for entry in _entries(parse_toml(text), "credential")
        if is_http(str(entry.get("service"))) and isinstance(entry.get("password"), str)
    )


def _of_variable(variable: str, entry: str) -> Index | None:
    named = _NAMED.fullmatch(entry)
    name, url = (named[1], named[2]) if named else (None, entry)
    return _index(url, variable, name=name)


def _of_table(table: Mapping[str, Any], source: str) -> Iterator[Index]:
    for entry in _entries(table, "index"):
        name, always = entry.get("name"), entry.get("authenticate") == "always"
        named = name if isinstance(name, str) else None
        if index := _index(str(entry.get("url")), source, name=named, always=always):
            yield index
    extra = table.get("extra-index-url")
    for url in (*(extra if isinstance(extra, list) else ()), table.get("index-url")):
        if index := _index(str(url), source):
            yield index


def _index(url: str, source: str, *, name: str | None = None, always: bool = False) -> Index | None:
    if not is_http(url):
        return None
    address, login = split_login(url)
    return Index(address=address, source=source, login=login, name=name, always=always)


def _with_login(index: Index, environment: Mapping[str, str]) -> Index:
    """Prefer the login of ``UV_INDEX_<NAME>_*`` to the one in the address, as uv does."""
    prefix = f"UV_INDEX_{re.sub('[^A-Za-z0-9]', '_', index.name or '').upper()}"
    user = environment.get(f"{prefix}_USERNAME")
    password = environment.get(f"{prefix}_PASSWORD")
    if not index.name or (user is None and password is None):
        return index
    return replace(index, login=Login(user=user or "", password=password), source=f"{prefix}_*")


def is_toml(text: str) -> bool:
    """Return whether a configuration file can be read."""
    try:
        parse_any_toml(text)
    except (ValueError, RecursionError):
        return False
    return True


def parse_toml(text: str) -> Mapping[str, Any]:
    """Read a configuration file; one that is no TOML says nothing."""
    if not text:
        return {}
    try:
        document: Mapping[str, Any] = parse_any_toml(text)
    except (ValueError, RecursionError):
        return {}
    return document


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = document.get(key)
    return table if isinstance(table, dict) else {}


def _entries(document: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    entries = document.get(key)
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict):
            yield entry
