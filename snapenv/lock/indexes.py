"""Let uv ask the index that pip is configured for, where uv itself is not configured.

Source: https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_UV_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE", "UV_INDEX")


def uv_index_environment() -> Mapping[str, str]:
    """Give the variables to add for uv; they may hold a credential and are never written."""
    config = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    if any(Path(folder, "uv", "uv.toml").exists() for folder in (config, "/etc")):
        return {}
    files = (
        os.environ.get("PIP_CONFIG_FILE", "/dev/null"),
        config / "pip" / "pip.conf",
        Path.home() / ".pip" / "pip.conf",
        "/etc/pip.conf",
    )
    return choose_index(os.environ, (_read(Path(path)) for path in files))


def choose_index(environment: Mapping[str, str], pip_files: Iterable[str]) -> Mapping[str, str]:
    """Turn pip's index into uv's, from variables and from pip.conf texts, the strongest first."""
    if any(name in environment for name in _UV_VARIABLES):
        return {}
    if environment.get("PIP_INDEX_URL"):
        return {"UV_DEFAULT_INDEX": environment["PIP_INDEX_URL"]}
    for text in pip_files:
        parser = configparser.RawConfigParser(strict=False)
        parser.optionxform = _as_pip_reads  # type: ignore[assignment,method-assign]
        try:
            parser.read_string(text)
        except configparser.Error:
            continue
        if parser.has_option("global", "index-url"):
            return {"UV_DEFAULT_INDEX": parser.get("global", "index-url")}
    return {}


def _as_pip_reads(option: str) -> str:
    return option.lower().replace("_", "-")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
