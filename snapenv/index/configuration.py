"""What pip and uv, and conda, are told of package indexes on this machine, as one value.

Source: https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from snapenv.index.address import Index, is_http, split_login
from snapenv.index.conda_channels import (
    condarc_channels,
    condarc_files,
    rattler_file,
    rattler_logins,
)
from snapenv.index.uv_settings import (
    environment_indexes,
    file_indexes,
    is_told,
    kept_logins,
    uv_files,
    uv_logins_file,
)
from snapenv.places import exists, home

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENVIRONMENT = ":env:"
_STRENGTH = ("global", "install", _ENVIRONMENT)  # the weakest first


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceText:
    """The text of one configuration file."""

    source: str  # its name, for people: "pip.conf"
    text: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """All that is read, so that what it says can be told without reading anything."""

    environment: Mapping[str, str] = field(repr=False)
    pip: tuple[SourceText, ...] = ()  # the weakest first
    uv: tuple[SourceText, ...] = ()
    uv_logins: str = field(default="", repr=False)
    conda: tuple[SourceText, ...] = ()
    rattler: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The indexes and channels of this machine. Addresses may hold credentials: never written."""

    texts: Texts = field(repr=False)
    pip: Mapping[str, str] = field(repr=False)  # the options of ``pip install``
    pip_default: str | None = field(repr=False)  # as pip is told it, where that is over HTTP
    pip_extra: tuple[str, ...] = field(repr=False)
    indexes: tuple[Index, ...]  # of all programs, over HTTP, with what logins are known
    uv_is_told: bool

    def variables(self, *, keyring: bool) -> dict[str, str]:
        """Return what uv must be told to ask the very indexes that pip asks, in pip's manner.

        Nothing where uv is told of indexes itself. Folders of this machine (``file:`` and
        ``find-links``) are left out: what lies there can be had nowhere else, and a folder that
        is not there stops uv. ``keyring`` lets uv ask that program.
        """
        if self.uv_is_told:
            return {}
        settings = {
            "UV_DEFAULT_INDEX": self.pip_default,
            "UV_INDEX": " ".join(self.pip_extra),
            "UV_INDEX_STRATEGY": "unsafe-best-match" if self.pip_extra else None,
            "UV_KEYRING_PROVIDER": "subprocess" if keyring else None,
            "UV_INSECURE_HOST": " ".join(self.pip.get("trusted-host", "").split()),
            "SSL_CERT_FILE": self.pip.get("cert"),
        }
        environment = self.texts.environment
        return {
            name: value for name, value in settings.items() if value and name not in environment
        }

    @property
    def asks_keyring(self) -> bool | None:
        """Whether pip is told to ask a keyring; None where it is told nothing."""
        provider = self.pip.get("keyring-provider", "auto")
        return None if provider == "auto" else provider != "disabled"


def read_configuration(environment: Mapping[str, str] | None = None) -> Configuration:
    """Read the configuration of this machine; a file that cannot be read tells nothing."""
    chosen = dict(os.environ if environment is None else environment)
    return parse_configuration(
        Texts(
            environment=chosen,
            pip=_read(pip_files(chosen)),
            uv=_read(uv_files(chosen)),
            uv_logins="".join(file.text for file in _read([uv_logins_file(chosen)])),
            conda=_read(condarc_files(chosen)),
            rattler="".join(file.text for file in _read([rattler_file(chosen)])),
        )
    )


def parse_configuration(texts: Texts) -> Configuration:
    """Read what the texts say."""
    options = install_options(texts.environment, (file.text for file in texts.pip))
    asks = options.get("no-index", "").lower() not in ("1", "true", "yes", "on", "y", "t")
    default = [url for url in options.get("index-url", "").split()[:1] if asks and is_http(url)]
    extra = [url for url in options.get("extra-index-url", "").split() if asks and is_http(url)]
    return Configuration(
        texts=texts,
        pip=options,
        pip_default=default[0] if default else None,
        pip_extra=tuple(extra),
        indexes=(
            *(index for file in texts.uv for index in _uv_indexes(file, texts.environment)),
            *environment_indexes(texts.environment),
            *(_pip_index(url) for url in (*default, *extra)),
            *kept_logins(texts.uv_logins),
            *(index for file in texts.conda for index in condarc_channels(file.text, file.source)),
            *rattler_logins(texts.rattler),
        ),
        uv_is_told=is_told(texts.environment, tuple(file.text for file in texts.uv)),
    )


def _uv_indexes(file: SourceText, environment: Mapping[str, str]) -> tuple[Index, ...]:
    return file_indexes(file.text, file.source, environment)


def _pip_index(url: str) -> Index:
    address, login = split_login(url)
    return Index(address=address, source="pip's configuration", login=login)


def _read(paths: Iterable[Path]) -> tuple[SourceText, ...]:
    texts = ((path, _text(path)) for path in paths)
    return tuple(SourceText(source=path.name, text=text) for path, text in texts if text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def pip_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Name the files that pip reads, there or not, the weakest first."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return ()
    own = home(environment)
    shared = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    user = Path(environment.get("XDG_CONFIG_HOME") or own / ".config")
    folders = (environment.get(name) for name in ("CONDA_PREFIX", "VIRTUAL_ENV"))
    return (
        *(Path(folder, "pip", "pip.conf") for folder in shared.split(os.pathsep) if folder),
        Path("/etc/pip.conf"),
        *(
            ()  # a file that pip is told of takes the place of the user's own
            if named and exists(Path(named))
            else (own / ".pip" / "pip.conf", user / "pip" / "pip.conf")
        ),
        *(Path(folder, "pip.conf") for folder in folders if folder),
        *((Path(named),) if named else ()),
    )


def install_options(environment: Mapping[str, str], texts: Iterable[str]) -> Mapping[str, str]:
    """Return what ``pip install`` is told, by option, from its files, the weakest first.

    A section of a command is stronger than ``global``, and a variable than both, whichever file
    they are in. A text that is no configuration tells nothing.
    """
    options = dict[tuple[str, str], str]()
    for text in texts:
        options.update(_options(text))
    for name, value in environment.items():
        if name.startswith("PIP_"):
            options[_ENVIRONMENT, _option(name.removeprefix("PIP_"))] = value
    return {
        option: value
        for strength in _STRENGTH
        for (section, option), value in options.items()
        if section == strength and value
    }


def _options(text: str) -> Mapping[tuple[str, str], str]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = _option  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {(name, key): value for name in parser.sections() for key, value in parser.items(name)}


def _option(name: str) -> str:
    return name.lower().replace("_", "-").removeprefix("--")
