"""What pip is told of package indexes.

Source: https://pip.pypa.io/en/stable/topics/configuration/
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_ENVIRONMENT = ":env:"
_STRENGTH = ("global", "install", _ENVIRONMENT)  # the weakest first


def pip_files(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Name the files that pip reads, there or not, the weakest first."""
    told = environment.get("PIP_CONFIG_FILE")
    if told == os.devnull:
        return ()
    home = Path(environment.get("HOME") or Path.home())
    shared = environment.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    user = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    folders = (environment.get(name) for name in ("CONDA_PREFIX", "VIRTUAL_ENV"))
    return (
        *(Path(folder, "pip", "pip.conf") for folder in shared.split(os.pathsep) if folder),
        Path("/etc/pip.conf"),
        *(
            ()  # a file that pip is told of takes the place of the user's own
            if told and Path(told).exists()
            else (home / ".pip" / "pip.conf", user / "pip" / "pip.conf")
        ),
        *(Path(folder, "pip.conf") for folder in folders if folder),
        *((Path(told),) if told else ()),
    )


def install_options(environment: Mapping[str, str], texts: Iterable[str]) -> Mapping[str, str]:
    """Return what ``pip install`` is told, by option, from its files, the weakest first.

    A section of a command is stronger than ``global``, and a variable than both, whichever file
    they are in. A text that is no configuration tells nothing.
    """
    told = dict[tuple[str, str], str]()
    for text in texts:
        told.update(_options(text))
    for name, value in environment.items():
        if name.startswith("PIP_"):
            told[_ENVIRONMENT, _option(name.removeprefix("PIP_"))] = value
    return {
        option: value
        for strength in _STRENGTH
        for (section, option), value in told.items()
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
