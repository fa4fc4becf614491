"""The scripts that an installer makes of entry points.

Source: https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import configparser
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_POINT = re.compile(r"\s*[\w.]+\s*:\s*[\w.]+\s*(?:\[.*\])?\s*")
_SECTIONS = ("console_scripts", "gui_scripts")
_SCRIPT = """#!python
import sys
from {module} import {first}
if __name__ == '__main__':
    sys.exit({attribute}())
"""


def is_installable(entry_points: bytes) -> bool:
    """Return whether installers take a text: uv refuses a wheel with one that is in any way odd."""
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(entry_points.decode())
    except (configparser.Error, UnicodeDecodeError):
        return False
    points = [pair for section in _SECTIONS if section in parser for pair in parser.items(section)]
    return all(_POINT.fullmatch(point) and "/" not in name for name, point in points)


def scripts_of(entry_points: bytes) -> Mapping[str, bytes]:
    """Return the scripts by name; a text that is no entry points has none."""
    parser = configparser.RawConfigParser(delimiters=("=",), strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    try:
        parser.read_string(entry_points.decode())
    except (configparser.Error, UnicodeDecodeError):
        return {}
    return {
        name: _script(point)
        for section in _SECTIONS
        if section in parser
        for name, point in parser[section].items()
        if _POINT.fullmatch(point) and "/" not in name
    }


def _script(point: str) -> bytes:
    """Write what runs ``module:attribute [extras]``."""
    module, _, attribute = (part.strip() for part in point.partition("[")[0].partition(":"))
    first = attribute.partition(".")[0]
    return _SCRIPT.format(module=module, first=first, attribute=attribute).encode()
