"""``snapenv.toml``: a lock as TOML for people, and back, without loss.

Source: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import tomlkit
from tomlkit.exceptions import TOMLKitError

from snapenv.errors import SnapshotDamagedError, SnapshotVersionError
from snapenv.model.snapshot import LOCK_FILE, SNAPSHOT_SCHEMA, Lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# How text from anyone can fail to be UTF-8 or TOML, to hold tables where tables belong, or to be
# a lock.
_NOT_A_LOCK = (
    *(ValueError, TOMLKitError, RecursionError),
    *(KeyError, TypeError, msgspec.ValidationError),
)
_SHORT = 2  # longer arrays get a line an item
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLAIN_TEXT = re.compile(r"[ !#-\[\]-~]*")  # nothing that a TOML string must escape
_STRING_OR_COMMENT = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|#[^\n]*')
_DEEP = re.compile(r"(?:\.[\w \t-]*){8}")  # we write three names at most
_VERSION = re.compile(r"[0-9A-Za-z.+!-]{1,40}", re.ASCII)
_SAID = 300  # characters of what a parser says
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
    """Write a lock; the same lock gives the same bytes.

    tomlkit's own tables and arrays take a time that grows with the square of their lengths, so
    only the single values are its.
    """
    plain = msgspec.to_builtins(lock)
    proofs = plain.pop("proofs")
    for distribution in plain["environment"]["distributions"]:
        distribution["proof"] = proofs[distribution["name"]]
    lines = ("# Written by snapenv. SHA256SUMS beside it proves it unchanged.", *_lines(plain))
    return "".join(f"{line}\n" for line in lines).encode()


def lock_from_toml(content: bytes, *, where: str) -> Lock:
    """Read a lock.

    Raises:
        SnapshotVersionError: A newer snapenv wrote it.
        SnapshotDamagedError: It is no TOML, or a field is missing or of another type.
    """
    try:
        plain = _parse(content.decode())
        _refuse_newer(plain, where)
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


def _parse(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Read TOML with the standard library, which is ten times as fast as tomlkit."""
    _refuse_deep(text)
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        return tomlkit.parse(text).unwrap()
    return tomllib.loads(text)


def _refuse_deep(text: str) -> None:
    """Refuse long dotted keys, for which parsers need a time that grows with their square.

    To find them, strings must be told apart: only those of the kind that we write are taken.

    Raises:
        ValueError: It is none that we wrote.
    """
    bare = _STRING_OR_COMMENT.sub("", text)
    if '"""' in text or '"' in bare or "'" in bare or _DEEP.search(bare):
        raise ValueError("it is not of the form that snapenv writes")


def _refuse_newer(plain: Mapping[str, object], where: str) -> None:
    schema, writer = plain.get("schema"), plain.get("snapenv")
    if schema != SNAPSHOT_SCHEMA:
        known = isinstance(writer, str) and _VERSION.fullmatch(writer)
        raise SnapshotVersionError(
            f"{where}/{LOCK_FILE}: schema {_printable(str(schema))} is not known here, "
            f"only {SNAPSHOT_SCHEMA}",
            hint=f"Read it with snapenv {writer} or newer." if known else "It is no snapshot.",
        )


def _printable(text: str) -> str:
    """Put what a file may have made up on one short line that is safe to show."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _SAID else f"{line[: _SAID - 1]}…"


def _lines(table: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Give a table's own values, then the tables below it, each with its whole path."""
    below = {key: value for key, value in table.items() if _is_tables(value)}
    for key, value in table.items():
        if key not in below and value is not None:
            yield f"{_key(key)} = {_array(value) if _is_long(value) else _value(value)}"
    for key, value in below.items():
        name = f"{path}{_key(key)}"
        if isinstance(value, dict):
            comment = "" if path else f" # {_COMMENTS[key]}"
            yield from ("", f"[{name}]{comment}", *_lines(value, f"{name}."))
        else:
            for entry in value:
                yield from ("", f"[[{name}]]", *_pairs(entry))


def _is_tables(value: object) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict)


def _is_long(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) > _SHORT


def _array(values: Sequence[Any]) -> str:
    return "\n".join(("[", *(f"    {_value(value)}," for value in values), "]"))


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    """Give each value on one line; TOML has no word for None, and absent means the same."""
    return (f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else tomlkit.key(key).as_string()


def _value(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if isinstance(value, str):
        return f'"{value}"' if _PLAIN_TEXT.fullmatch(value) else tomlkit.string(value).as_string()
    if isinstance(value, dict):
        return f"{{{', '.join(_pairs(value))}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    return str(tomlkit.item(value).as_string())
