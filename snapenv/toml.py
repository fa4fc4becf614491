"""TOML as snapenv writes it: plain values in, lines for people out, in a time that is linear.

tomlkit takes a time that grows with the square of the lengths of tables and arrays, and as long
to be imported as a small capture: it reads on Python 3.10 alone.
Source: https://toml.io/en/v1.0.0
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LONGEST = 300  # characters of what a parser says
_SHORT = 2  # longer arrays get a line an item
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLAIN_TEXT = re.compile(r"[ !#-\[\]-~]*")  # nothing that a TOML string must escape
_ESCAPED = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES = dict(
    zip('\b\t\n\f\r"\\', (r"\b", r"\t", r"\n", r"\f", r"\r", r"\"", r"\\"), strict=True)
)
_STRING_OR_COMMENT = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"|#[^\n]*')
_DEEP = re.compile(r"(?:\.[\w \t-]*){8}")  # we write three names at most


def write_toml(table: Mapping[str, Any], *, comments: Mapping[str, str] | None = None) -> str:
    """Write values in their order; ``comments`` stand beside the tables at the top, by name.

    None is left out: TOML has no word for it. What stands in an array of tables is written on
    one line a value.
    """
    return "".join(f"{line}\n" for line in _lines(table, comments or {}))


def read_toml(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Read TOML with the standard library, which is ten times as fast as tomlkit.

    Raises:
        ValueError: It is no TOML, or none that snapenv wrote.
    """
    _refuse_deep(text)
    return parse_any_toml(text)


def parse_any_toml(text: str) -> Any:  # noqa: ANN401 - any TOML value
    """Read TOML of people and other programs, in a time that may grow with its square.

    Raises:
        ValueError: It is no TOML.
        RecursionError: It is nested too deep.
    """
    try:
        import tomllib
    except ModuleNotFoundError:  # Python 3.10
        import tomlkit  # whose errors of parsing are ValueErrors too

        return tomlkit.parse(text).unwrap()
    return tomllib.loads(text)


def one_line(text: str) -> str:
    """Put what a file may have made up on one short line that is safe to show."""
    line = "".join(letter if letter.isprintable() else " " for letter in text)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _refuse_deep(text: str) -> None:
    """Refuse long dotted keys, for which parsers need a time that grows with their square.

    To find them, strings must be told apart: only those of the kind that we write are taken.

    Raises:
        ValueError: It is none that we wrote.
    """
    bare = _STRING_OR_COMMENT.sub("", text)
    if '"""' in text or '"' in bare or "'" in bare or _DEEP.search(bare):
        raise ValueError("it is not of the form that snapenv writes")


def _lines(table: Mapping[str, Any], comments: Mapping[str, str], path: str = "") -> Iterator[str]:
    """Yield a table's own values, then the tables below it, each with its whole path."""
    below = {key: value for key, value in table.items() if _is_tables(value)}
    for key, value in table.items():
        if key in below or value is None:
            continue
        if isinstance(value, tuple | list) and len(value) > _SHORT:
            yield "\n".join((f"{_key(key)} = [", *(f"    {_value(each)}," for each in value), "]"))
        else:
            yield f"{_key(key)} = {_value(value)}"
    for key, value in below.items():
        name = f"{path}{_key(key)}"
        if isinstance(value, dict):
            comment = f" # {comments[key]}" if not path and key in comments else ""
            yield from ("", f"[{name}]{comment}", *_lines(value, comments, f"{name}."))
        else:
            for entry in value:
                yield from ("", f"[[{name}]]", *_pairs(entry))


def _is_tables(value: object) -> bool:
    if isinstance(value, tuple | list):
        return bool(value) and isinstance(value[0], dict)
    return isinstance(value, dict)


def _pairs(table: Mapping[str, Any]) -> Iterator[str]:
    """Yield each value on one line; TOML has no word for None, and absent means the same."""
    return (f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None)


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)


def _value(value: Any) -> str:  # noqa: ANN401 - any TOML value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, dict):
        return f"{{{', '.join(_pairs(value))}}}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dt.date | dt.time):  # of another program's configuration
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _text(text: str) -> str:
    return f'"{text}"' if _PLAIN_TEXT.fullmatch(text) else f'"{_ESCAPED.sub(_escape, text)}"'


def _escape(sign: re.Match[str]) -> str:
    return _ESCAPES.get(sign[0]) or f"\\u{ord(sign[0]):04x}"
