"""What the lock says, as snapenv wrote it at the capture: ``snapenv-check.json`` of the snapshot.

The file lies beside the program in a snapshot. In an image the program is installed elsewhere, and
the snapshot has a place of its own.
"""

# Paths are plain strings, as elsewhere in what travels.
# ruff: noqa: PTH118, PTH120, PTH123

from __future__ import annotations

import json
import os
from typing import Any, Dict

from snapenv_probe import start

Facts = Dict[str, Any]
"""What a probe saw, as JSON has it."""

SCHEMA = 1
FILE = "snapenv-check.json"
FOLDER = os.path.dirname(start.PROGRAM)
_PLACES = (FOLDER, os.path.join(os.path.dirname(FOLDER), "snapshot"))


class UnknownError(Exception):
    """It cannot be told whether the environment is as locked; the message says why."""


def path() -> str:
    """Return where the file lies.

    Raises:
        UnknownError: It is in none of its places.
    """
    paths = [os.path.join(place, FILE) for place in _PLACES]
    file = next(filter(os.path.isfile, paths), None)
    if file is None:
        raise UnknownError(f"{paths[-1]} is missing")
    return file


def read() -> Facts:
    """Return what is expected: ``tag``, ``facts``, ``neutral`` variables and the ``baseline``.

    Raises:
        UnknownError: It is missing, damaged, or of a newer snapenv.
    """
    place = path()
    try:
        with open(place, encoding="utf-8") as file:
            document: Facts = json.load(file)
        schema = document["schema"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnknownError(f"{place} cannot be read: {error}") from error
    if schema != SCHEMA:
        raise UnknownError(f"{place} is of schema {schema!r}, not {SCHEMA}")
    return document
