"""``snapenv.toml``: a lock as TOML for people, and back, without loss."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.model.snapshot import LOCK_FILE, SNAPSHOT_SCHEMA, Lock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tomlkit.items import InlineTable, Table

# How text from anyone can fail to be UTF-8, TOML, tables where tables belong, or a lock.
_NOT_A_LOCK = (UnicodeDecodeError, TOMLKitError, KeyError, TypeError, msgspec.ValidationError)
_SHORT = 2  # longer arrays get a line an item
_COMMENTS = {
    "base": "The image that the Dockerfile starts from, and why.",
    "installer": "The uv that installs in the image.",
    "hardware": "The machine that was captured.",
    "variables": "Environment variables that change training.",
    "image": "How the NVIDIA image around the environment names itself.",
    "settings": "What ultralytics' own settings switch on or off.",
    "native": "The GPUs that compiled code is for, and what it needs of the operating system.",
    "baseline": "The smoke-train's losses, step by step, as float.hex writes them.",
    "environment": "The Python environment, with each distribution's origin and proof.",
}


def lock_to_toml(lock: Lock) -> bytes:
    """Write a lock; the same lock gives the same bytes."""
    plain = _without_absent(msgspec.to_builtins(lock))
    proofs = plain.pop("proofs")
    for distribution in plain["environment"]["distributions"]:
        distribution["proof"] = proofs[distribution["name"]]
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by snapenv. SHA256SUMS beside it proves it unchanged."))
    for key, value in plain.items():
        document.add(key, _section(key, value) if isinstance(value, dict) else value)
    return tomlkit.dumps(document).encode()


def lock_from_toml(content: bytes, *, where: str) -> Lock:
    """Read a lock.

    Raises:
        SnapshotVersionError: A newer snapenv wrote it.
        SnapshotDamagedError: It is no TOML, or a field is missing or of another type.
    """
    try:
        plain: Any = tomlkit.parse(content.decode()).unwrap()
        _refuse_newer(plain, where)
        plain["proofs"] = {
            distribution["name"]: distribution.pop("proof")
            for distribution in plain["environment"]["distributions"]
        }
        return msgspec.convert(plain, Lock)
    except _NOT_A_LOCK as error:
        raise SnapshotDamagedError(
            f"{where}/{LOCK_FILE}: {error}",
            hint="Get the snapshot again from where it was captured.",
        ) from error


def _refuse_newer(plain: Mapping[str, object], where: str) -> None:
    if plain.get("schema") != SNAPSHOT_SCHEMA:
        writer = plain.get("snapenv")
        raise SnapshotVersionError(
            f"{where}/{LOCK_FILE}: schema {plain.get('schema')} is not known here, "
            f"only {SNAPSHOT_SCHEMA}",
            hint=f"Read it with snapenv {writer} or newer." if writer else "It is no snapshot.",
        )


def _without_absent(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Leave out what is None: TOML has no word for it, and absent means the same."""
    if isinstance(value, dict):
        return {key: _without_absent(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_without_absent(item) for item in value]
    return value


def _section(name: str, value: Mapping[str, Any]) -> Table:
    table = _table(value)
    table.comment(_COMMENTS[name])
    return table


def _table(value: Mapping[str, Any]) -> Table:
    table = tomlkit.table()
    for key, item in value.items():
        table.add(key, _item(item))
    return table


def _item(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        return _table(value)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        tables = tomlkit.aot()
        for entry in value:
            table = tomlkit.table()
            for key, item in entry.items():
                table.add(key, _inline(item) if isinstance(item, dict) else item)
            tables.append(table)
        return tables
    if isinstance(value, list) and len(value) > _SHORT:
        array = tomlkit.array()
        array.extend(value)
        return array.multiline(multiline=True)
    return value


def _inline(value: Mapping[str, Any]) -> InlineTable:
    inline = tomlkit.inline_table()
    inline.update(value)
    return inline
