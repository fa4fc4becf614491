"""``snapenv.toml``: a lock as TOML for people, and back, without loss.

Source: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.model.snapshot import LOCK_FILE, SNAPSHOT_SCHEMA, Lock
from snapenv.toml import read_toml, write_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

# How text from anyone can fail to be UTF-8 or TOML, to hold tables where tables belong, or to be
# a lock.
_NOT_A_LOCK = (
    *(ValueError, RecursionError),
    *(KeyError, TypeError, msgspec.ValidationError),
)
_WORLDS = {"base": "inherited", "exact": "isolated"}  # of schema 1
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,40}", re.ASCII)
_SAID = 300  # characters of what a parser says
_HEAD = "# Written by snapenv. SHA256SUMS beside it proves it unchanged."
_COMMENTS = {
    "base": "The image that the Dockerfile starts from, and why.",
    "installer": "The uv that installs in the image.",
    "hardware": "The machine that was captured.",
    "variables": "Environment variables that change training.",
    "startup": "What variables such as PYTHONPATH and LD_PRELOAD put before the environment's own.",
    "image": "How the NVIDIA image around the environment names itself.",
    "settings": "What ultralytics' own settings switch on or off.",
    "native": "The GPUs that compiled code is for, and what it needs of the operating system.",
    "baseline": "The smoke-train's losses, step by step, as float.hex writes them.",
    "environment": "The Python environment, with each distribution's origin and proof.",
}


def lock_to_toml(lock: Lock) -> bytes:
    """Write a lock; the same lock gives the same bytes."""
    plain = msgspec.to_builtins(lock)
    proofs = plain.pop("proofs")
    for distribution in plain["environment"]["distributions"]:
        distribution["proof"] = proofs[distribution["name"]]
    return f"{_HEAD}\n{write_toml(plain, comments=_COMMENTS)}".encode()


def lock_from_toml(content: bytes, *, where: str) -> Lock:
    """Read a lock.

    Raises:
        SnapshotVersionError: A newer snapenv wrote it.
        SnapshotDamagedError: It is no TOML, or a field is missing or of another type.
    """
    try:
        plain = read_toml(content.decode())
        _refuse_newer(plain, where)
        if plain["schema"] == 1:
            _upgrade(plain)
        plain["proofs"] = {
            distribution["name"]: distribution.pop("proof")
            for distribution in plain["environment"]["distributions"]
        }
        return msgspec.convert(plain, Lock)
    except _NOT_A_LOCK as error:
        raise SnapshotDamagedError(
            f"{where}/{LOCK_FILE}: {_printable(str(error) or type(error).__name__)}",
            hint="Get the snapshot again from where it was captured.",
        ) from error


def _upgrade(plain: dict[str, Any]) -> None:
    """Turn a lock of schema 1, which called the site-packages a world, into one of today."""
    base = {**plain["base"]}
    world = base.pop("world")
    plain["schema"] = SNAPSHOT_SCHEMA
    plain["base"] = {**base, "site_packages": _WORLDS.get(world, world)}


def _refuse_newer(plain: Mapping[str, object], where: str) -> None:
    schema, writer = plain.get("schema"), plain.get("snapenv")
    if schema not in (1, SNAPSHOT_SCHEMA):
        known = isinstance(writer, str) and _VERSION.fullmatch(writer)
        raise SnapshotVersionError(
            f"{where}/{LOCK_FILE}: schema {_printable(str(schema))} is not known here, "
            f"only 1 to {SNAPSHOT_SCHEMA}",
            hint=f"Read it with snapenv {writer} or newer." if known else "It is no snapshot.",
        )


def _printable(text: str) -> str:
    """Put what a file may have made up on one short line that is safe to show."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _SAID else f"{line[: _SAID - 1]}…"
