"""``snapenv.toml``: a lock as TOML for people, and back, without loss.

Source: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from snapenv.conda_lock import parse_conda_lock
from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.model.snapshot import LOCK_FILE, SNAPSHOT_SCHEMA, Lock
from snapenv.model.wheels import FromBase, FromConda, Pinned, Vendored
from snapenv.pylock import ProofWord, parse_pylock, read_packages
from snapenv.toml import one_line, read_toml, write_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from snapenv.model.wheels import Locked

# How text from anyone can fail to be UTF-8 or TOML, to hold tables where tables belong, or to be
# a lock.
_NOT_A_LOCK = (
    *(ValueError, RecursionError),
    *(KeyError, TypeError, msgspec.ValidationError),
)
_WORLDS = {"base": "inherited", "exact": "isolated"}  # of schema 1
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,40}", re.ASCII)
_HEAD = "# Written by snapenv. SHA256SUMS beside it proves it unchanged."
_COMMENTS = {
    "base": "The image that the Dockerfile starts from, and why.",
    "installer": "The uv that installs in the image.",
    "conda_installer": "The py-rattler that installs conda's packages there.",
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
    """Write a lock, less what ``pylock.toml`` and ``conda-lock.json`` say.

    The same lock gives the same bytes.
    """
    plain = msgspec.to_builtins(replace(lock, packages={}, conda=None))
    del plain["packages"]
    for distribution in plain["environment"]["distributions"]:
        distribution["proof"] = _proof(lock.packages[distribution["name"]])
    return f"{_HEAD}\n{write_toml(plain, comments=_COMMENTS)}".encode()


def _proof(locked: Locked) -> ProofWord:
    match locked:
        case Pinned(proof=proof):
            return proof
        case Vendored():
            return "vendored"
        case FromBase():
            return "base"
        case FromConda():
            return "conda"


def lock_from_toml(
    content: bytes, pylock: bytes, conda: bytes | None = None, *, where: str
) -> Lock:
    """Read a lock, the wheels of the ``pylock`` beside it, and its ``conda-lock.json``, if any.

    Raises:
        SnapshotVersionError: A newer snapenv wrote it.
        SnapshotDamagedError: A file is no TOML, or a field is missing or of another type.
    """
    try:
        plain = read_toml(content.decode())
        _refuse_newer(plain, where)
        if plain["schema"] == 1:
            _upgrade(plain)
        proofs = {
            distribution["name"]: distribution.pop("proof")
            for distribution in plain["environment"]["distributions"]
        }
        lock = msgspec.convert({**plain, "packages": {}}, Lock)
        words = msgspec.convert(proofs, dict[str, ProofWord])
    except _NOT_A_LOCK as error:
        raise SnapshotDamagedError(
            f"{where}/{LOCK_FILE}: {one_line(str(error) or type(error).__name__)}",
            hint="Get the snapshot again from where it was captured.",
        ) from error
    return replace(
        lock,
        packages=read_packages(words, parse_pylock(pylock, where=where), where=where),
        conda=None if conda is None else parse_conda_lock(conda, where=where),
    )


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
            f"{where}/{LOCK_FILE}: schema {one_line(str(schema))} is not known here, "
            f"only 1 to {SNAPSHOT_SCHEMA}",
            hint=f"Read it with snapenv {writer} or newer." if known else "It is not a snapshot.",
        )
